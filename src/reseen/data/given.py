"""Inputs from a caller: paths, pictures and arrays in memory, or records."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from reseen.data.pictures import BrokenPictureError, as_bytes, broken_said
from reseen.data.reading import read
from reseen.errors import DataError
from reseen.records import Dataset, Image, camera_names, distinct

Thing = Image | Path | str | PIL.Image.Image | np.ndarray
"""A record; the path of a picture, folder or manifest; a picture; or (H, W, 3) uint8, RGB."""


class Given(NamedTuple):
    """Inputs as records."""

    images: tuple[Image, ...]
    """N records; the path of picture i in memory is `picture-i`."""
    pictures: dict[Path, PIL.Image.Image]
    """The pictures in memory as RGB, by these paths."""
    notes: tuple[str, ...]
    """Notes on how folders were read."""
    cameras: tuple[str | None, ...] = ()
    """The name of the camera of each record, None if unknown."""


def gather(things: Dataset | Thing | Iterable[Thing]) -> Given:
    """Make records of inputs of any kind.

    Args:
        things: a data set, whose parts are all used, each image once; or one or several inputs of
            any kinds. Pictures in memory are numbered by their positions in the inputs, from 0.

    Raises:
        DataError: there are no inputs, or one has another type or cannot be read.
    """
    if isinstance(things, Dataset):
        every = distinct(things.train, things.query, things.gallery)
        return Given(every, {}, things.notes, tuple(camera_names(every, things.cameras)))
    images: list[Image] = []
    pictures: dict[Path, PIL.Image.Image] = {}
    notes: list[str] = []
    cameras: list[str | None] = []
    one = isinstance(things, Thing) or not isinstance(things, Iterable)
    every: Any = [things] if one else things
    for place, thing in enumerate(every):
        if isinstance(thing, Image):
            images.append(thing)
            cameras += camera_names([thing], {})
        elif isinstance(thing, Path | str):
            found = gather(read(thing))
            images += found.images
            notes += found.notes
            cameras += found.cameras
        else:
            path = Path(f"picture-{place}")
            pictures[path] = _picture(thing, place)
            images.append(Image(path))
            cameras.append(None)
    if not images:
        raise DataError("No pictures are given. Give paths, pictures, arrays or records.")
    if len(pictures) < sum(image.path in pictures for image in images):
        raise DataError(
            "A record has a path like picture-0, which stands for a picture in memory. "
            "Give the picture or array itself."
        )
    return Given(tuple(images), pictures, tuple(notes), tuple(cameras))


def _picture(thing: object, place: int) -> PIL.Image.Image:
    if isinstance(thing, np.ndarray):
        if thing.dtype != np.uint8 or thing.ndim != 3 or thing.shape[2] != 3 or not thing.size:
            raise DataError(
                f"Array {place} is {thing.dtype} of shape {thing.shape}. Give pictures as uint8 of "
                "shape (height, width, 3), 0 to 255, in the order red, green, blue."
            )
        return PIL.Image.fromarray(thing)
    if not isinstance(thing, PIL.Image.Image):
        raise DataError(
            f"Item {place} is of type {type(thing).__name__}. Give paths, PIL pictures, numpy "
            "arrays of shape (height, width, 3), or records."
        )
    try:
        with broken_said():
            return as_bytes(thing)[0]
    except BrokenPictureError as error:
        raise DataError(f"Picture {place} cannot be read: {error}.") from error
