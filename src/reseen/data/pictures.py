"""Reading one picture, whatever is wrong with it."""

from pathlib import Path

import PIL.Image
import PIL.ImageOps


def open_picture(path: Path) -> PIL.Image.Image:
    """Read a whole picture as RGB, turned upright as its EXIF says.

    Raises:
        OSError: it is missing, truncated, or not a picture; the text says which.
    """
    try:
        with PIL.Image.open(path) as picture:
            return PIL.ImageOps.exif_transpose(picture).convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # a spoilt file can raise nearly anything, also struct.error
        raise OSError(str(error) or type(error).__name__) from error
