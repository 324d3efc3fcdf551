"""Reading one picture, whatever is wrong with it."""

import errno
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from reseen.errors import ReseenError


def open_picture(path: Path) -> PIL.Image.Image:
    """Read a whole picture as RGB, turned upright as its EXIF says.

    Raises:
        OSError: it is missing, truncated, or not a picture; the text says which.
        ReseenError: this process may open no more files, whatever the picture is like.
    """
    try:
        with PIL.Image.open(path) as picture:
            return PIL.ImageOps.exif_transpose(picture).convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # a spoilt file can raise nearly anything, also struct.error
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise ReseenError(
                f"{path} cannot be opened: too many files are open already. Allow more (ulimit -n) "
                "or read with fewer threads (--workers 1)."
            ) from error
        raise OSError(str(error) or type(error).__name__) from error
