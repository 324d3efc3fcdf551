"""Pseudo-labels by two stages: k-means gives centroids, Jaccard distance chooses their members.

Ji, Zou, Lin, Liu, Huang, Wu: An Attention-driven Two-stage Clustering Method for Unsupervised
Person Re-Identification (ADTC), ECCV 2020, Sec. 3.2.
"""

from typing import Any

import numpy as np

from reseen.cluster.density import SAMPLE
from reseen.cluster.numbering import by_appearance
from reseen.errors import DataError
from reseen.kernels.approximate import nearest_approximate, recall_on_sample
from reseen.kernels.jaccard import invert, jaccard_nearest
from reseen.kernels.joined import nearest_joined
from reseen.kernels.kmeans import kmeans
from reseen.kernels.reciprocal import encode, encode_sets
from reseen.records import NOISE, PseudoLabels


def two_stage(
    features: np.ndarray,
    *,
    clusters: int = 1000,
    p: int = 20,
    k1: int = 30,
    k2: int = 6,
    weighted: bool = False,
    approximate: bool = False,
    seed: int | np.random.Generator = 0,
) -> PseudoLabels:
    """Group images around k-means centroids, and keep only those that one centroid claims.

    Args:
        features: (N, D) unit rows.
        clusters: centroids, at most N. The paper's M: 1000.
        p: images that each centroid claims. Paper: 20.
        k1: neighbours of which reciprocal ones make a set, itself counted (the paper's k, which
            it does not give; 20 to 30 is usual).
        k2: nearest points whose encodings are averaged; read only if weighted.
        weighted: distances of expanded, weighted sets (Zhong et al.), not of plain ones (Eq. 5).
        approximate: find nearly all neighbours of images among images (`nearest_approximate`).
        seed: of k-means++, or a generator to draw from.

    Returns:
        (N,) ids; clusters that lost all their images to others leave no gap.

    Raises:
        DataError: features are not finite unit rows.
        SettingsError: a setting is outside its range.

    Memory: O((N + M) k1 + M D).
    """
    centroids, _ = kmeans(features, clusters, seed=seed)
    how: Any = dict(weighted=weighted, approximate=approximate)
    return claim(features, centroids, p=p, k1=k1, k2=k2, **how)


def claim(
    features: np.ndarray,
    centroids: np.ndarray,
    *,
    p: int = 20,
    k1: int = 30,
    k2: int = 6,
    weighted: bool = False,
    approximate: bool = False,
) -> PseudoLabels:
    """Label the p images nearest to each centroid by Jaccard distance: ADTC's second stage.

    Args:
        features: (N, D) unit rows.
        centroids: (M, D), of any length above 0.
        p: as in `two_stage`, and so all that follow.
        k1: neighbours.
        k2: neighbours to average.
        weighted: which form.
        approximate: how neighbours are found; the labels then say which share was.

    Returns:
        (N,) ids, NOISE for images that no centroid claims, or more than one.

    Raises:
        DataError: rows are unusable, or a centroid is zero.
        SettingsError: a setting is outside its range.

    Memory: O((N + M) k1 + M D).
    """
    how: Any = dict(weighted=weighted)
    recall = None
    if approximate:
        how["within"] = nearest_approximate(features, k1, seed=0)
        recall = recall_on_sample(features, how["within"][0], SAMPLE, 1)
    claimed, _ = nearest_images(features, centroids, p=p, k1=k1, k2=k2, **how)
    centroid, place = np.nonzero(claimed >= 0)
    image = claimed[centroid, place]
    labels = np.full(len(features), NOISE, np.int64)
    labels[image] = centroid
    labels[np.bincount(image, minlength=len(features)) > 1] = NOISE
    return PseudoLabels(by_appearance(labels), recall)


def nearest_images(
    features: np.ndarray,
    centroids: np.ndarray,
    *,
    p: int = 20,
    k1: int = 30,
    k2: int = 6,
    weighted: bool = False,
    within: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the p images nearest to each centroid by Jaccard distance, whoever else claims them.

    Centroids are no images, so they join the pool of points before reciprocal sets are made. They
    are brought to length 1 first: a mean of unit rows is shorter, so by Euclidean distance short
    ones would crowd into every image's neighbours. An image that shares no neighbour with a
    centroid is at distance 1 and never found; of images at equal distance the first are.

    Args:
        features, centroids, p, k1, k2, weighted: as in `claim`.
        within: as in `nearest_joined`.

    Returns:
        (M, p) int32 positions, nearest first, -1 where there are fewer; and (M, p) float32
        distances, 0 to 1.

    Raises:
        DataError, SettingsError: as `claim`.

    Memory: O((N + M) k1 + M D).
    """
    length = np.linalg.norm(centroids, axis=1, keepdims=True)
    if not length.all():
        raise DataError(f"{(length == 0).sum()} centroids are zero and point nowhere: drop them.")
    units = (centroids / length).astype(np.float32)
    ranks, near = nearest_joined(features, units, k1, within)
    if weighted:
        half = round(k1 / 2) + 1
        encoding = encode(features, ranks, k1, half, k2, similarities=near, extra=units)
    else:
        encoding = encode_sets(ranks, k1)
    points = np.arange(len(features), len(ranks))
    return jaccard_nearest(invert(encoding), points, p, len(features))
