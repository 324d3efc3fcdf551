"""The encoder of a gallery: its own copy, and the features that it computes."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image

from reseen.data.loading import Crops, Loading
from reseen.data.pictures import broken_said, scaled
from reseen.engine import extract as extraction
from reseen.engine.device import Device
from reseen.engine.pretrained import from_pretrained
from reseen.engine.progress import QUIET, Screen
from reseen.export.quick import NAME, quick
from reseen.nets import encoder as encoders
from reseen.nets.encoder import AnyEncoder, Encoder
from reseen.records import Image


class Embedder:
    """Computes features of pictures.

    Args:
        encoder: the encoder.
        centring: off, mean or deviation: how to centre the features of each camera.
    """

    def __init__(self, encoder: Encoder, centring: str = "off"):
        self.encoder, self.centring = encoder, centring
        self._runner: AnyEncoder = encoder
        self.model = encoders.digest(encoder) + (f"-{centring}" if centring != "off" else "")
        """Identifies the features: the digest of the encoder, and the centring."""

    @classmethod
    def load(cls, folder: Path, centring: str, device: Device | None) -> "Embedder":
        """Load the copy of the encoder in a folder.

        Raises:
            CheckpointError: it does not exist or is damaged.
        """
        made = cls(from_pretrained(folder, device=device), centring)
        if (folder / NAME).is_file():
            made.quicken(folder)
        return made

    def quicken(self, folder: Path, screen: Screen = QUIET) -> None:
        """Use ONNX Runtime, with a file in a folder, if it gives the same features.

        Args:
            folder: of the copy of the encoder; the file is written if it does not exist.
            screen: says what is done, or why not.
        """
        self._runner = quick(self.encoder, folder, screen)

    def decode(self, content: bytes) -> PIL.Image.Image:
        """Read a picture at the size of the encoder.

        Raises:
            BrokenPictureError: it cannot be read.
        """
        settings = self.encoder.settings
        with broken_said():
            picture, _ = scaled(BytesIO(content))
        size = settings.width, settings.height
        return picture if picture.size == size else picture.resize(size, _BICUBIC)

    def embed(
        self, pictures: Sequence[PIL.Image.Image], cameras: Sequence[str | None]
    ) -> np.ndarray:
        """Compute the features (N, D) float32, unit rows, of pictures from these cameras."""
        images = [Image(Path(str(i))) for i in range(len(pictures))]
        settings = self.encoder.settings
        crops = Crops(
            *(images, settings.height, settings.width, Loading()),
            pictures={image.path: p for image, p in zip(images, pictures, strict=True)},
        ).to(self.encoder.device)
        features = extraction.extract(self._runner, crops)
        return extraction.centred(self.encoder, features, cameras, self.centring)


_BICUBIC = PIL.Image.Resampling.BICUBIC
