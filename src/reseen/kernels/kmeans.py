"""k-means with k-means++ initialisation for thousands of clusters, by blocked matrix products.

Arthur, Vassilvitskii: k-means++: The Advantages of Careful Seeding, SODA 2007.
"""

import numpy as np

from reseen.errors import SettingsError, counted
from reseen.kernels.compile import njit
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows
from reseen.kernels.threads import spread

_PROPOSALS = 128
_SAME = 1e-6  # squared distances below it are rounding errors


def kmeans(
    features: np.ndarray,
    M: int,
    *,
    seed: int | np.random.Generator,
    iterations: int = 100,
    tolerance: float = 1e-4,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Group rows into M clusters by Euclidean distance to the clusters' means.

    An empty cluster gets the row that is farthest from its own centroid, so no cluster of the
    result is empty.

    Args:
        features: (N, D) unit rows.
        M: number of clusters, 1 to N.
        seed: of the initialisation, or a generator.
        iterations: largest number of iterations, at least 1.
        tolerance: stop when the squared changes of the centroids sum to at most this share of the
            mean variance of a column, as scikit-learn does; with 0, stop when no row changes its
            cluster.
        block_bytes: memory for one block of products, in bytes.

    Returns:
        centroids (M, D) float32, the means of their rows, not normalised; and labels (N,) int32.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
        SettingsError: M or iterations is out of range.

    Source: Arthur and Vassilvitskii, SODA 2007, Section 2.2 (initialisation); Lloyd's algorithm.
    Memory: O(N + M D + block_bytes).
    """
    rows = check_rows(features)
    if not 1 <= M <= len(rows):
        raise SettingsError(
            f"M is {M}, but the features have {counted(len(rows), 'row')}. Give 1 to that many."
        )
    if iterations < 1:
        raise SettingsError(f"iterations is {iterations}. Give 1 or more.")
    rng = np.random.default_rng(seed)
    centroids = rows[spread_out(rows, M, rng, block_bytes)]
    limit = tolerance * (1 - np.square(rows.mean(0, dtype=np.float64)).sum()) / rows.shape[1]
    labels = np.full(len(rows), -1, np.int32)
    for _ in range(iterations):
        before, (labels, distances) = labels, nearest_centroid(rows, centroids, block_bytes)
        _fill_empty(labels, distances, M)
        if np.array_equal(labels, before):
            break
        old, centroids = centroids, _means(rows, labels, M)
        if np.square(centroids - old).sum(dtype=np.float64) <= limit:
            break
    return centroids, labels


def spread_out(
    rows: np.ndarray, M: int, rng: np.random.Generator, block_bytes: int = BLOCK_BYTES
) -> np.ndarray:
    """Draw M rows one after the other, each the best of a few candidates (greedy k-means++).

    The probability of a candidate is proportional to its squared distance to the rows drawn so far,
    and the one of 2 + ln M candidates with the smallest sum of these distances is taken. Candidates
    are proposed by distances from some draws ago, and accepted with the ratio of the current
    distance to the old one, which gives the same probability, so that one matrix product serves
    many draws.

    Args:
        rows: (N, D) float32 unit rows.
        M: how many, at most N.
        rng: random generator.
        block_bytes: memory for one block of distances, in bytes.

    Returns:
        (M,) positions; a row is drawn again only if all others are copies of rows drawn before.

    Source: Arthur and Vassilvitskii, SODA 2007, Sections 2.2 and 5 (the greedy form).
    Memory: O(N + block_bytes).
    """
    trials = 2 + int(np.log(M))
    drawn = [int(rng.integers(len(rows)))]
    far = _squared(rows, rows[drawn])[0]
    while len(drawn) < M:
        total = np.cumsum(far, dtype=np.float64)
        if total[-1] == 0:
            rest = rng.permutation(np.setdiff1d(np.arange(len(rows)), drawn))
            return np.array(drawn + rest[: M - len(drawn)].tolist())
        count = min(trials * len(drawn), _PROPOSALS, max(trials, block_bytes // (4 * len(rows))))
        proposed = np.searchsorted(total, rng.random(count) * total[-1], side="right")
        proposed = np.minimum(proposed, np.flatnonzero(far)[-1])
        stale, squared = far[proposed], _squared(rows, rows[proposed])
        best, least, tried = 0, np.inf, 0
        for place, row in enumerate(proposed):
            if rng.random() * stale[place] >= far[row]:
                continue
            left = _left(far, squared[place])
            if not tried or left < least:
                best, least = place, left
            tried += 1
            if tried == trials:
                drawn.append(int(proposed[best]))
                np.minimum(far, squared[best], out=far)
                tried = 0
                if len(drawn) == M:
                    break
    return np.array(drawn)


def nearest_centroid(
    rows: np.ndarray, centroids: np.ndarray, block_bytes: int = BLOCK_BYTES
) -> tuple[np.ndarray, np.ndarray]:
    """Find the centroid with the smallest Euclidean distance to each row.

    Args:
        rows: (N, D) float32 unit rows.
        centroids: (M, D) float32.
        block_bytes: memory for one block of products, in bytes.

    Returns:
        labels (N,) int32, the lowest of equals, and squared distances (N,) float32.

    Memory: O(N + block_bytes).
    """
    labels, distances = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
    half = np.einsum("md,md->m", centroids, centroids) / 2
    step = min(len(rows), max(1, block_bytes // (4 * len(centroids))))
    buffer = np.empty((step, len(centroids)), np.float32)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        block = np.matmul(rows[part], centroids.T, out=buffer[: len(rows[part])])
        spread(_closest, block, half, labels[part], distances[part])
    return labels, distances


def _squared(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squared = centres @ rows.T
    spread(_to_distances, squared)
    return squared


def _fill_empty(labels: np.ndarray, distances: np.ndarray, M: int) -> None:
    counts = np.bincount(labels, minlength=M)
    empty = np.flatnonzero(counts == 0)
    if not len(empty):
        return
    farthest = iter(np.argsort(-distances, kind="stable"))
    for cluster in empty:
        row = next(row for row in farthest if counts[labels[row]] > 1)
        counts[labels[row]] -= 1
        labels[row], counts[cluster] = cluster, 1


def _means(rows: np.ndarray, labels: np.ndarray, M: int) -> np.ndarray:
    order = np.argsort(labels, kind="stable")
    means = np.empty((M, rows.shape[1]), np.float32)
    spread(_mean_rows, rows, order, np.searchsorted(labels[order], np.arange(M + 1)), means)
    return means


@njit(nogil=True, cache=True)
def _to_distances(t, threads, products):
    for i in range(t, len(products), threads):
        for j in range(products.shape[1]):
            squared = 2 - 2 * products[i, j]
            products[i, j] = squared if squared >= _SAME else np.float32(0)


@njit(cache=True, fastmath={"reassoc", "nnan"})
def _left(far, distances):
    total = 0.0
    for i in range(len(far)):
        total += min(far[i], distances[i])
    return total


@njit(nogil=True, cache=True)
def _closest(t, threads, block, half, labels, distances):
    for i in range(t, len(block), threads):
        row = block[i]
        best = 0
        for m in range(1, len(half)):
            if row[m] - half[m] > row[best] - half[best]:
                best = m
        labels[i], distances[i] = best, max(0, 1 - 2 * (row[best] - half[best]))


@njit(nogil=True, cache=True)
def _mean_rows(t, threads, rows, order, cuts, means):
    for m in range(t, len(means), threads):
        total = np.zeros(rows.shape[1])
        for i in order[cuts[m] : cuts[m + 1]]:
            total += rows[i]
        means[m] = total / (cuts[m + 1] - cuts[m])
