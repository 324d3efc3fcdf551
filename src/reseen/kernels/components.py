"""DBSCAN on Jaccard distances, for many values of eps at once, without storing the pairs.

Ester, Kriegel, Sander, Xu: A Density-Based Algorithm for Discovering Clusters (DBSCAN), KDD 1996.
The clusters are the connected components of the core points.
"""

import numpy as np
from scipy import sparse

from reseen.kernels.compile import njit
from reseen.kernels.jaccard import Index, add_minima, distance, distinct_rows, invert, workspace
from reseen.kernels.threads import spread, thread_count
from reseen.records import NOISE

_KEPT = 32
"""Earlier neighbours that are stored for a row; for rows with more they are computed again."""


def density_labels(encoding: sparse.csr_matrix, eps: np.ndarray, min_samples: int) -> np.ndarray:
    """Cluster points by DBSCAN on the Jaccard distances of their encodings, for each eps.

    Equal rows are handled only once.

    Args:
        encoding: (N, N) sparse (see `encode`, `encode_sets`).
        eps: (E,) the largest distances between neighbours, ascending, each above 0 and below 1.
        min_samples: number of points within eps, including the point itself, that make a point a
            core point.

    Returns:
        (E, N) int64: NOISE, or the lowest core point of the cluster. A border point that several
        clusters reach belongs to the one with the lowest core point, as in scikit-learn.

    Memory: O(entries + E threads N), independent of the number of pairs within eps.
    """
    first, place = distinct_rows(encoding)
    index, copies = invert(encoding[first]), np.bincount(place)
    limits, n = np.asarray(eps, np.float32), len(first)
    near = np.empty((n, _KEPT), np.int32)
    level = np.empty((n, _KEPT), np.int16)
    sizes = np.zeros(n, np.int64)
    counts = np.zeros((thread_count(), len(limits), n), np.int64)
    spread(_measure, index, copies, limits, near, level, sizes, counts)
    core = np.cumsum(counts.sum(0), axis=0) + copies >= min_samples
    roots = _join(index, limits, near, level, sizes, core)
    labels = np.where(core, roots, n)
    _adopt(index, limits, near, level, sizes, core, labels)
    return np.append(first, NOISE)[labels][:, place]


@njit(nogil=True, cache=True)
def _measure(t, threads, index: Index, copies, limits, near, level, sizes, counts):
    """Count other points between each limit and the one before; store the first pairs of rows."""
    n = len(index.mass)
    overlap, touched = workspace(index)
    lists = np.empty(n, np.int32), np.empty(n, np.int16)
    for i in range(t, n, threads):
        sizes[i] = _walk(index, i, limits, overlap, touched, lists)
        for a in range(sizes[i]):
            j, e = lists[0][a], lists[1][a]
            counts[t, e, i] += copies[j]
            counts[t, e, j] += copies[i]
            if a < _KEPT:
                near[i, a], level[i, a] = j, e


@njit(cache=True)
def _walk(index, i, limits, overlap, touched, lists):
    """List earlier rows within the largest limit of row i, and their first limits; count them."""
    size, last = 0, limits[-1]
    least = 0.9999 * (1 - last) / (2 - last)  # share of the mass: less overlap is too far
    for a in range(add_minima(index, i, i, overlap, touched)):
        j = touched[a]
        mass, shared = index.mass[i] + index.mass[j], overlap[j]
        overlap[j] = 0
        if shared < least * mass:
            continue
        far = distance(shared, mass)
        if far <= last:
            lists[0][size] = j
            lists[1][size] = 0
            while far > limits[lists[1][size]]:
                lists[1][size] += 1
            size += 1
    return size


@njit(cache=True)
def _recall(index, i, limits, near, level, size, overlap, touched, lists):
    """List the earlier rows of row i again: the stored ones, or computed if there are more."""
    if size > _KEPT:
        return _walk(index, i, limits, overlap, touched, lists)
    for a in range(size):
        lists[0][a], lists[1][a] = near[i, a], level[i, a]
    return size


@njit(cache=True)
def _join(index, limits, near, level, sizes, core):
    """Return, for each limit and core point, the lowest core point that it is connected with."""
    n = len(index.mass)
    overlap, touched = workspace(index)
    lists = np.empty(n, np.int32), np.empty(n, np.int16)
    roots = np.empty((len(limits), n), np.int32)
    for e in range(len(limits)):
        for i in range(n):
            roots[e, i] = i
    for i in range(n):
        size = _recall(index, i, limits, near, level, sizes[i], overlap, touched, lists)
        for a in range(size):
            for e in range(lists[1][a], len(limits)):
                if core[e, i] and core[e, lists[0][a]]:
                    _unite(roots[e], i, lists[0][a])
    for e in range(len(limits)):
        for i in range(n):
            roots[e, i] = _find(roots[e], i)
    return roots


@njit(cache=True)
def _find(roots, i):
    while roots[i] != i:
        roots[i] = roots[roots[i]]
        i = roots[i]
    return i


@njit(cache=True)
def _unite(roots, i, j):
    i, j = _find(roots, i), _find(roots, j)
    roots[max(i, j)] = min(i, j)


@njit(cache=True)
def _adopt(index, limits, near, level, sizes, core, labels):
    """Give each border point the lowest label among the core points within the limit."""
    n = len(index.mass)
    overlap, touched = workspace(index)
    lists = np.empty(n, np.int32), np.empty(n, np.int16)
    for i in range(n):
        size = _recall(index, i, limits, near, level, sizes[i], overlap, touched, lists)
        for a in range(size):
            j = lists[0][a]
            for e in range(lists[1][a], len(limits)):
                if core[e, i] and not core[e, j]:
                    labels[e, j] = min(labels[e, j], labels[e, i])
                elif core[e, j] and not core[e, i]:
                    labels[e, i] = min(labels[e, i], labels[e, j])
