"""Pseudo-labels by two stages: k-means gives centroids, Jaccard distance chooses their members."""

import numpy as np
from sklearn.cluster import KMeans

from reseen.cluster.density import _by_appearance
from reseen.kernels.jaccard import jaccard_rows
from reseen.kernels.neighbours import nearest
from reseen.kernels.reciprocal import encode
from reseen.records import NOISE, PseudoLabels


def two_stage(
    features: np.ndarray,
    *,
    clusters: int = 1000,
    p: int = 20,
    k1: int = 30,
    k2: int = 6,
    weighted: bool = False,
    seed: int = 0,
) -> PseudoLabels:
    """Group images around k-means centroids, and keep only those that one centroid claims.

    Args:
        features: (N, D) unit rows.
        clusters: centroids (M).
        p: images that each centroid claims.
        k1: neighbours of which reciprocal ones make a set, itself counted.
        k2: nearest points whose encodings are averaged; read only if weighted.
        weighted: distances of expanded, weighted sets, not of plain ones (Eq. 5).
        seed: of k-means++.

    Returns:
        (N,) ids.

    Source: Ji et al., ADTC, ECCV 2020, Sec. 3.2.
    """
    means = KMeans(clusters, n_init="auto", random_state=seed).fit(features).cluster_centers_
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    pool = np.concatenate([features, means]).astype(np.float32)
    ranks, _ = nearest(pool, k1)
    encoding = encode(pool, ranks, k1, round(k1 / 2) + 1, k2 if weighted else 1)
    distances = jaccard_rows(encoding, np.arange(len(features), len(pool)))[:, : len(features)]
    claimed = np.argsort(distances, 1, kind="stable")[:, :p]
    claims = np.zeros(distances.shape, bool)
    np.put_along_axis(claims, claimed, np.take_along_axis(distances, claimed, 1) < 1, 1)
    labels = np.where(claims.sum(0) == 1, claims.argmax(0), NOISE)
    return PseudoLabels(_by_appearance(labels))
