"""DukeMTMC-reID.

Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, ECCV
Workshops 2016; crops by Zheng, Zheng and Yang, ICCV 2017. 1,404 people, 8 cameras.

Its authors withdrew the data set in 2019, because the people in it had not agreed to be. This is a
reader for those who may still use a copy they hold; the data is not shipped, linked or fetched.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

recognises = market_like.recognises


def read(root: Path) -> Dataset:
    """Read the folder that holds bounding_box_train, query and bounding_box_test.

    The time of an image is its frame number, which each camera counts for itself.

    Raises:
        DataError: a folder is missing or empty, or a file has another kind of name.
    """
    return market_like.read_parts(root, "DukeMTMC-reID")
