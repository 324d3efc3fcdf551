"""DukeMTMC-reID.

Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, ECCV
Workshops 2016; crops by Zheng, Zheng and Yang, ICCV 2017. 1,404 people, 8 cameras.

Its authors withdrew the data set in 2019, because the people in it had not consented. This reader
is for those who may still use a copy that they have; the data is not shipped, linked or downloaded.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.records import Dataset

recognises = market_like.recognises


def read(root: Path) -> Dataset:
    """Read the folder with bounding_box_train, query and bounding_box_test.

    The time of an image is its frame number, which each camera counts separately.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    return market_like.read_parts(root, "DukeMTMC-reID")
