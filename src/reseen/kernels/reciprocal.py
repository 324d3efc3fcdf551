"""k-reciprocal encoding: each point as a few weights on its reciprocal neighbours.

Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017,
Sections 3.2 to 3.4.
"""

import numpy as np
from scipy import sparse

from reseen.errors import SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.threads import spread


def encode(
    features: np.ndarray,
    ranks: np.ndarray,
    k: int,
    k_half: int,
    k2: int,
    *,
    similarities: np.ndarray | None = None,
    scale: np.ndarray | None = None,
    extra: np.ndarray | None = None,
) -> sparse.csr_matrix:
    """Encode each point by its expanded k-reciprocal neighbours, averaged over its k2 nearest.

    Published clustering code corresponds to k = k1 and k_half = round(k1 / 2) + 1, and re-ranking
    to k = k1 + 1; all three numbers count the point itself. A point always belongs to its own set,
    even if so many exact copies precede it that it is missing in `ranks`. With k_half = 1 no set is
    expanded.

    Args:
        features: (N, D) float32 unit rows.
        ranks: (N, R) int32, the nearest points of each, nearest first (see `nearest`), -1 if there
            are fewer.
        k: number of columns of `ranks` for R(i, k); R if that is smaller.
        k_half: number of columns for the smaller sets that may be added (Eq. 5).
        k2: number of columns to average over (local query expansion, Eq. 11); 1 for no average.
        similarities: (N, R) float32 of those points, from `nearest`; saves most of the work.
            Computed if None.
        scale: (N,) float32, by which the squared distances of each row are divided; None for 1.
        extra: (M, D) float32 unit rows of points N .. N + M, which are then counted in N everywhere
            except in `features` (see `nearest_joined`).

    Returns:
        (N, N) sparse, float32, positive entries, sorted indices, rows that sum to 1.

    Raises:
        SettingsError: k, k_half or k2 is below 1.

    Source: Eqs. 3, 5, 7 and 11; weights exp(-d) over their sum, d = (2 - 2 cos) / scale.
    Memory: O(N k) in practice; at most N (k + 1) (k_half + 1) entries before the average.
    """
    for name, value in (("k", k), ("k_half", k_half), ("k2", k2)):
        if value < 1:
            raise SettingsError(f"{name} is {value}, and counts the point itself: give 1 or more.")
    rows = np.ascontiguousarray(features, np.float32)
    others = rows[:0] if extra is None else np.ascontiguousarray(extra, np.float32)
    ranks, n = np.ascontiguousarray(ranks, np.int32), len(rows) + len(others)
    if scale is None:
        scale = np.ones(n, np.float32)
    if similarities is None:
        similarities = np.full(ranks.shape, np.nan, np.float32)
    wide, narrow = reciprocal_sets(ranks, k), reciprocal_sets(ranks, k_half)
    indptr = np.cumsum(_expanded_sizes(wide, narrow))
    known = ranks, np.ascontiguousarray(similarities, np.float32)
    indices, weights = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    spread(_weigh, rows, others, known, scale, wide, narrow, indptr, indices, weights)
    encoding = sparse.csr_matrix((weights, indices, indptr), shape=(n, n))
    encoding = average(encoding, ranks[:, :k2])
    encoding.sort_indices()
    return encoding


def encode_sets(ranks: np.ndarray, k: int) -> sparse.csr_matrix:
    """Encode each point by its k-reciprocal neighbours only: a plain set, with all weights 1.

    There is no expansion and no average: the Jaccard distance of such rows is that of the sets.

    Args:
        ranks: (N, R) int32, the nearest points of each, nearest first, -1 if there are fewer.
        k: number of columns of `ranks` to use; R if that is smaller.

    Returns:
        (N, N) sparse, float32 ones, sorted indices.

    Raises:
        SettingsError: k is below 1.

    Source: Ji et al., Attention-driven Two-stage Clustering, ECCV 2020, Eqs. 4 and 5.
    Memory: O(N k).
    """
    if k < 1:
        raise SettingsError(f"k is {k}, and counts the point itself: give 1 or more.")
    encoding = _sparse(reciprocal_sets(ranks, k), 1)
    encoding.sort_indices()
    return encoding


def average(encoding: sparse.csr_matrix, near: np.ndarray) -> sparse.csr_matrix:
    """Replace each row by the mean of its nearest rows: local query expansion.

    Args:
        encoding: (N, N) sparse.
        near: (N, k2) int32, the rows to average, -1 for none.

    Returns:
        (N, N) sparse; the same object if k2 is 1.

    Source: Zhong et al., CVPR 2017, Eq. 11. Memory: O(k2 entries), less if rows share them.
    """
    if near.shape[1] == 1:
        return encoding
    counts = np.count_nonzero(near >= 0, axis=1).astype(np.float32)
    return _sparse(near, (1 / counts)[:, None]) @ encoding


def reciprocal_sets(ranks: np.ndarray, k: int) -> np.ndarray:
    """Compute R(i, k): the points among i's first k that have i among their own first k.

    Args:
        ranks: (N, R) int32, the nearest points of each, nearest first, -1 if there are fewer.
        k: number of columns to use; R if that is smaller.

    Returns:
        (N, k + 1) int32: the point itself, then the others in the order of `ranks`, then -1.

    Source: Zhong et al., CVPR 2017, Eq. 3. Memory: O(N k).
    """
    return _reciprocal_sets(np.ascontiguousarray(ranks[:, :k], np.int32))


def _sparse(lists, weights):
    """Convert lists of columns, -1 for none, to an (N, N) matrix with a weight at each."""
    kept = lists >= 0
    data = np.broadcast_to(np.asarray(weights, np.float32), lists.shape)[kept]
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(kept, axis=1))])
    return sparse.csr_matrix((data, lists[kept], indptr), shape=(len(lists), len(lists)))


# Not spread over threads, nor are the sizes: they take a few hundredths of the time.
@njit(cache=True)
def _reciprocal_sets(ranks):
    n, k = ranks.shape
    sets = np.full((n, k + 1), -1, np.int32)
    for i in range(n):
        sets[i, 0] = i
        size = 1
        for j in ranks[i]:
            if j >= 0 and j != i and _holds(ranks[j], i):
                sets[i, size] = j
                size += 1
    return sets


@njit(cache=True)
def _holds(row, wanted):
    for value in row:  # noqa: SIM110, numba has no any() over a generator
        if value == wanted:
            return True
    return False


@njit(cache=True)
def _expand(i, wide, narrow, mark, members):
    """Write the expanded set of i into members; return its size. Marks: 2i core, 2i + 1 joined."""
    core, joined = 2 * i, 2 * i + 1
    size = 0
    for j in wide[i]:
        if j < 0:
            break
        mark[j] = core
        members[size] = j
        size += 1
    for a in range(size):
        if not _mostly_inside(narrow[members[a]], mark, core):
            continue
        for j in narrow[members[a]]:
            if j < 0:
                break
            if mark[j] < core:
                mark[j] = joined
                members[size] = j
                size += 1
    return size


@njit(cache=True)
def _mostly_inside(candidates, mark, core):
    """Return whether more than two thirds of a smaller set are in the set with this mark."""
    size = inside = 0
    for j in candidates:
        if j < 0:
            break
        size += 1
        inside += mark[j] == core
    return 3 * inside > 2 * size


@njit(cache=True)
def _scratch(wide, narrow):
    n = len(wide)
    room = min(n, wide.shape[1] * (1 + narrow.shape[1]))
    return np.full(n, -1, np.int64), np.empty(room, np.int32)


@njit(cache=True)
def _expanded_sizes(wide, narrow):
    n = len(wide)
    sizes = np.zeros(n + 1, np.int64)
    mark, members = _scratch(wide, narrow)
    for i in range(n):
        sizes[i + 1] = _expand(i, wide, narrow, mark, members)
    return sizes


@njit(nogil=True, cache=True)
def _weigh(t, threads, rows, others, known, scale, wide, narrow, indptr, indices, weights):
    n = len(wide)
    mark, _ = _scratch(wide, narrow)
    cosines = np.full(n, np.nan, np.float32)
    for i in range(t, n, threads):
        place = indices[indptr[i] : indptr[i + 1]]
        _expand(i, wide, narrow, mark, place)
        _look_up(known[0][i], known[1][i], cosines)
        _soften(rows, others, cosines, i, scale[i], place, weights[indptr[i] :])
        for j in known[0][i]:
            cosines[j] = np.nan


@njit(cache=True)
def _look_up(ranks, similarities, cosines):
    for a in range(len(ranks)):
        if ranks[a] >= 0:
            cosines[ranks[a]] = similarities[a]


@njit(cache=True)
def _soften(rows, others, cosines, i, scale, members, weights):
    total, row = 0.0, _row(rows, others, i)
    for a in range(len(members)):
        cosine = cosines[members[a]]
        if np.isnan(cosine):
            cosine = np.dot(row, _row(rows, others, members[a]))
        weights[a] = np.exp((2 * cosine - 2) / scale)
        total += weights[a]
    for a in range(len(members)):
        weights[a] /= total


@njit(cache=True)
def _row(rows, others, i):
    return rows[i] if i < len(rows) else others[i - len(rows)]
