"""Whitening: directions in which all features vary much count less; needs no labels.

With m and C the mean and the covariance of the features of many crops, C = V diag(l) V^T,

    z = unit((x - m) V diag((l / l_1 + FLOOR)^(-share / 2)) V^T)

where l_1 is the largest eigenvalue. With share 1, all directions get the same variance, except
those below the floor; share 0 only subtracts the mean. Directions of large variance are common to
many people (pose, light, background), so what distinguishes people counts more.

Source: Jégou and Chum, Negative Evidences and Co-occurrences in Image Retrieval: the Benefit of
PCA and Whitening, ECCV 2012; with a share below 1: Mukundan et al., Understanding and Improving
Kernel Local Descriptors, IJCV 2019 (attenuated whitening).
"""

import numpy as np

FLOOR = 1e-3
"""Added to each eigenvalue, as a share of the largest one, so that noise is not amplified."""

_BLOCK = 1 << 12
"""Rows that are summed at a time in float64."""


def whitening(features: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute the whitening of features.

    Args:
        features: (N, D) unit rows.
        share: how strongly to whiten, 0 to 1.

    Returns:
        (D,) float32 mean, and (D, D) float32 symmetric matrix.

    Memory: O(D^2).
    """
    total, products = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), _BLOCK):
        rows = features[start : start + _BLOCK].astype(np.float64)
        total += rows.sum(0)
        products += rows.T @ rows
    mean = total / len(features)
    values, vectors = np.linalg.eigh(products / len(features) - np.outer(mean, mean))
    values = np.maximum(values, 0)
    scales = (values / max(values[-1], np.finfo(np.float64).tiny) + FLOOR) ** (-share / 2)
    return mean.astype(np.float32), ((vectors * scales) @ vectors.T).astype(np.float32)


def whitened(features: np.ndarray, share: float) -> np.ndarray:
    """Whiten features by their own statistics, as for clustering.

    Args:
        features: (N, D) unit rows.
        share: how strongly to whiten; 0 returns the features unchanged.

    Returns:
        (N, D) float32 unit rows.
    """
    if not share:
        return features
    mean, matrix = whitening(features, share)
    rows = (features - mean) @ matrix
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float32).tiny)
