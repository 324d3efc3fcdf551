"""Market-1501.

Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015. 1,501 people, 6 cameras.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

recognises = market_like.recognises


def read(root: Path) -> Dataset:
    """Read the folder with bounding_box_train, query and bounding_box_test.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    return market_like.read_parts(root, "Market-1501")
