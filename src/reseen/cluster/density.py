"""Pseudo-labels by density: k-reciprocal Jaccard distances, then DBSCAN.

The recipe that most unsupervised re-identification shares since Ge et al., Self-paced Contrastive
Learning with Hybrid Memory (SpCL), NeurIPS 2020.
"""

import numpy as np
from scipy import sparse
from sklearn.cluster import DBSCAN

from reseen.errors import SettingsError
from reseen.kernels.jaccard import jaccard_graph, jaccard_kth
from reseen.kernels.neighbours import nearest
from reseen.kernels.reciprocal import encode
from reseen.records import NOISE, PseudoLabels


def jaccard_dbscan(
    features: np.ndarray,
    *,
    k1: int = 30,
    k2: int = 6,
    eps: float = 0.6,
    min_samples: int = 4,
) -> PseudoLabels:
    """Group images whose neighbourhoods overlap: DBSCAN on k-reciprocal Jaccard distances.

    Args:
        features: (N, D) unit rows.
        k1: neighbours a point is encoded by, itself counted; N may be smaller.
        k2: nearest points whose encodings are averaged, the point itself counted; 1 for none.
        eps: the largest Jaccard distance between neighbours, above 0 and below 1.
        min_samples: points within eps, itself counted, that make a point the core of a cluster.

    Returns:
        (N,) ids, clusters numbered in the order in which they first appear.

    Raises:
        DataError: features are not finite unit rows.
        SettingsError: a setting is outside its range.

    Source: distances of Zhong et al., CVPR 2017, Sec. 3; DBSCAN of Ester et al., KDD 1996.
    Memory: O(N k1 + pairs within eps); N x N is never held.
    """
    check_density(k1, k2, eps, min_samples)
    graph = jaccard_graph(_encoding(features, k1, k2), eps)
    dbscan = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
    return PseudoLabels(_by_appearance(dbscan.fit(graph).labels_))


def core_distances(
    features: np.ndarray, *, k1: int = 30, k2: int = 6, min_samples: int = 4
) -> np.ndarray:
    """Give the eps at which each point would become the core of a cluster.

    That is the Jaccard distance to its min_samples-th nearest point, itself counted as DBSCAN
    counts. The median is thus the eps at which half of the points are core points.

    Args:
        features: (N, D) unit rows.
        k1: as in `jaccard_dbscan`.
        k2: as in `jaccard_dbscan`.
        min_samples: as in `jaccard_dbscan`.

    Returns:
        (N,) float32, 0 to 1; 1 where fewer than min_samples points share a neighbour with it.

    Raises:
        DataError: features are not finite unit rows.
        SettingsError: a setting is outside its range.

    Source: Ankerst et al., OPTICS, SIGMOD 1999, Def. 5.
    Memory: O(N k1); N x N is never held.
    """
    check_density(k1, k2, 0.5, min_samples)
    return jaccard_kth(_encoding(features, k1, k2), min_samples)


def explain(features: np.ndarray, *, k1: int, k2: int, eps: float, min_samples: int) -> str:
    """Say in words what the distances look like beside eps, and what to do about it.

    For a round of `jaccard_dbscan` with the same arguments that found no clusters to learn from.
    """
    reach = core_distances(features, k1=k1, k2=k2, min_samples=min_samples)
    low, middle, high = np.quantile(reach, (0.1, 0.5, 0.9))
    change = "raise" if eps < middle else "lower"
    advice = f"{change} eps to about {middle:.2f}"
    if middle >= 0.99:
        advice = "most images share no neighbours, so no eps will do: give a better start"
    elif middle < 0.01:
        advice = "most images look the same to the encoder, so no eps will do: give a better start"
    return (
        f"DBSCAN used eps {eps:g}. The distance to the nearest {min_samples} images, oneself "
        f"counted, is {low:.2f} for the closest tenth of the images, {middle:.2f} for the median "
        f"and {high:.2f} for the farthest tenth: {advice}."
    )


def check_density(k1: int, k2: int, eps: float, min_samples: int) -> None:
    """Refuse settings of `jaccard_dbscan` that cannot be meant.

    Raises:
        SettingsError: naming the setting, what it is and what it may be.
    """
    for name, value in (("k1", k1), ("k2", k2), ("min_samples", min_samples)):
        if value < 1:
            raise SettingsError(f"{name} is {value}; it counts the point itself: give 1 or more.")
    if not 0 < eps < 1:
        raise SettingsError(
            f"eps is {eps}; Jaccard distances lie in 0..1, 0 joins only copies and 1 joins all: "
            "give a number between, such as 0.4 to 0.7."
        )


def _encoding(features: np.ndarray, k1: int, k2: int) -> sparse.csr_matrix:
    ranks, _ = nearest(features, k1)
    return encode(features, ranks, k1, round(k1 / 2) + 1, k2)


def _by_appearance(labels: np.ndarray) -> np.ndarray:
    """Renumber clusters in the order of their first member (DBSCAN's is that of the first core)."""
    ids = np.full(len(labels), NOISE, np.int64)
    clustered = labels != NOISE
    found, first, inverse = np.unique(labels[clustered], return_index=True, return_inverse=True)
    place = np.empty(len(found), np.int64)
    place[np.argsort(first)] = np.arange(len(found))
    ids[clustered] = place[inverse]
    return ids
