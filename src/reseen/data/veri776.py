"""VeRi-776: vehicles, whose files are named in Market-1501's manner.

Liu et al., A Deep Learning-Based Approach to Progressive Vehicle Re-identification for Urban
Surveillance, ECCV 2016. 776 vehicles, 20 cameras.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

PARTS = ("image_train", "image_query", "image_test")


def recognises(root: Path) -> bool:
    """Say whether a folder holds image_train or image_test."""
    return any((root / part).is_dir() for part in (PARTS[0], PARTS[2]))


def read(root: Path) -> Dataset:
    """Read the folder that holds image_train, image_query and image_test.

    Raises:
        DataError: a folder is missing or empty, or a file has another kind of name.
    """
    return market_like.read_parts(root, "VeRi-776", folders=PARTS)
