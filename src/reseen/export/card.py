"""The card of an exported file: what a program that loads it must know, and two test vectors.

It is a file FILE.json beside the file. Its keys are those of the metadata of an ONNX file, with
each value as JSON.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from reseen.errors import CheckpointError
from reseen.export.contract import INPUT, OUTPUT, Contract
from reseen.kernels.centring import CameraStatistics
from reseen.nets.encoder import EncoderSettings
from reseen.nets.pretrained import from_json

FORMAT = 1
PICTURES = tuple(sorted(Path(__file__).with_name("pictures").glob("*.png")))
"""Two invented people, with whom files are tested (drawn by `reseen data invent`)."""

LIKENESS = {"float32": 0.9999, "float16": 0.999, "int8": 0.99}
"""Minimum cosine of a vector and that on the card, by precision: other processors round
differently, and a wrong contract can give 0.985."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about an exported file."""

    consumer: str
    """The program that it was written for."""
    height: int
    width: int
    scale: str
    order: str
    mean: tuple[float, ...]
    """Mean that is subtracted from pixels of 0 to 1 outside of the file; 0 if none."""
    std: tuple[float, ...]
    """Standard deviation by which they are then divided; 1 if none."""
    batch: int
    """Number of images in a batch; 0 is any number."""
    precision: str
    dimensions: int
    """Dimension of the vectors."""
    encoder_settings: dict[str, Any]
    digest: str
    """SHA-256 of settings and weights of the encoder (`reseen.nets.encoder.digest`)."""
    version: str
    """Version of reseen that wrote it."""
    run: str = ""
    """The run or folder of the encoder."""
    data: str = ""
    """A sentence about the training pictures."""
    cameras: dict[str, Any] | None = None
    """Camera statistics of features: names, and moments as base64 of float32 (1 + C, 2, D)."""
    threshold: dict[str, Any] | None = None
    """similarity (cosine) from which two crops count as the same person, and its source."""
    vectors: dict[str, list[float]]
    """The vectors of the two drawn pictures, resized as `resize` says."""
    resize: str = "stretch, bilinear"
    input: str = INPUT
    output: str = OUTPUT
    unit_rows: bool = True
    format: int = FORMAT

    @property
    def contract(self) -> Contract:
        """The contract of the file."""
        return Contract(
            scale=self.scale, order=self.order, batch=self.batch, precision=self.precision
        )

    @property
    def settings(self) -> EncoderSettings:
        """The settings of the encoder."""
        return EncoderSettings(**from_json(self.encoder_settings))

    @property
    def camera_statistics(self) -> CameraStatistics | None:
        """The statistics of each camera in the training crops, if they were measured."""
        if self.cameras is None:
            return None
        moments = np.frombuffer(base64.b64decode(self.cameras["moments"]), "<f4")
        names = tuple(self.cameras["names"])
        return CameraStatistics(names, moments.reshape(1 + len(names), 2, -1).copy())

    def metadata(self) -> dict[str, str]:
        """Return every key with its value as JSON, as in the metadata of ONNX files."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    def text(self) -> str:
        """Return the content of the card file: JSON, with a line for each key."""
        lines = (f"  {json.dumps(name)}: {value}" for name, value in self.metadata().items())
        return "{\n" + ",\n".join(lines) + "\n}\n"


def from_metadata(told: Mapping[str, Any], path: Path) -> Card:
    """Create a card from its keys and values.

    Raises:
        CheckpointError: it was not written by this package, has a newer version, or is damaged.
    """
    if "digest" not in told or "vectors" not in told:
        raise CheckpointError(
            f"{path} has no card of this package. Give a file that reseen export wrote, with its "
            f"card ({beside(path).name}) next to it."
        )
    if told.get("format") != FORMAT:
        raise CheckpointError(
            f"The card of {path} has format {told.get('format')!r:.20}, but this version reads "
            f"{FORMAT}. Install a newer version of reseen, or export the file again."
        )
    known = {field.name for field in fields(Card)}
    try:
        card = Card(**{name: value for name, value in told.items() if name in known})
        _ = card.contract, card.settings, card.camera_statistics
        vectors = np.array([card.vectors[picture.name] for picture in PICTURES])
        if vectors.shape != (len(PICTURES), card.dimensions) or not np.isfinite(vectors).all():
            raise ValueError(f"vectors of shape {vectors.shape}")
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"The card of {path} is damaged: {error!r:.100}. Restore it from a backup, or export "
            "again."
        ) from error
    return card


def read_beside(path: Path) -> Card:
    """Read the card beside a file.

    Raises:
        CheckpointError: there is none, or as `from_metadata`.
    """
    card = beside(path)
    if not card.is_file():
        raise CheckpointError(
            f"{path} has no card: {card} does not exist. reseen export writes a card with each "
            "file; restore it from a backup."
        )
    try:
        told = json.loads(card.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{card} is damaged ({error}). Restore it from a backup.") from error
    return from_metadata(told if isinstance(told, dict) else {}, path)


def beside(path: Path) -> Path:
    """Return the path of the card of a file."""
    return path.with_name(path.name + ".json")


def camera_entry(cameras: CameraStatistics | None) -> dict[str, Any] | None:
    """Return camera statistics in the format of a card."""
    if cameras is None:
        return None
    moments = np.ascontiguousarray(cameras.moments, "<f4").tobytes()
    return {"names": list(cameras.names), "moments": base64.b64encode(moments).decode()}


def drawn(height: int, width: int) -> np.ndarray:
    """Return the two drawn pictures as trackers resize them: (2, 3, height, width) uint8, RGB."""
    size, how = (width, height), PIL.Image.Resampling.BILINEAR
    made = (PIL.Image.open(path).convert("RGB").resize(size, how) for path in PICTURES)
    return np.stack([np.array(picture).transpose(2, 0, 1) for picture in made])


def check_vectors(found: np.ndarray, wanted: np.ndarray, precision: str, path: Path) -> float:
    """Refuse a file that returns wrong vectors for the drawn pictures.

    Args:
        found: (2, D) vectors from the file.
        wanted: (2, D) expected vectors.
        precision: of the file.
        path: of the file, for messages.

    Returns:
        The smaller cosine of the two pairs.

    Raises:
        CheckpointError: they are equal to each other, not of unit length, or wrong.
    """
    lengths = np.linalg.norm(found, axis=1)
    if not np.isfinite(found).all() or np.abs(lengths - 1).max() > 1e-2:
        raise CheckpointError(
            f"{path} returns vectors of length {lengths.round(3).tolist()} instead of 1. Do not "
            "use it. Export it again, or run it with another version of its runtime."
        )
    if float(found[0] @ found[1]) > LIKENESS["float32"]:
        raise CheckpointError(
            f"{path} returns the same vector for two different people, as a wrongly configured "
            "runtime does. Do not use it. Export it again, or with another precision."
        )
    likeness = float((found * wanted).sum(1).min())
    if not likeness >= LIKENESS[precision]:
        raise CheckpointError(
            f"{path} gives other vectors than it should for the two test images: their cosine "
            f"similarity is {likeness:.4f}, but must be at least {LIKENESS[precision]}. The file, "
            "its card, or the colour order and scale of its pixels do not match. Export it again."
        )
    return likeness
