"""Pseudo-labels in two stages: k-means finds centroids, the Jaccard distance their members.

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
    """Cluster images around k-means centroids, and keep only those that a single centroid claims.

    Args:
        features: (N, D) unit rows.
        clusters: number of centroids, at most N. The paper's M: 1000.
        p: number of images that each centroid claims. Paper: 20.
        k1: number of neighbours for reciprocal sets, including the image itself (the paper's k, for
            which it gives no value; 20 to 30 is usual).
        k2: number of nearest points whose encodings are averaged; used only if weighted.
        weighted: use distances of expanded, weighted sets (Zhong et al.), not plain ones (Eq. 5).
        approximate: find nearly all neighbours between images (`nearest_approximate`).
        seed: of k-means++, or a generator.

    Returns:
        (N,) ids, without gaps for clusters that lost all their images to others.

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
        p: as in `two_stage`, like all the following.
        k1: number of neighbours.
        k2: number of neighbours to average.
        weighted: the form of the distances.
        approximate: how neighbours are found; the labels then record the share that was found.

    Returns:
        (N,) ids, NOISE for images that no centroid claims, or more than one.

    Raises:
        DataError: the rows are invalid, or a centroid is zero.
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
    """Find the p images nearest to each centroid by Jaccard distance, also if others claim them.

    Centroids are not images, so they are added to the pool of points before reciprocal sets are
    computed. They are first normalised to length 1: a mean of unit rows is shorter, so that by
    Euclidean distance short ones would be among the neighbours of every image. An image that shares
    no neighbour with a centroid has distance 1 and is never found. Ties are resolved by position.

    Args:
        features, centroids, p, k1, k2, weighted: as in `claim`.
        within: as in `nearest_joined`.

    Returns:
        (M, p) int32 positions, nearest first, -1 if there are fewer; and (M, p) float32 distances,
        0 to 1.

    Raises:
        DataError, SettingsError: as `claim`.

    Memory: O((N + M) k1 + M D).
    """
    length = np.linalg.norm(centroids, axis=1, keepdims=True)
    if not length.all():
        raise DataError(f"{(length == 0).sum()} centroids are zero: leave them out.")
    units = (centroids / length).astype(np.float32)
    ranks, near = nearest_joined(features, units, k1, within)
    if weighted:
        half = round(k1 / 2) + 1
        encoding = encode(features, ranks, k1, half, k2, similarities=near, extra=units)
    else:
        encoding = encode_sets(ranks, k1)
    points = np.arange(len(features), len(ranks))
    return jaccard_nearest(invert(encoding), points, p, len(features))
