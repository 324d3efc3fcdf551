"""Jaccard distances of sparse encodings, computed only for pairs that share an entry.

The distance of two rows is 1 - s / (a + b - s), where s is the sum of their minima, and a and b are
the sums of the rows: sum min / sum max of Zhong et al., CVPR 2017, Eq. 10. An inverted index (the
columns) finds the pairs. This holds for weights (`encode`: every row sums to 1) and for plain sets
(`encode_sets`).
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from reseen.errors import SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.threads import spread, thread_count

ZERO = np.finfo(np.float32).tiny
"""Represents a distance of 0, so that sparse matrices store the pair."""

_BINS = 1 << 18


class Index(NamedTuple):
    """Encodings of n points, by row and by column, for the functions here (see `invert`)."""

    start: np.ndarray
    """(n + 1,) int64, where each row begins in `entry` and `weight`."""
    entry: np.ndarray
    """int32, the columns of the entries of a row, ascending."""
    weight: np.ndarray
    """float32, the weight of each entry."""
    column: np.ndarray
    """int64, where each column begins in `member` and `share`."""
    member: np.ndarray
    """int32, the rows of the entries of a column, ascending."""
    share: np.ndarray
    """float32, the weight of each entry."""
    mass: np.ndarray
    """(n,) float64, the sum of each row."""


def invert(encoding: sparse.csr_matrix) -> Index:
    """Build the index of encodings.

    Args:
        encoding: (n, N) sparse, positive entries, sorted indices; rows that sum to 1 (`encode`) or
            to the size of a set (`encode_sets`).

    Returns:
        The rows and columns as flat arrays, and the sums of rows, which are rounded to integers.

    Memory: O(entries).
    """
    columns = encoding.tocsc()
    return Index(
        *(encoding.indptr.astype(np.int64), encoding.indices.astype(np.int32), encoding.data),
        *(columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data),
        np.rint(np.asarray(encoding.sum(1), np.float64)).ravel(),
    )


def jaccard_graph(encoding: sparse.csr_matrix, eps: float) -> sparse.csr_matrix:
    """Build the sparse matrix of all Jaccard distances up to eps, including each point's own.

    Pairs that share no entry have distance 1 and are never included, not even for eps = 1.

    Args:
        encoding: (N, N) sparse (see `invert`).
        eps: the largest distance to include, 0 to 1.

    Returns:
        (N, N) sparse, symmetric, float32; within a row by ascending distance, ties by index, as
        scikit-learn wants it. A distance of 0 is stored as `ZERO`.

    Raises:
        SettingsError: eps is outside 0..1.

    Source: Zhong et al., CVPR 2017, Eq. 10.
    Memory: O(included pairs + threads N): N^2 only if all points are similar. `density_labels`
    clusters without storing the pairs.
    """
    if not 0 <= eps <= 1:
        raise SettingsError(f"eps is {eps}. Jaccard distances are 0 to 1: give one of those.")
    index, limit = invert(encoding), np.float32(eps)
    indptr = np.zeros(len(index.mass) + 1, np.int64)
    spread(_count, index, limit, indptr[1:])
    np.cumsum(indptr, out=indptr)
    distances, indices = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.int32)
    spread(_collect, index, limit, indptr, distances, indices)
    return sparse.csr_matrix((distances, indices, indptr), shape=encoding.shape)


def jaccard_rows(index: Index, rows: np.ndarray) -> np.ndarray:
    """Compute the Jaccard distances of some points to all points.

    Args:
        index: encodings of N points (see `invert`).
        rows: (r,) positions of these points.

    Returns:
        (r, N) float32, 0 to 1.

    Source: Zhong et al., CVPR 2017, Eq. 10. Memory: O(r N).
    """
    distances = np.empty((len(rows), len(index.mass)), np.float32)
    spread(_dense, index, np.asarray(rows, np.int64), distances)
    return distances


def jaccard_pairs(index: Index, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Compute the Jaccard distances of single pairs.

    Args:
        index: encodings of N points (see `invert`).
        left: (P,) positions of the first point of each pair.
        right: (P,) positions of the second.

    Returns:
        (P,) float32, 0 to 1.

    Source: Zhong et al., CVPR 2017, Eq. 10. Memory: O(P).
    """
    return _pairs(index, np.asarray(left, np.int64), np.asarray(right, np.int64))


def jaccard_nearest(
    index: Index, rows: np.ndarray, p: int, among: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find, for some points, the p nearest points by Jaccard distance among the first points.

    Args:
        index: encodings of N points (see `invert`).
        rows: (r,) positions of the points.
        p: how many to find for each, at least 1.
        among: only points 0 .. among - 1 are found.

    Returns:
        indices (r, p) int32, nearest first, ties by ascending index, -1 if fewer share an entry;
        and distances (r, p) float32, 1 for index -1.

    Raises:
        SettingsError: p is below 1.

    Source: Ji et al., ECCV 2020, Sec. 3.2. Memory: O(r p + threads N).
    """
    if p < 1:
        raise SettingsError(f"p is {p}, and counts the nearest points: give 1 or more.")
    indices = np.full((len(rows), p), -1, np.int32)
    distances = np.ones((len(rows), p), np.float32)
    spread(_nearest, index, np.asarray(rows, np.int64), among, indices, distances)
    return indices, distances


def jaccard_kth(encoding: sparse.csr_matrix, k: int) -> np.ndarray:
    """Compute each point's Jaccard distance to its k-th nearest point; the first is itself.

    Args:
        encoding: (N, N) sparse (see `invert`).
        k: which neighbour, 1 for the point itself.

    Returns:
        (N,) float32, 0 to 1; 1 if fewer than k points share an entry with it.

    Source: Zhong et al., CVPR 2017, Eq. 10. Memory: O(threads N).
    """
    first, place = distinct_rows(encoding)
    index, copies = invert(encoding[first]), np.bincount(place)
    distances = np.ones(len(first), np.float32)
    spread(_kth, index, copies, k, distances)
    return distances[place]


def smallest_mean(encoding: sparse.csr_matrix, share: float) -> float:
    """Average the smallest Jaccard distances of all pairs, to get an eps for DBSCAN.

    Args:
        encoding: (N, N) sparse, N >= 2 (see `invert`).
        share: of all N (N - 1) / 2 pairs, above 0, at most 1; at least one pair is used. This is p
            in DAAL.

    Returns:
        The mean, 0 to 1, of distances that are rounded to multiples of 2^-18.

    Raises:
        SettingsError: share is out of range, or there are fewer than two points.

    Source: Huang et al., Domain Adaptive Attention Learning (DAAL), AAAI 2020, "Learning"; before
    it, Song et al., arXiv:1807.11334, use a share of 1.6e-3.
    Memory: O(threads N): a histogram of the pairs that share an entry; all others have distance 1.
    """
    n = len(encoding.indptr) - 1
    if not 0 < share <= 1 or n < 2:
        raise SettingsError(
            f"share is {share} of the pairs of {n} points. Give two points and 0 < share <= 1."
        )
    first, place = distinct_rows(encoding)
    copies = np.bincount(place)
    counted = np.zeros((thread_count(), _BINS + 1), np.int64)
    spread(_histogram, invert(encoding[first]), copies, counted)
    counts = counted.sum(0)
    counts[0] += np.sum(copies * (copies - 1) // 2)
    wanted = max(1, round(share * (n * (n - 1) // 2)))
    before = np.cumsum(counts) - counts
    taken = np.clip(wanted - before, 0, counts)
    return float((taken @ np.arange(len(counts)) / _BINS + wanted - taken.sum()) / wanted)


def distinct_rows(encoding: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Find rows that are identical.

    Args:
        encoding: (N, N) sparse, sorted indices.

    Returns:
        first: (n,) positions of the first row of each kind, ascending; and place: (N,) which of
        these each row equals.

    Memory: O(N).
    """
    start = encoding.indptr.astype(np.int64)
    entry, bits = encoding.indices.astype(np.int32), encoding.data.view(np.int32)
    marks = _fingerprints(start, entry, bits)
    _, leader, kind = np.unique(marks, return_index=True, return_inverse=True)
    leader = leader[kind]
    _separate(start, entry, bits, leader)
    first, place = np.unique(leader, return_inverse=True)
    return first, place


@njit(cache=True)
def distance(overlap, mass):
    """Jaccard distance of two rows from the sum of their minima and the sum of their sums."""
    return np.float32(max(0.0, (mass - 2 * overlap) / (mass - overlap)))


@njit(cache=True)
def workspace(index):
    """Allocate arrays for `add_minima`: overlaps, zeros, and positions, one more than rows."""
    n = len(index.mass)
    return np.zeros(n), np.empty(n + 1, np.int32)


@njit(cache=True)
def add_minima(index, i, stop, overlap, touched):
    """Add the minima of row i with each of the first `stop` rows to overlap, which must be zero.

    Returns how many rows share an entry with it, and writes their positions to touched. Every
    position is written, and kept only if it is new: half of them are, so that a branch would be
    mispredicted.
    """
    found = 0
    for a in range(index.start[i], index.start[i + 1]):
        weight, column = index.weight[a], index.entry[a]
        for b in range(index.column[column], index.column[column + 1]):
            j = np.uint32(index.member[b])
            if j >= stop:
                break
            before = overlap[j]
            touched[found] = j
            found += before == 0
            overlap[j] = before + min(weight, index.share[b])
    return found


@njit(nogil=True, cache=True)
def _count(t, threads, index, limit, counts):
    n = len(index.mass)
    overlap, touched = workspace(index)
    for i in range(t, n, threads):
        found = add_minima(index, i, n, overlap, touched)
        counts[i] = _within(index, i, touched[:found], overlap, limit)
        overlap[touched[:found]] = 0


@njit(nogil=True, cache=True)
def _collect(t, threads, index, limit, indptr, distances, indices):
    n = len(index.mass)
    overlap, touched = workspace(index)
    for i in range(t, n, threads):
        found = add_minima(index, i, n, overlap, touched)
        size = _within(index, i, touched[:found], overlap, limit)
        kept = np.sort(touched[:size])
        near = np.empty(size, np.float32)
        for a in range(size):
            near[a] = max(ZERO, _between(index, i, kept[a], overlap))
        order = np.argsort(near, kind="mergesort")
        distances[indptr[i] : indptr[i + 1]] = near[order]
        indices[indptr[i] : indptr[i + 1]] = kept[order]
        overlap[touched[:found]] = 0


@njit(cache=True)
def _between(index, i, j, overlap):
    if i == j:
        return np.float32(0)
    return distance(overlap[j], index.mass[i] + index.mass[j])


@njit(cache=True)
def _within(index, i, touched, overlap, limit):
    """Move the rows within the limit to the front of touched; return how many there are."""
    size = 0
    for a in range(len(touched)):
        if _between(index, i, touched[a], overlap) <= limit:
            touched[a], touched[size] = touched[size], touched[a]
            size += 1
    return size


@njit(nogil=True, cache=True)
def _dense(t, threads, index, rows, distances):
    n = len(index.mass)
    for r in range(t, len(rows), threads):
        overlap, touched = workspace(index)
        add_minima(index, rows[r], n, overlap, touched)
        for j in range(n):
            distances[r, j] = _between(index, rows[r], j, overlap)


@njit(cache=True)
def _pairs(index, left, right):
    distances = np.zeros(len(left), np.float32)
    for pair in range(len(left)):
        i, j = left[pair], right[pair]
        a, b, overlap = index.start[i], index.start[j], 0.0
        while i != j and a < index.start[i + 1] and b < index.start[j + 1]:
            if index.entry[a] == index.entry[b]:
                overlap += min(index.weight[a], index.weight[b])
            step = index.entry[a] - index.entry[b]
            a += step <= 0
            b += step >= 0
        if i != j:
            distances[pair] = distance(overlap, index.mass[i] + index.mass[j])
    return distances


@njit(nogil=True, cache=True)
def _nearest(t, threads, index, rows, among, indices, distances):
    overlap, touched = workspace(index)
    for r in range(t, len(rows), threads):
        found = np.sort(touched[: add_minima(index, rows[r], among, overlap, touched)])
        near = np.empty(len(found), np.float32)
        for a in range(len(found)):
            near[a] = _between(index, rows[r], found[a], overlap)
        order = np.argsort(near, kind="mergesort")[: indices.shape[1]]
        indices[r, : len(order)] = found[order]
        distances[r, : len(order)] = near[order]
        overlap[found] = 0


@njit(nogil=True, cache=True)
def _kth(t, threads, index, copies, k, distances):
    n = len(index.mass)
    overlap, touched = workspace(index)
    for i in range(t, n, threads):
        found = add_minima(index, i, n, overlap, touched)
        near = np.empty(found, np.float32)
        for a in range(found):
            near[a] = _between(index, i, touched[a], overlap)
        last = min(k, found) - 1
        closest = np.flatnonzero(near <= np.partition(near, last)[last])
        seen = 0
        for a in closest[np.argsort(near[closest])]:
            seen += copies[touched[a]]
            if seen >= k:
                distances[i] = near[a]
                break
        overlap[touched[:found]] = 0


@njit(nogil=True, cache=True)
def _histogram(t, threads, index, copies, counts):
    overlap, touched = workspace(index)
    for i in range(t, len(index.mass), threads):
        found = add_minima(index, i, i, overlap, touched)
        for j in touched[:found]:
            place = round(_between(index, i, j, overlap) * _BINS)
            counts[t, place] += copies[i] * copies[j]
            overlap[j] = 0


@njit(cache=True)
def _fingerprints(start, entry, bits):
    marks = np.empty(len(start) - 1, np.int64)
    for i in range(len(marks)):
        mark = np.int64(start[i + 1] - start[i])
        for a in range(start[i], start[i + 1]):
            mark = (mark ^ entry[a]) * np.int64(0x100000001B3)
            mark = (mark ^ bits[a]) * np.int64(0x100000001B3)
            mark ^= mark >> 29
        marks[i] = mark
    return marks


@njit(cache=True)
def _separate(start, entry, bits, leader):
    """Make a row that only shares its fingerprint with its leader its own leader again."""
    for i in range(len(leader)):
        a, b = slice(start[i], start[i + 1]), slice(start[leader[i]], start[leader[i] + 1])
        if not (np.array_equal(entry[a], entry[b]) and np.array_equal(bits[a], bits[b])):
            leader[i] = i
