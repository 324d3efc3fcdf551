"""VeRi-776: vehicles, with file names as in Market-1501.

Liu et al., A Deep Learning-Based Approach to Progressive Vehicle Re-identification for Urban
Surveillance, ECCV 2016. 776 vehicles, 20 cameras.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

PARTS = ("image_train", "image_query", "image_test")


def recognises(root: Path) -> bool:
    """Return whether a folder contains image_train or image_test."""
    return any((root / part).is_dir() for part in (PARTS[0], PARTS[2]))


def read(root: Path) -> Dataset:
    """Read the folder with image_train, image_query and image_test.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    return market_like.read_parts(root, "VeRi-776", folders=PARTS)
