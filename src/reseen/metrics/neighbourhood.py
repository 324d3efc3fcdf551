"""How good features are, measured by their neighbourhoods only, without identities."""

import numpy as np

from reseen.errors import DataError
from reseen.kernels.approximate import nearest_of_many

_BLOCK = 1 << 22
"""Number of comparisons at a time."""


def shared_neighbours(features: np.ndarray, count: int, cameras: np.ndarray | None = None) -> float:
    """Measure how far the nearest images of an image are also near each other.

    It is the mean share of the `count` nearest images of an image that are also among the `count`
    nearest of one of these. If the nearest images show the same person, and `count` is about the
    number of images per person, it is near 1; for unrelated images it is near 0.

    It usually rises and falls with mAP: it rises if training improves the features, and falls if
    training splits or mixes people; docs/explanation/automatic-settings.md says how often. Compare
    encoders only on the same images and with the same `count`.

    Args:
        features: (N, D) unit rows.
        count: number of neighbours, without the image itself; a good value is the expected number
            of images per person.
        cameras: (N,) int, -1 if unknown. If at least two are known, only pairs of an image and a
            neighbour from another camera count.

    Returns:
        0 to 1; NaN if no pair counts.

    Raises:
        DataError: features are not finite unit rows, or cameras has another length.

    Memory: O(N count).
    """
    if cameras is not None and len(cameras) != len(features):
        raise DataError(
            f"There are {len(features)} features and {len(cameras)} cameras. Give one each."
        )
    n = len(features)
    count = max(1, min(count, n - 1))
    ranks, _ = nearest_of_many(features, min(count + 1, n))
    others = np.sort(_without_self(ranks)[:, :count], axis=1)
    shared = np.zeros(others.shape)
    step = max(1, _BLOCK // max(1, count**3))
    for start in range(0, n, step):
        rows = others[start : start + step]
        beside = others[rows]  # (b, count, count): the neighbours of each neighbour
        shared[start : start + step] = (beside[..., None] == rows[:, None, None]).any(-1).sum(-1)
    counted = np.ones(others.shape, bool)
    if cameras is not None and len(np.unique(cameras[cameras >= 0])) > 1:
        counted = (cameras[others] != cameras[:, None]) & (cameras[:, None] >= 0)
        counted &= cameras[others] >= 0
    return float(shared[counted].mean() / count) if counted.any() else float("nan")


def _without_self(ranks: np.ndarray) -> np.ndarray:
    """Drop each image from its own list, or the last one if copies have displaced it."""
    own = ranks == np.arange(len(ranks))[:, None]
    own[~own.any(1), -1] = True
    return ranks[~own].reshape(len(ranks), -1)
