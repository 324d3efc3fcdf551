"""How good features are, told from their neighbourhoods alone: no person is known."""

import numpy as np

from reseen.errors import DataError
from reseen.kernels.approximate import nearest_of_many

_BLOCK = 1 << 22
"""Comparisons at a time."""


def shared_neighbours(features: np.ndarray, count: int, cameras: np.ndarray | None = None) -> float:
    """Tell how far the nearest images of an image are nearest to each other as well.

    The mean share of an image's `count` nearest that are among the `count` nearest of one of them.
    Where each image's nearest show its person, and `count` is about as many as there are, it is
    near 1; among unrelated images it is near 0.

    It rises with the truth (mAP) from a start to what was learnt from it, and falls where training
    tears people apart or mixes them; docs/explanation/automatic-settings.md says how often. Compare
    encoders on the same images and with the same `count` only.

    Args:
        features: (N, D) unit rows.
        count: neighbours, the image itself not counted; the expected images of a person suit.
        cameras: (N,) int, -1 where unknown. Where given and two or more are known, only pairs of
            an image and a neighbour from another camera count.

    Returns:
        0 to 1; NaN where no pair counts.

    Raises:
        DataError: features are not finite unit rows, or cameras differ in number.

    Memory: O(N count).
    """
    if cameras is not None and len(cameras) != len(features):
        raise DataError(
            f"There are {len(features)} features and {len(cameras)} cameras: give one each."
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
    """Drop each image from its own list, and the last where copies have pushed it out."""
    own = ranks == np.arange(len(ranks))[:, None]
    own[~own.any(1), -1] = True
    return ranks[~own].reshape(len(ranks), -1)
