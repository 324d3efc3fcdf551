"""How a program prepares pixels for an exported file, and what it expects from the file.

Each program has its own way, and a file for another one returns vectors that look right (cosine
0.985 to the right ones): so a file is written for one contract, which its card states.
"""

from dataclasses import dataclass, replace

import numpy as np

from reseen.errors import SettingsError
from reseen.nets.backbones import IMAGENET_MEAN, IMAGENET_STD

SCALES = ("plain", "unit", "pixel")
ORDERS = ("rgb", "bgr")
PRECISIONS = ("float32", "float16", "int8")
INPUT, OUTPUT = "images", "embeddings"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The input format of a file, and its precision."""

    scale: str = "plain"
    """plain (0 to 1, then normalised by ImageNet's mean and std), unit (0 to 1), pixel (0 to
    255)."""
    order: str = "rgb"
    """Order of the colours: rgb or bgr."""
    batch: int = 0
    """Number of images in a batch; 0 allows any number."""
    precision: str = "float32"
    """float32, float16 or int8."""

    def __post_init__(self):
        for name, known in (("scale", SCALES), ("order", ORDERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}. Use one of: {', '.join(known)}."
                )
        if self.batch < 0:
            raise SettingsError(f"batch is {self.batch}. Use 0 (any number) or more.")

    @property
    def outside(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std by which pixels of 0 to 1 are normalised outside of the file."""
        plain = self.scale == "plain"
        return (IMAGENET_MEAN, IMAGENET_STD) if plain else ((0.0,) * 3, (1.0,) * 3)

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """Prepare pixels (B, 3, H, W), RGB, 0 to 255, like the program: (B, 3, H, W) float32."""
        images = pixels.astype(np.float32)
        if self.scale != "pixel":
            mean, std = (np.array(of, np.float32)[:, None, None] for of in self.outside)
            images = (images / 255 - mean) / std
        return np.ascontiguousarray(images[:, ::-1]) if self.order == "bgr" else images


CONSUMERS = {
    "plain": Contract(),
    "boxmot": Contract(),
    "ultralytics": Contract(scale="unit"),
    "deepstream": Contract(scale="pixel"),
    "openvino": Contract(scale="pixel", order="bgr", batch=1),
    "torch": Contract(scale="pixel"),
}
"""The contract of each supported program."""

SUFFIXES = {"openvino": ".xml", "torch": ".pt2"}
"""The suffix of its file, if it is not .onnx."""


def contract_for(consumer: str, precision: str = "float32", **changes: object) -> Contract:
    """Return the contract of a program.

    Args:
        consumer: one of CONSUMERS.
        precision: one of PRECISIONS.
        changes: values that differ from those of the program (scale, order, batch), or None.

    Raises:
        SettingsError: the program is unknown, or a value is invalid.
    """
    if consumer not in CONSUMERS:
        raise SettingsError(f"for is {consumer!r}. Use one of: {', '.join(CONSUMERS)}.")
    if consumer == "torch" and precision == "int8":
        raise SettingsError("torch does not support int8 here. Use float32 or float16.")
    told = {name: value for name, value in changes.items() if value is not None}
    return replace(CONSUMERS[consumer], precision=precision, **told)
