"""Jaccard distances of sparse encodings, only for pairs that share an entry.

With rows that sum to 1, sum max = 2 - sum min, so the distance is 1 - s / (2 - s) with s the sum
of minima: Zhong et al., CVPR 2017, Eq. 10. An inverted index (the columns) finds the pairs.
"""

import numba
import numpy as np
from numba import njit, prange
from scipy import sparse

from reseen.errors import SettingsError

ZERO = np.finfo(np.float32).tiny
"""Stands for a distance of 0, so that sparse matrices keep the pair."""


def jaccard_graph(encoding: sparse.csr_matrix, eps: float) -> sparse.csr_matrix:
    """Keep all pairs whose Jaccard distance is at most eps, each point with itself among them.

    Pairs that share no entry have distance 1 and are never kept, not even for eps = 1.

    Args:
        encoding: (N, N) sparse, positive entries, rows that sum to 1 (see `encode`).
        eps: the largest distance kept, 0 to 1.

    Returns:
        (N, N) sparse, symmetric, float32; within a row the nearest first, equals by index, as
        scikit-learn wants it. A distance of 0 is stored as `ZERO`.

    Raises:
        SettingsError: eps is outside 0..1.

    Source: Zhong et al., CVPR 2017, Eq. 10.
    Memory: O(kept pairs + threads N): N^2 only if all points are alike.
    """
    if not 0 <= eps <= 1:
        raise SettingsError(f"eps is {eps}; Jaccard distances lie in 0..1: give one of those.")
    index = _inverted(encoding)
    limit, threads = np.float32(eps), numba.get_num_threads()
    indptr = np.cumsum(_count(*index, limit, threads))
    distances, indices = _collect(*index, limit, threads, indptr)
    return sparse.csr_matrix((distances, indices, indptr), shape=encoding.shape)


def jaccard_rows(encoding: sparse.csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Give the Jaccard distances of some points to all points.

    Args:
        encoding: (N, N) sparse, positive entries, rows that sum to 1 (see `encode`).
        rows: (r,) positions of the points wanted.

    Returns:
        (r, N) float32, 0 to 1.

    Source: Zhong et al., CVPR 2017, Eq. 10. Memory: O(r N).
    """
    return _dense(*_inverted(encoding), np.asarray(rows, np.int64))


def jaccard_kth(encoding: sparse.csr_matrix, k: int) -> np.ndarray:
    """Give each point's Jaccard distance to its k-th nearest point, itself counted.

    Args:
        encoding: (N, N) sparse, positive entries, rows that sum to 1 (see `encode`).
        k: which neighbour, 1 for the point itself.

    Returns:
        (N,) float32, 0 to 1; 1 where fewer than k points share an entry with it.

    Source: Zhong et al., CVPR 2017, Eq. 10. Memory: O(threads N).
    """
    return _kth(*_inverted(encoding), k, numba.get_num_threads())


def _inverted(encoding):
    columns = encoding.tocsc()
    return (
        *(encoding.indptr, encoding.indices, encoding.data),
        *(columns.indptr, columns.indices, columns.data),
    )


@njit(cache=True)
def _distance(overlap):
    return np.float32(max(0.0, (2 - 2 * overlap) / (2 - overlap)))


@njit(cache=True)
def _overlap(i, start, entry, weight, column, member, share, overlap, touched):
    """Add up the minima of row i with every row; give how many rows share an entry with it."""
    found = 0
    for a in range(start[i], start[i + 1]):
        for b in range(column[entry[a]], column[entry[a] + 1]):
            j = member[b]
            if overlap[j] == 0:
                touched[found] = j
                found += 1
            overlap[j] += min(weight[a], share[b])
    return found


@njit(parallel=True, cache=True)
def _count(start, entry, weight, column, member, share, limit, threads):
    n = len(start) - 1
    counts = np.zeros(n + 1, np.int64)
    for t in prange(threads):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        for i in range(t, n, threads):
            found = _overlap(i, start, entry, weight, column, member, share, overlap, touched)
            for j in touched[:found]:
                counts[i + 1] += j == i or _distance(overlap[j]) <= limit
                overlap[j] = 0
    return counts


@njit(parallel=True, cache=True)
def _collect(start, entry, weight, column, member, share, limit, threads, indptr):
    n = len(start) - 1
    distances = np.empty(indptr[n], np.float32)
    indices = np.empty(indptr[n], np.int32)
    for t in prange(threads):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        for i in range(t, n, threads):
            found = _overlap(i, start, entry, weight, column, member, share, overlap, touched)
            size = _within(i, touched[:found], overlap, limit)
            kept = np.sort(touched[:size])
            near = np.empty(size, np.float32)
            for a in range(size):
                near[a] = ZERO if kept[a] == i else max(ZERO, _distance(overlap[kept[a]]))
            order = np.argsort(near, kind="mergesort")
            distances[indptr[i] : indptr[i + 1]] = near[order]
            indices[indptr[i] : indptr[i + 1]] = kept[order]
            overlap[kept] = 0
    return distances, indices


@njit(cache=True)
def _within(i, touched, overlap, limit):
    """Move the rows within the limit to the front of touched, forget the others; give how many."""
    size = 0
    for j in touched:
        if j == i or _distance(overlap[j]) <= limit:
            touched[size] = j
            size += 1
        else:
            overlap[j] = 0
    return size


@njit(parallel=True, cache=True)
def _dense(start, entry, weight, column, member, share, rows):
    n = len(start) - 1
    distances = np.empty((len(rows), n), np.float32)
    for r in prange(len(rows)):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        _overlap(rows[r], start, entry, weight, column, member, share, overlap, touched)
        for j in range(n):
            distances[r, j] = 0 if j == rows[r] else _distance(overlap[j])
    return distances


@njit(parallel=True, cache=True)
def _kth(start, entry, weight, column, member, share, k, threads):
    n = len(start) - 1
    distances = np.ones(n, np.float32)
    for t in prange(threads):
        overlap, touched = np.zeros(n), np.empty(n, np.int32)
        for i in range(t, n, threads):
            found = _overlap(i, start, entry, weight, column, member, share, overlap, touched)
            overlap[i] = 1
            if found >= k:
                place = found - k
                distances[i] = _distance(np.partition(overlap[touched[:found]], place)[place])
            overlap[touched[:found]] = 0
    return distances
