"""The layout of Market-1501, which other data sets use too: file names with person and camera."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from reseen.data.listing import find_pictures, folders_in, say_passed
from reseen.errors import DataError, counted
from reseen.records import JUNK, Dataset, Image

PARTS = ("bounding_box_train", "query", "bounding_box_test")
DEPTH = 3
"""How many levels deeper a benchmark is searched for."""
_NUMBER = r"\d{1,18}(?!\d)"  # fits into 64 bits
_NAME = re.compile(rf"(?P<person>-1|{_NUMBER})_c(?P<camera>{_NUMBER})(?:_f(?P<frame>{_NUMBER}))?")
_SURE = re.compile(r"(?:-1|\d{4})_c\d{1,3}(?:s\d|_)")


def recognises(root: Path) -> bool:
    """Return whether a folder contains bounding_box_train or bounding_box_test."""
    return any((root / part).is_dir() for part in (PARTS[0], PARTS[2]))


def read(root: Path) -> Dataset:
    """Read any data set with this layout; bounding_box_train alone is enough.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
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

    Person -1 is junk: left out of training, ignored in the gallery. A frame number `_f0046182` is
    the time.

    Args:
        root: the folder with these three.
        title: name of the data set, for error messages.
        train_only: accept bounding_box_train alone.
        folders: other names of the three folders.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    absent = [part for part in folders if not (root / part).is_dir()]
    if absent and not (train_only and absent == list(folders[1:])):
        raise DataError(
            f"{root / absent[0]} is not a folder. {title} has {folders[0]}, {folders[1]} and "
            f"{folders[2]}. Give the folder with these.{nearby(root, has_training)}"
        )
    passed = Counter[str]()
    parts = [_part(root / part, passed) if part not in absent else () for part in folders]
    train = tuple(image for image in parts[0] if image.person != JUNK)
    notes = say_passed(root, passed)
    return Dataset(root.resolve().name, root, train, parts[1], parts[2], notes=notes)


def has_training(root: Path) -> bool:
    """Return whether a folder contains bounding_box_train."""
    return (root / PARTS[0]).is_dir()


def nearby(root: Path, fits: Callable[[Path], bool]) -> str:
    """Return the end of an error message: which deeper folder is probably meant, if any."""
    below = [root] if root.is_dir() else []
    for _ in range(DEPTH):
        below = [path for folder in below[:1000] for path in folders_in(folder)]
        if meant := next((path for path in below if fits(path)), None):
            return f" That seems to be {meant}."
    return ""


def person_and_camera(path: Path) -> tuple[int, int] | None:
    """Parse a name that is certainly like those of Market-1501, with a person of four digits."""
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
    """Refuse files whose names do not match.

    Raises:
        DataError: there is such a file; the error has the first name and their number.
    """
    wrong = list(paths)
    if wrong:
        raise DataError(
            f"{counted(len(wrong), 'picture')} with an unexpected name, the first is {wrong[0]}. A "
            f"name looks like {example}. Rename them, move them away, or read the folder as plain "
            "crops (--format folder)."
        )
