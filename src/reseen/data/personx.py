"""PersonX.

Sun and Zheng, Dissecting Person Re-identification from the Viewpoint of Viewpoint, CVPR 2019.
1,266 rendered people; cameras are numbered 3, 4, 8, 10, 11 and 12.
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
    return market_like.read_parts(root, "PersonX")
