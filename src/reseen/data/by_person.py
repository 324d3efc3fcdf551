"""Market-1501 sorted into one folder per person, as some training scripts do."""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

PARTS = ("train_all", "query", "gallery")


def recognises(root: Path) -> bool:
    """Return whether a folder has train_all, query and gallery, with names as in Market-1501."""
    if not all((root / part).is_dir() for part in PARTS):
        return False
    first = next((root / PARTS[0]).glob("*/*.*"), None)
    return first is not None and market_like.person_and_camera(first) is not None


def read(root: Path) -> Dataset:
    """Read the folder with train_all, query and gallery; train, val and others are not read.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    return market_like.read_parts(root, "A set by person", folders=PARTS)
