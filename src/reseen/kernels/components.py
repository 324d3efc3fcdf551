"""DBSCAN on Jaccard distances, for many eps at once and without holding the pairs.

Ester, Kriegel, Sander, Xu: A Density-Based Algorithm for Discovering Clusters (DBSCAN), KDD 1996.
The clusters are the connected components of the core points, so two walks over the pairs do:
one counts each point's neighbours, one joins the core points.
"""

import numba
import numpy as np
from numba import njit, prange
from scipy import sparse

from reseen.kernels.jaccard import Index, add_minima, distance, distinct_rows, invert
from reseen.records import NOISE


def density_labels(encoding: sparse.csr_matrix, eps: np.ndarray, min_samples: int) -> np.ndarray:
    """Cluster points by DBSCAN on the Jaccard distances of their encodings, for each eps.

    Equal rows are handled once, however many there are.

    Args:
        encoding: (N, N) sparse (see `encode`, `encode_sets`).
        eps: (E,) the largest distances between neighbours, rising, each above 0 and below 1.
        min_samples: points within eps, itself counted, that make a point a core point.

    Returns:
        (E, N) int64: NOISE, or the lowest core point of the cluster. A border point that several
        clusters reach belongs to the one with the lowest core point, as in scikit-learn.

    Memory: O(entries + E threads N), however many pairs lie within eps.
    """
    first, place = distinct_rows(encoding)
    index, copies = invert(encoding[first]), np.bincount(place)
    limits, threads = np.asarray(eps, np.float32), numba.get_num_threads()
    core = np.cumsum(_count(index, copies, limits, threads), axis=0) >= min_samples
    roots = _join(index, core, limits, threads)
    _merge(roots)
    labels = np.where(core, roots[0], NOISE)
    _adopt(index, core, limits, labels, threads)
    return np.where(labels == NOISE, NOISE, first[labels])[:, place]


@njit(parallel=True, cache=True)
def _count(index: Index, copies, limits, threads):
    """Count the points between each limit and the one below, copies each for itself."""
    n = len(index.mass)
    counts = np.zeros((len(limits), n), np.int64)
    for t in prange(threads):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        for i in range(t, n, threads):
            found = add_minima(index, i, n, overlap, touched)
            for j in touched[:found]:
                e = _first_within(index, i, j, overlap, limits)
                if e < len(limits):
                    counts[e, i] += copies[j]
                overlap[j] = 0
    return counts


@njit(cache=True)
def _first_within(index, i, j, overlap, limits):
    """Give the first of the rising limits that the distance of i and j does not pass."""
    if i == j:
        return 0
    return np.searchsorted(limits, distance(overlap[j], index.mass[i] + index.mass[j]))


@njit(parallel=True, cache=True)
def _join(index, core, limits, threads):
    """Join core points within each limit; each thread has its own (E, n) forest."""
    n = len(index.mass)
    roots = np.empty((threads, len(limits), n), np.int32)
    for t in prange(threads):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        for e in range(len(limits)):
            roots[t, e] = np.arange(n)
        for i in range(t, n, threads):
            found = add_minima(index, i, i, overlap, touched)
            for j in touched[:found]:
                for e in range(_first_within(index, i, j, overlap, limits), len(limits)):
                    if core[e, i] and core[e, j]:
                        _unite(roots[t, e], i, j)
                overlap[j] = 0
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
def _merge(roots):
    """Bring all forests into the first one, and point each row at its root, the lowest row."""
    for e in range(roots.shape[1]):
        for i in range(roots.shape[2]):
            for t in range(1, len(roots)):
                _unite(roots[0, e], i, roots[t, e, i])
        for i in range(roots.shape[2]):
            roots[0, e, i] = roots[0, e, roots[0, e, i]]


@njit(parallel=True, cache=True)
def _adopt(index, core, limits, labels, threads):
    """Give each border point the lowest label among the core points within the limit."""
    n = len(index.mass)
    for t in prange(threads):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        for i in range(t, n, threads):
            if core[0, i]:  # and so at every larger limit
                continue
            found = add_minima(index, i, n, overlap, touched)
            for j in touched[:found]:
                for e in range(_first_within(index, i, j, overlap, limits), len(limits)):
                    if core[e, j] and not core[e, i]:
                        known = labels[e, i]
                        labels[e, i] = labels[e, j] if known < 0 else min(known, labels[e, j])
                overlap[j] = 0
