"""Uploaded pictures: limits of their number and size, and whether they are pictures."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import PurePosixPath
from threading import Lock
from typing import Generic, TypeVar

import PIL.Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from reseen.data.pictures import BrokenPictureError, as_bytes, broken_said, scaled

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
"""Formats that are read; the fewer, the less code processes untrusted files."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request."""

    bytes: int = 64 << 20
    pictures: int = 100
    pixels: int = 50_000_000
    """Of all pictures together. Few bytes can decode to many pixels."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded picture."""

    name: str
    """Of its file, without folders."""
    content: bytes

    @property
    def id(self) -> str:
        """The id that its crop has, or would have, in a gallery."""
        return sha256(self.content).hexdigest()[:32]

    def picture(self) -> PIL.Image.Image:
        """Decode it: RGB, upright."""
        return scaled(BytesIO(self.content))[0]


def read_uploads(files: Sequence[UploadFile], limits: Limits) -> tuple[list[Upload], list[str]]:
    """Read uploaded pictures, and return a line for each file that is not a picture.

    Raises:
        HTTPException: there are none, or too many (422, 413).
    """
    files = [file for file in files if file.filename or file.size]
    if not files:
        raise HTTPException(422, "No picture was sent. Choose one or more files.")
    if len(files) > limits.pictures:
        raise HTTPException(
            413,
            f"{len(files)} pictures were sent at once, but at most {limits.pictures} are allowed. "
            "Send fewer, or add a folder from the command line.",
        )
    read, broken, room = [], [], limits.pixels
    for place, file in enumerate(files, 1):
        name = file_name(file.filename, place)
        content = file.file.read()
        try:
            room -= unpacked(content, room)
            read.append(Upload(name, content))
        except BrokenPictureError as error:
            broken.append(f"{name}: {error}")
    return read, broken


def read_all(files: Sequence[UploadFile], limits: Limits) -> list[Upload]:
    """Read uploaded pictures, all of which must be pictures.

    Raises:
        HTTPException: as `read_uploads`, or one is not a picture (422).
    """
    read, broken = read_uploads(files, limits)
    if broken:
        raise HTTPException(422, f"A file cannot be read as an image: {broken[0]}.")
    return read


def unpacked(content: bytes, room: int) -> int:
    """Decode a picture after checking its size, and return the number of its pixels.

    Raises:
        BrokenPictureError: it is not a picture, is damaged, or has more pixels than allowed.
    """
    with broken_said():
        try:
            opened = PIL.Image.open(BytesIO(content), formats=FORMATS)
        except PIL.UnidentifiedImageError:
            raise BrokenPictureError(f"it is not an image ({', '.join(FORMATS)})") from None
        with opened as picture:
            pixels = picture.width * picture.height
            if pixels > room:
                raise BrokenPictureError(
                    f"it has {picture.width} x {picture.height} pixels, but only {room:,} more are "
                    "allowed; crop the person from it"
                )
            as_bytes(picture)
            return pixels


def file_name(given: str | None, place: int) -> str:
    """Return the name of a file without folders and invalid characters."""
    name = PurePosixPath((given or "").replace("\\", "/")).name
    name = "".join(letter for letter in name if letter.isprintable())[-100:]
    return name if name.strip(". ") else f"picture-{place}"


Thing = TypeVar("Thing")


class Held(Generic[Thing]):
    """Keeps the latest values in memory, by names that cannot be guessed.

    Args:
        most: maximum number of values.
        room: maximum size of all of them in bytes.
    """

    def __init__(self, most: int, room: int = 1 << 28):
        self._most, self._room = most, room
        self._sizes: dict[str, int] = {}
        self._things: OrderedDict[str, Thing] = OrderedDict()
        self._lock = Lock()

    def keep(self, thing: Thing, size: int = 0) -> str:
        """Keep a value with this size in bytes, and return its name."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._things[name], self._sizes[name] = thing, size
            while len(self._things) > self._most or sum(self._sizes.values()) > self._room:
                del self._sizes[self._things.popitem(last=False)[0]]
        return name

    def get(self, name: str) -> Thing | None:
        """Return a value, if it is still kept."""
        with self._lock:
            return self._things.get(name)

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._things.clear()
            self._sizes.clear()
