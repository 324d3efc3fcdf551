"""Read single pictures, which may be damaged or unusual."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO

import numpy as np
import PIL.Image
import PIL.ImageFilter
import PIL.ImageOps

TOPS = 1, 255, 1023, 4095, 16383, 65535
"""Possible values of white in a picture that does not have bytes: of floats, or 8 to 16 bits."""
FACE = 0.25
"""Share of a crop, from the top, where the face is."""

_END = b"\xff\xd9"
_TURNED = b"Exif", b"tiff:Orientation"
"""Content of a JPEG that may say that it must be rotated."""
_SMALL = 1 << 20
"""Bytes of a file that cannot have more pixels than Pillow accepts."""

_SYSTEM = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
"""Errors that are not caused by the picture: open files, memory or the disk."""


class BrokenPictureError(OSError):
    """A picture is missing, truncated, or not a picture."""


@contextmanager
def broken_said() -> Iterator[None]:
    """Convert all errors that a damaged file can cause to one, and leave others unchanged.

    Raises:
        BrokenPictureError: the picture is at fault.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can raise nearly any error, also struct.error
        if isinstance(error, OSError) and error.errno in _SYSTEM:
            raise
        raise BrokenPictureError(str(error) or type(error).__name__) from error


def open_picture(path: Path) -> PIL.Image.Image:
    """Read a picture as RGB, rotated according to its EXIF data; see `scaled` for the values.

    Raises:
        BrokenPictureError: it is missing, truncated, or not a picture; the message says which.
        OSError: the system is at fault: too many files are open, or the disk does not respond.
    """
    with broken_said():
        return scaled(path)[0]


def read_jpeg(path: Path) -> np.ndarray | None:
    """Read a plain JPEG like `open_picture`, with identical pixels, in a third of the time.

    Returns:
        (3, H, W) uint8; None if Pillow must read it, because the file is large, rotated, has four
        channels, is damaged or is not a JPEG.
    """
    decode = _quick_decoder()
    try:
        data = path.read_bytes() if decode else b""
        if decode is None or len(data) > _SMALL or not data.endswith(_END):
            return None
        if any(word in data for word in _TURNED):
            return None
        pixels = decode(data)
    except (OSError, RuntimeError):
        return None
    if len(pixels) == 1:
        return np.repeat(pixels, 3, 0)
    return np.ascontiguousarray(pixels) if len(pixels) == 3 else None


@cache
def _quick_decoder() -> Callable[[bytes], np.ndarray] | None:
    """Return torchvision's decoder, or None in versions that do not have this operator."""
    import torch

    try:
        import_module("torchvision.io")  # registers the operator
        decode = torch.ops.image.decode_jpeg
    except (ImportError, AttributeError):
        return None
    return lambda data: decode(
        torch.frombuffer(bytearray(data), dtype=torch.uint8), 0, False
    ).numpy()


def scaled(source: Path | IO[bytes]) -> tuple[PIL.Image.Image, float | None]:
    """Read a picture as RGB, upright, with values scaled to 0..255.

    Bytes are not changed. For integers with more bits and for floats, white is the first of TOPS
    that no value of the picture exceeds (integers start at 255), or the largest value if it exceeds
    all of them; black is 0, and so are negative, infinite and NaN values.

    Returns:
        The picture, and the value of white if the values were scaled.
    """
    with PIL.Image.open(source) as picture:
        return as_bytes(picture)


def as_bytes(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, float | None]:
    """Convert an open picture to RGB, as `scaled` does."""
    picture = PIL.ImageOps.exif_transpose(picture)
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture.convert("RGB"), None
    values = np.asarray(picture).astype(np.float64)
    values = np.maximum(np.nan_to_num(values, nan=0, posinf=0, neginf=0), 0)
    most = float(values.max(initial=0))
    tops = TOPS if picture.mode == "F" else TOPS[1:]
    top = next((float(top) for top in tops if most <= top), most)
    grey = np.rint(values * (255 / top)).astype(np.uint8)
    return PIL.Image.fromarray(grey).convert("RGB"), top


def blur_top(picture: PIL.Image.Image) -> None:
    """Blur the upper quarter of a crop, where the face of a person is."""
    face = picture.crop((0, 0, picture.width, max(1, round(picture.height * FACE))))
    blurred = face.filter(PIL.ImageFilter.GaussianBlur(max(2, picture.width / 8)))
    picture.paste(blurred, (0, 0))
