"""Exact nearest neighbours by cosine: a blocked matrix product and a bounded list for each row."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numba import njit, prange

from reseen.errors import DataError, SettingsError

BLOCK_BYTES = 64 << 20
"""How much memory one block of similarities may take."""

_UNIT_TOLERANCE = 1e-2
_CHUNK = 64


def check_rows(features: np.ndarray, name: str = "features") -> np.ndarray:
    """Give the features as float32 rows in memory order, once every row is known to be usable.

    Args:
        features: (N, D) unit rows of any real type; float32 in memory order is not copied.
        name: what to call them in an error.

    Returns:
        (N, D) float32, C-contiguous.

    Raises:
        DataError: the array is not (N, D) with N >= 1, or a row holds NaN or inf, is zero, or is
            not of length 1 (to 1 %).
    """
    if np.ndim(features) != 2 or 0 in np.shape(features):
        raise DataError(
            f"{name} has shape {np.shape(features)}; (N, D) with at least one row is needed: "
            "give one feature vector for each image."
        )
    rows = np.ascontiguousarray(features, dtype=np.float32)
    with np.errstate(all="ignore"):
        length = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    _refuse(~np.isfinite(length), name, "hold NaN or inf", "look for a diverged training")
    _refuse(length == 0, name, "are zero and point nowhere", "drop these images")
    bad = np.abs(length - 1) > _UNIT_TOLERANCE
    _refuse(bad, name, "are not of length 1", "divide each row by its length")
    return rows


def nearest(
    features: np.ndarray,
    k: int,
    pool: np.ndarray | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows of the pool with the largest cosine to each row, exactly.

    Neighbours stand by falling similarity, and where similarities are equal by rising index, at the
    k-th place too. The rule knows no self: a point that has k or more exact copies at lower
    indices is missing from its own list.

    Args:
        features: (N, D) unit rows.
        k: neighbours to find, at least 1; the pool's size where that is smaller.
        pool: (M, D) unit rows to search; the features themselves if None, and then a point is
            its own neighbour.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32 into the pool, and similarities (N, k) float32.

    Raises:
        DataError: rows are unusable (see `check_rows`), or the pool has another D.
        SettingsError: k is below 1.

    Memory: O(N k + block_bytes); N x M is never held.
    """
    return nearest_and_lowest(features, k, pool, block_bytes=block_bytes)[:2]


def nearest_and_lowest(
    features: np.ndarray,
    k: int,
    pool: np.ndarray | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do as `nearest`, and give each row's smallest similarity to the pool as well.

    Args:
        features: (N, D) unit rows.
        k: neighbours to find, at least 1.
        pool: (M, D) unit rows to search, or None for the features themselves.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32, similarities (N, k) float32, lowest similarity (N,) float32.

    Raises:
        DataError: rows are unusable (see `check_rows`), or the pool has another D.
        SettingsError: k is below 1.

    Memory: O(N k + block_bytes).
    """
    if k < 1:
        raise SettingsError(f"k is {k}; a row needs at least one neighbour: give k >= 1.")
    rows = check_rows(features)
    others = rows if pool is None else check_rows(pool, "pool")
    k = min(k, len(others))
    indices = np.full((len(rows), k), -1, np.int32)
    similarities = np.full((len(rows), k), -np.inf, np.float32)
    lowest = np.full(len(rows), np.inf, np.float32)
    if pool is None:
        tiles = _mirrored_tiles(rows, block_bytes)
    else:
        tiles = ((start, 0, block) for start, block in similarity_blocks(rows, others, block_bytes))
    for start, column, tile in tiles:
        part = slice(start, start + len(tile))
        _select(tile, column, indices[part], similarities[part], lowest[part])
    return indices, similarities, lowest


def similarity_blocks(
    rows: np.ndarray, others: np.ndarray, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, np.ndarray]]:
    """Walk through rows @ others.T in blocks of whole rows.

    Args:
        rows: (N, D) float32.
        others: (M, D) float32.
        block_bytes: memory for one block, in bytes; one row of M is the least.

    Yields:
        start, and (b, M) float32 products of rows start .. start + b. The next block overwrites
        this one: copy what must stay.

    Raises:
        DataError: the two have different D.

    Memory: O(block_bytes).
    """
    if rows.shape[1] != others.shape[1]:
        raise DataError(
            f"The rows have {rows.shape[1]} numbers and those they are compared with "
            f"{others.shape[1]}: extract both with the same encoder."
        )
    step = min(len(rows), max(1, block_bytes // (4 * len(others))))
    buffer = np.empty((step, len(others)), np.float32)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield start, np.matmul(part, others.T, out=buffer[: len(part)])


def _mirrored_tiles(rows, block_bytes):
    """Walk through rows @ rows.T, computing each pair once: a tile serves its columns turned over.

    Every row meets its columns in rising order. The tiles are of one size, because BLAS may sum
    thin ones in another order, and then copies of an image would no longer tie.
    """
    side = max(1, math.isqrt(block_bytes // 8))
    cuts = np.linspace(0, len(rows), -(-len(rows) // side) + 1).astype(int)
    spans = list(pairwise(cuts.tolist()))
    for place, (start, stop) in enumerate(spans):
        for column, end in spans[place:]:
            tile = rows[start:stop] @ rows[column:end].T
            yield start, column, tile
            if column > start:
                yield column, start, np.ascontiguousarray(tile.T)


def _refuse(bad: np.ndarray, name: str, what: str, remedy: str) -> None:
    if bad.any():
        where = np.flatnonzero(bad)
        shown = ", ".join(map(str, where[:5])) + (", ..." if len(where) > 5 else "")
        raise DataError(f"{len(where)} rows of {name} {what} (rows {shown}): {remedy}.")


@njit(parallel=True, cache=True)
def _select(tile, column, indices, similarities, lowest):
    for i in prange(len(tile)):
        low = _keep_best(tile[i], column, indices[i], similarities[i])
        lowest[i] = min(lowest[i], low)


# nnan lets the compiler compare and take minima many at a time; no sum is touched.
@njit(cache=True, fastmath={"nnan"})
def _keep_best(row, column, index, best):
    """Let the similarities of columns column, column + 1, ... join the best; give the lowest."""
    last = len(best) - 1
    low = row[0]
    for start in range(0, len(row), _CHUNK):
        stop = min(start + _CHUNK, len(row))
        bar = best[last]
        above = 0
        for j in range(start, stop):
            above += row[j] > bar
            low = min(low, row[j])
        if above == 0:
            continue
        for j in range(start, stop):
            if row[j] > best[last]:
                _insert(row[j], column + j, index, best)
    return low


@njit(cache=True)
def _insert(value, j, index, best):
    place = len(best) - 1
    while place > 0 and best[place - 1] < value:
        best[place] = best[place - 1]
        index[place] = index[place - 1]
        place -= 1
    best[place] = value
    index[place] = j
