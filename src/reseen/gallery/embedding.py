"""The encoder of a gallery: a copy that belongs to it, and what it makes of pictures."""

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
from reseen.nets import encoder as encoders
from reseen.nets.encoder import Encoder
from reseen.records import Image


class Embedder:
    """Makes vectors of pictures.

    Args:
        encoder: whose vectors they are.
        centring: off, mean or deviation: what is taken out of the features of each camera.
    """

    def __init__(self, encoder: Encoder, centring: str = "off"):
        self.encoder, self.centring = encoder, centring
        self.model = encoders.digest(encoder) + (f"-{centring}" if centring != "off" else "")
        """Names what the vectors are: the digest of the encoder, and the centring."""

    @classmethod
    def load(cls, folder: Path, centring: str, device: Device | None) -> "Embedder":
        """Take the copy in a folder.

        Raises:
            CheckpointError: it is not there or damaged.
        """
        return cls(from_pretrained(folder, device=device), centring)

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
        """Give the vectors (N, D) float32, unit rows, of pictures by cameras of these names."""
        images = [Image(Path(str(i))) for i in range(len(pictures))]
        settings = self.encoder.settings
        crops = Crops(
            *(images, settings.height, settings.width, Loading()),
            pictures={image.path: p for image, p in zip(images, pictures, strict=True)},
        ).to(self.encoder.device)
        features = extraction.extract(self.encoder, crops)
        return extraction.centred(self.encoder, features, cameras, self.centring)


_BICUBIC = PIL.Image.Resampling.BICUBIC
