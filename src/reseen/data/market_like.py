"""The layout that Market-1501 made common: who and which camera stand in the file name."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from reseen.data.folder import is_picture
from reseen.errors import DataError
from reseen.records import JUNK, Dataset, Image

PARTS = ("bounding_box_train", "query", "bounding_box_test")
_NAME = re.compile(r"(?P<person>-?\d+)_c(?P<camera>\d+)(?:_f(?P<frame>\d+))?")


def read(root: Path, title: str = "This layout", *, train_only: bool = False) -> Dataset:
    """Read folders bounding_box_train, query and bounding_box_test of `PERSON_cCAMERA...` files.

    Person -1 is junk: left out of training, ignored in the gallery. A frame number `_f0046182`
    becomes the time.

    Args:
        root: the folder that holds the three.
        title: name of the data set in errors.
        train_only: accept bounding_box_train alone.

    Raises:
        DataError: a folder is missing or empty, or a file has another kind of name.
    """
    absent = [part for part in PARTS if not (root / part).is_dir()]
    if absent and not (train_only and absent == list(PARTS[1:])):
        raise DataError(
            f"{root / absent[0]} is not a folder. {title} has {PARTS[0]}, {PARTS[1]} and "
            f"{PARTS[2]}: give the folder that holds them.{nearby(root, has_training)}"
        )
    parts = [_part(root / part) if part not in absent else () for part in PARTS]
    train = tuple(image for image in parts[0] if image.person != JUNK)
    return Dataset(root.resolve().name, root, train, parts[1], parts[2])


def has_training(root: Path) -> bool:
    """Say whether a folder holds bounding_box_train."""
    return (root / PARTS[0]).is_dir()


def nearby(root: Path, fits: Callable[[Path], bool]) -> str:
    """Give the end of an error: which folder directly below `root` seems to be meant, if any."""
    below = sorted(root.iterdir()) if root.is_dir() else []
    meant = next((path for path in below if path.is_dir() and fits(path)), None)
    return f" That seems to be {meant}." if meant else ""


def _part(folder: Path) -> tuple[Image, ...]:
    paths = sorted(path for path in folder.iterdir() if is_picture(path))
    if not paths:
        raise DataError(f"{folder} holds no pictures. Unpack the data set again.")
    matches = [_NAME.match(path.name) for path in paths]
    refuse_names((p for p, m in zip(paths, matches, strict=True) if not m), "0002_c1s1_000451.jpg")
    return tuple(_image(p, m) for p, m in zip(paths, matches, strict=True) if m)


def _image(path: Path, match: re.Match[str]) -> Image:
    frame = match["frame"]
    return Image(
        path, int(match["person"]), int(match["camera"]), None if frame is None else float(frame)
    )


def refuse_names(paths: Iterable[Path], example: str) -> None:
    """Raise for files whose names do not say what they must.

    Raises:
        DataError: there is such a file; names the first and how many there are.
    """
    wrong = list(paths)
    if wrong:
        raise DataError(
            f"{len(wrong)} pictures are not named as expected, first {wrong[0]}. A name looks like "
            f"{example}: rename them, move them away, or read the folder as plain crops "
            "(--format folder)."
        )
