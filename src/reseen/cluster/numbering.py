"""Numbering of clusters."""

import numpy as np

from reseen.records import NOISE


def by_appearance(labels: np.ndarray) -> np.ndarray:
    """Number clusters 0..K-1 in the order of their first members.

    Args:
        labels: (N,) int, any numbers, NOISE for no cluster.

    Returns:
        (N,) int64.
    """
    ids = np.full(len(labels), NOISE, np.int64)
    clustered = labels != NOISE
    found, first, inverse = np.unique(labels[clustered], return_index=True, return_inverse=True)
    place = np.empty(len(found), np.int64)
    place[np.argsort(first)] = np.arange(len(found))
    ids[clustered] = place[inverse]
    return ids
