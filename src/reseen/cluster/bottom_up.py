"""Bottom-up clustering: the nearest clusters are merged, a few at a time.

Lin, Dong, Zheng, Yan, Yang: A Bottom-up Clustering Approach to Unsupervised Person
Re-identification, AAAI 2019.
"""

import numpy as np

from reseen.cluster.numbering import by_appearance
from reseen.errors import SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.dissimilarity import dissimilarities, least_dissimilar
from reseen.records import PseudoLabels

_MOST = 256
"""Largest number of neighbours that are listed for an image at a time."""


def merge(
    features: np.ndarray,
    weights: np.ndarray,
    classes: np.ndarray,
    count: int,
    *,
    size_weight: float = 0.0,
    cameras: np.ndarray | None = None,
    camera_weight: float = 0.0,
    neighbours: int = 8,
) -> tuple[PseudoLabels, float]:
    """Merge clusters until there are `count` fewer.

    The dissimilarity of two clusters is the smallest dissimilarity of their images, plus
    `size_weight` times the sum of their sizes before this call. Pairs are merged in ascending order
    of dissimilarity, and merged clusters count as one: Kruskal's algorithm on all pairs of images.
    Only lists of the nearest images are stored; if they are too short, they are computed again for
    the clusters that are left.

    Args:
        features: (S, N, D) unit rows: S features of each image.
        weights: (S,) of their distances.
        classes: (N,) int64, the clusters so far, 0..K-1.
        count: number of merges, m; K - 1 if that is smaller.
        size_weight: lambda of the diversity term.
        cameras: (N,) int, -1 if unknown; or None.
        camera_weight: added to the dissimilarity of two images of the same camera.
        neighbours: number that is listed for an image at first; it changes time and memory, but
            not the result.

    Returns:
        The new clusters, numbered by their first images, and the dissimilarity of the last merge.

    Raises:
        SettingsError: count or size_weight is below 0.

    Source: Lin et al., BUC, Sec. 3.3 (minimum distance; merges m; diversity).
    Memory: O(N neighbours), at most 256 of them.
    """
    if count < 0 or size_weight < 0:
        raise SettingsError(
            f"count is {count} and size_weight is {size_weight}. Use 0 or more for both."
        )
    sizes = np.bincount(classes)
    count = min(count, len(sizes) - 1)
    roots = np.arange(len(sizes))
    cost = {
        "cameras": cameras,
        "camera_weight": camera_weight,
        "penalties": (size_weight * sizes[classes]).astype(np.float32),
    }
    done, limit = 0, 0.0
    while done < count:
        now = _roots(roots)[classes]
        near, far = least_dissimilar(features, weights, neighbours, classes=now, **cost)
        # A pair in neither list is farther than the last entries of both.
        reach = np.partition(far[:, -1], 1)[1]
        i, place = np.nonzero((far <= reach) & (near >= 0))
        j, values = near[i, place], far[i, place]
        order = np.lexsort((np.maximum(i, j), np.minimum(i, j), values))
        made, last = _kruskal(roots, classes[i[order]], classes[j[order]], count - done)
        done, limit = done + made, float(values[order[last]])
        neighbours = min(2 * neighbours, _MOST)
    return PseudoLabels(by_appearance(_roots(roots)[classes])), limit


def nearer_share(
    features: np.ndarray,
    weights: np.ndarray,
    limit: float,
    rng: np.random.Generator,
    *,
    cameras: np.ndarray | None = None,
    camera_weight: float = 0.0,
    pairs: int = 1 << 15,
) -> float:
    """Estimate the share of all pairs of images whose dissimilarity is below a limit, on a sample.

    Args:
        features, weights, cameras, camera_weight: as in `merge`.
        limit: a dissimilarity.
        rng: random generator for the sample.
        pairs: number of pairs in the sample.

    Memory: O(pairs D / 32).
    """
    n = features.shape[1]
    first = rng.integers(n, size=pairs)
    drawn = np.stack([first, (first + rng.integers(1, max(2, n), size=pairs)) % n], axis=1)
    cost = {"cameras": cameras, "camera_weight": camera_weight}
    found = [dissimilarities(features, weights, part, **cost) for part in np.split(drawn, 32)]
    return float(np.mean(np.concatenate(found) < limit))


def _roots(roots: np.ndarray) -> np.ndarray:
    while not np.array_equal(roots, roots[roots]):
        roots = roots[roots]
    return roots


@njit(cache=True)
def _kruskal(roots, left, right, count):
    """Merge until `count` merges are made; return their number, and the position of the last."""
    made, last = 0, 0
    for place in range(len(left)):
        if made == count:
            break
        a, b = left[place], right[place]
        while roots[a] != a:
            roots[a] = roots[roots[a]]
            a = roots[a]
        while roots[b] != b:
            roots[b] = roots[roots[b]]
            b = roots[b]
        if a != b:
            roots[max(a, b)] = min(a, b)
            made, last = made + 1, place
    return made, last
