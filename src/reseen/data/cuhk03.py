"""CUHK03, with names as in Market-1501.

Li et al., DeepReID, CVPR 2014. 1,467 people, 2 cameras at each of 5 places.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

recognises = market_like.recognises


def read(root: Path) -> Dataset:
    """Read bounding_box_train, and query and bounding_box_test if they exist.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    return market_like.read_parts(root, "CUHK03", train_only=True)
