"""Reading one picture, whatever is wrong with it."""

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
"""What white may be in a picture that is not of bytes: of floats, or of 8 to 16 bits."""
FACE = 0.25
"""Share of a crop, from the top, in which a face is looked for."""

_END = b"\xff\xd9"
_TURNED = b"Exif", b"tiff:Orientation"
"""What a JPEG holds that may say that it is to be turned."""
_SMALL = 1 << 20
"""Bytes of a file that cannot be more pixels than Pillow would take."""

_SYSTEM = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
"""Errors that say nothing about a picture: open files, memory or the disk."""


class BrokenPictureError(OSError):
    """A picture is missing, truncated, or none."""


@contextmanager
def broken_said() -> Iterator[None]:
    """Tell everything that a spoilt file can raise as one error, and nothing else.

    Raises:
        BrokenPictureError: the picture is at fault.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a spoilt file can raise nearly anything, also struct.error
        if isinstance(error, OSError) and error.errno in _SYSTEM:
            raise
        raise BrokenPictureError(str(error) or type(error).__name__) from error


def open_picture(path: Path) -> PIL.Image.Image:
    """Read a whole picture as RGB, turned upright as its EXIF says; see `scaled` for the values.

    Raises:
        BrokenPictureError: it is missing, truncated, or not a picture; the text says which.
        OSError: the system is at fault: too many files are open, or the disk does not answer.
    """
    with broken_said():
        return scaled(path)[0]


def read_jpeg(path: Path) -> np.ndarray | None:
    """Read a plain JPEG as `open_picture` does, bit for bit, in a third of its time.

    Returns:
        (3, H, W) uint8; None where it is left to Pillow: the file is large, turned, of four
        colours, damaged or none.
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
    """Give torchvision's decoder, by its operator: versions that have none leave all to Pillow."""
    import torch

    try:
        import_module("torchvision.io")  # brings the operator
        decode = torch.ops.image.decode_jpeg
    except (ImportError, AttributeError):
        return None
    return lambda data: decode(
        torch.frombuffer(bytearray(data), dtype=torch.uint8), 0, False
    ).numpy()


def scaled(source: Path | IO[bytes]) -> tuple[PIL.Image.Image, float | None]:
    """Read a whole picture as RGB, upright, its values brought to 0..255.

    Bytes stay. Of integers of more bits and of floats, white is the first of TOPS that no value
    of the picture exceeds (integers begin at 255), or the largest value where all are exceeded;
    black is 0, and so is what is less, infinite or not a number.

    Returns:
        The picture, and what white was where the values were scaled.
    """
    with PIL.Image.open(source) as picture:
        return as_bytes(picture)


def as_bytes(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, float | None]:
    """Make RGB of a picture that is open, as `scaled` does."""
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
    """Make the upper quarter of a crop unrecognisable, where the face of a whole person is."""
    face = picture.crop((0, 0, picture.width, max(1, round(picture.height * FACE))))
    blurred = face.filter(PIL.ImageFilter.GaussianBlur(max(2, picture.width / 8)))
    picture.paste(blurred, (0, 0))
