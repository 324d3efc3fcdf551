"""The layout that Market-1501 made common: who and which camera stand in the file name."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from reseen.data.listing import find_pictures, folders_in, say_passed
from reseen.errors import DataError
from reseen.records import JUNK, Dataset, Image

PARTS = ("bounding_box_train", "query", "bounding_box_test")
DEPTH = 3
"""Folders further down in which a benchmark is looked for."""
_NUMBER = r"\d{1,18}(?!\d)"  # what 64 bits hold
_NAME = re.compile(rf"(?P<person>-1|{_NUMBER})_c(?P<camera>{_NUMBER})(?:_f(?P<frame>{_NUMBER}))?")
_SURE = re.compile(r"(?:-1|\d{4})_c\d{1,3}(?:s\d|_)")


def recognises(root: Path) -> bool:
    """Say whether a folder holds bounding_box_train or bounding_box_test."""
    return any((root / part).is_dir() for part in (PARTS[0], PARTS[2]))


def read(root: Path) -> Dataset:
    """Read a set in this layout, whichever it is; bounding_box_train alone is enough.

    Raises:
        DataError: a folder is missing or empty, or a file has another kind of name.
    """
    return read_parts(root, "A Market-1501-like set", train_only=True)


def read_parts(
    root: Path,
    title: str,
    *,
    train_only: bool = False,
    folders: tuple[str, str, str] = PARTS,
) -> Dataset:
    """Read folders bounding_box_train, query and bounding_box_test of `PERSON_cCAMERA...` files.

    Person -1 is junk: left out of training, ignored in the gallery. A frame number `_f0046182`
    becomes the time.

    Args:
        root: the folder that holds the three.
        title: name of the data set in errors.
        train_only: accept bounding_box_train alone.
        folders: names of the three, where they are others.

    Raises:
        DataError: a folder is missing or empty, or a file has another kind of name.
    """
    absent = [part for part in folders if not (root / part).is_dir()]
    if absent and not (train_only and absent == list(folders[1:])):
        raise DataError(
            f"{root / absent[0]} is not a folder. {title} has {folders[0]}, {folders[1]} and "
            f"{folders[2]}: give the folder that holds them.{nearby(root, has_training)}"
        )
    passed = Counter[str]()
    parts = [_part(root / part, passed) if part not in absent else () for part in folders]
    train = tuple(image for image in parts[0] if image.person != JUNK)
    notes = say_passed(root, passed)
    return Dataset(root.resolve().name, root, train, parts[1], parts[2], notes=notes)


def has_training(root: Path) -> bool:
    """Say whether a folder holds bounding_box_train."""
    return (root / PARTS[0]).is_dir()


def nearby(root: Path, fits: Callable[[Path], bool]) -> str:
    """Give the end of an error: which folder further down seems to be meant, if any."""
    below = [root] if root.is_dir() else []
    for _ in range(DEPTH):
        below = [path for folder in below[:1000] for path in folders_in(folder)]
        if meant := next((path for path in below if fits(path)), None):
            return f" That seems to be {meant}."
    return ""


def person_and_camera(path: Path) -> tuple[int, int] | None:
    """Read a name that is surely made in Market-1501's manner, with a person of four digits."""
    match = _NAME.match(path.name) if _SURE.match(path.name) else None
    return (int(match["person"]), int(match["camera"])) if match else None


def _part(folder: Path, passed: Counter[str]) -> tuple[Image, ...]:
    paths, others = find_pictures(folder)
    passed += others
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
            f"{len(wrong)} pictures are not named as expected, the first is {wrong[0]}. A name "
            f"looks like {example}. Rename them, move them away, or read the folder as plain crops "
            "(--format folder)."
        )
