"""CUHK03, renamed in Market-1501's manner.

Li et al., DeepReID, CVPR 2014. 1,467 people, 2 cameras at each of 5 places.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

recognises = market_like.recognises


def read(root: Path) -> Dataset:
    """Read bounding_box_train, and query and bounding_box_test where they are there.

    Raises:
        DataError: a folder is missing or empty, or a file has another kind of name.
    """
    return market_like.read_parts(root, "CUHK03", train_only=True)
