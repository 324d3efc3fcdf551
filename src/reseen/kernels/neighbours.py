"""Exact nearest neighbours by cosine: fast scores choose candidates, exact sums decide."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from reseen.errors import DataError, SettingsError, counted
from reseen.kernels.compile import njit
from reseen.kernels.shortlist import Shortlist, all_devices, shortlists
from reseen.kernels.threads import spread

BLOCK_BYTES = 64 << 20
"""Memory for one block of similarities, in bytes."""

PRECISIONS = ("auto", "float32", "bfloat16")

_UNIT_TOLERANCE = 1e-2


def check_rows(features: np.ndarray, name: str = "features") -> np.ndarray:
    """Check that every row is valid, and return them as contiguous float32.

    Args:
        features: (N, D) unit rows of any real type; contiguous float32 is not copied.
        name: of the features, for error messages.

    Returns:
        (N, D) float32, C-contiguous.

    Raises:
        DataError: the array is not (N, D) with N >= 1, or a row contains NaN or inf, is zero, or
            its length is not 1 (within 1 %).
    """
    if np.ndim(features) != 2 or 0 in np.shape(features):
        raise DataError(
            f"{name} has shape {np.shape(features)}. Give an array (N, D), one feature vector for "
            "each image."
        )
    rows = np.ascontiguousarray(features, dtype=np.float32)
    with np.errstate(all="ignore"):
        length = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    _refuse(~np.isfinite(length), name, "with NaN or inf", "check whether training diverged")
    _refuse(length == 0, name, "of length 0", "leave these images out")
    bad = np.abs(length - 1) > _UNIT_TOLERANCE
    _refuse(bad, name, "not of length 1", "divide each row by its length")
    return rows


def nearest(
    features: np.ndarray,
    k: int,
    pool: np.ndarray | None = None,
    *,
    precision: str = "auto",
    devices: Sequence[str] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows of the pool with the largest cosine to each row, exactly.

    A fast product makes shortlists of candidates (see `shortlists`), whose products are computed
    again in float64 and decide. So the result is the same in every precision, on every device and
    for every block size. Neighbours are sorted by descending similarity, and ties of the float64
    sums by ascending index, also at the k-th place. A row itself has no priority: if at least k
    exact copies of it have lower indices, it is missing from its own list.

    Args:
        features: (N, D) unit rows.
        k: number of neighbours, at least 1; the pool's size if that is smaller.
        pool: (M, D) unit rows to search; None for the features themselves, and then a row is its
            own neighbour.
        precision: of the fast product on a CPU: float32, bfloat16, or auto for the faster one. It
            changes only the time.
        devices: where the fast product is computed: ("cpu",), or devices of torch among which the
            rows are divided ("cuda:0", "cuda:1"), in bfloat16; None for `all_devices`.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32 into the pool, and similarities (N, k) float32, rounded from float64.

    Raises:
        DataError: the rows are invalid (see `check_rows`), or the pool has another D.
        SettingsError: k is below 1, or precision is unknown.

    Memory: O(N k + block_bytes), and 2 (N + M) D bytes in bfloat16; never N x M.
    """
    ((indices, similarities),) = _search(features, pool, ((k, 1),), precision, devices, block_bytes)
    return indices, similarities


def nearest_and_lowest(
    features: np.ndarray,
    k: int,
    pool: np.ndarray | None = None,
    *,
    precision: str = "auto",
    devices: Sequence[str] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do as `nearest`, and also return each row's smallest similarity to the pool.

    Args:
        features: (N, D) unit rows.
        k: number of neighbours, at least 1.
        pool: (M, D) unit rows to search, or None for the features themselves.
        precision: of the fast product on a CPU, see `nearest`.
        devices: where the fast product is computed.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32, similarities (N, k) float32, lowest similarity (N,) float32.

    Raises:
        DataError: the rows are invalid (see `check_rows`), or the pool has another D.
        SettingsError: k is below 1, or precision is unknown.

    Memory: as for `nearest`.
    """
    wanted = ((k, 1), (1, -1))
    found, low = _search(features, pool, wanted, precision, devices, block_bytes)
    return *found, low[1][:, 0]


def _search(features, pool, wanted, precision, devices, block_bytes):
    """Return indices and similarities for each pair of k and sign (-1: the least similar)."""
    if min(k for k, _ in wanted) < 1:
        raise SettingsError(
            f"k is {wanted[0][0]}, but a row needs at least one neighbour. Give k >= 1."
        )
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}. Give one of {', '.join(PRECISIONS)}.")
    rows = check_rows(features)
    others = rows if pool is None else check_rows(pool, "pool")
    _check_sizes(rows, others)
    wanted = tuple((min(k, len(others)), sign) for k, sign in wanted)
    if devices is None:
        devices = all_devices(len(rows) * len(others) * rows.shape[1])
    lists = shortlists(
        *(rows, others, wanted), precision=precision, devices=devices, block_bytes=block_bytes
    )
    return [decide(rows, others, found, block_bytes) for found in lists]


Pools = Callable[[np.ndarray], Iterable[tuple[np.ndarray, np.ndarray]]]
"""Splits rows (n,) by what they are compared with: yields the rows and columns of each part."""


def decide(
    rows: np.ndarray,
    others: np.ndarray,
    found: Shortlist,
    block_bytes: int,
    order: np.ndarray | None = None,
    pools: Pools | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Take the k best of each shortlist by float64 sums; rows without a list are searched in full.

    Args:
        rows: (N, D) float32.
        others: (M, D) float32.
        found: the `Shortlist` of each row.
        block_bytes: memory for one block of products, in bytes.
        order: (N,) the row that each list belongs to; None if they are in the order of the rows.
        pools: the columns with which rows are compared in a full search; None for all.

    Returns:
        indices (N, k) int32, -1 if fewer were compared, and products (N, k) float32.
    """
    indices = np.full((len(rows), found.k), -1, np.int32)
    sums = np.full((len(rows), found.k), -np.inf)
    order = np.arange(len(rows)) if order is None else order
    spread(_settle, rows, others, order, found, indices, sums)
    open_rows = np.sort(order[np.isinf(found.bar) & (found.bar > 0) & (found.size == 0)])
    parts = pools(open_rows) if pools else [(open_rows, np.arange(len(others)))]
    for where, columns in parts if len(open_rows) else ():
        _search_in_full(rows, others, where, columns, found, indices, sums, block_bytes)
    return indices, (found.sign * sums).astype(np.float32)


def _search_in_full(rows, others, where, columns, found, indices, sums, block_bytes):
    """Search in float64 for the rows `where`, in blocks; copies are searched only once.

    Of copies in the pool only the first k can be found, so the others are left out. A pool of
    copies or near copies therefore needs only the matrix product and a few sums for each row.
    """
    same = first_copies(rows, where)
    once = np.flatnonzero(same == np.arange(len(where)))
    pool = columns[_first_k(first_copies(others, columns), found.k)]
    size = others.shape[1]
    side = max(1, math.isqrt(size * size + block_bytes // 8) - size)  # 8 side^2 + 16 D side
    known = rows, others, size * 2.0**-51 * (1 + _UNIT_TOLERANCE) ** 2, found.sign
    for start in range(0, len(once), side):
        part = where[once[start : start + side]]
        block = found.sign * rows[part].astype(np.float64)
        for column in range(0, len(pool), side):
            beside = pool[column : column + side]
            tile = block @ others[beside].astype(np.float64).T
            spread(_insert_all, tile, part, beside, *known, indices, sums)
    indices[where], sums[where] = indices[where[same]], sums[where[same]]


def first_copies(rows: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Find rows that are bit-identical copies of others.

    Args:
        rows: (N, D) float32, contiguous.
        where: (n,) positions of the rows to compare.

    Returns:
        (n,) the position in `where` of the first identical row, which may be the row itself.

    Memory: O(n).
    """
    marks = np.empty(len(where), np.uint64)
    spread(_fingerprints, rows.view(np.uint32), where, marks)
    return _match(rows, where, marks, np.argsort(marks, kind="stable"))


def _first_k(same: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of all rows except those that at least k copies precede."""
    order = np.argsort(same, kind="stable")
    first = np.searchsorted(same[order], same[order])
    return np.sort(order[np.arange(len(same)) - first < k])


def similarity_blocks(
    rows: np.ndarray, others: np.ndarray, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield rows @ others.T in blocks of whole rows.

    Args:
        rows: (N, D) float32.
        others: (M, D) float32.
        block_bytes: memory for one block, in bytes; a block has at least one row of M.

    Yields:
        start, and (b, M) float32 products of rows start .. start + b. The next block overwrites
        this one, so copy what you need.

    Raises:
        DataError: the two have different D.

    Memory: O(block_bytes).
    """
    _check_sizes(rows, others)
    step = min(len(rows), max(1, block_bytes // (4 * len(others))))
    buffer = np.empty((step, len(others)), np.float32)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield start, np.matmul(part, others.T, out=buffer[: len(part)])


def _check_sizes(rows: np.ndarray, others: np.ndarray) -> None:
    if rows.shape[1] != others.shape[1]:
        raise DataError(
            f"The rows have {rows.shape[1]} numbers, and those they are compared with have "
            f"{others.shape[1]}. Extract both with the same encoder."
        )


def _refuse(bad: np.ndarray, name: str, what: str, remedy: str) -> None:
    if bad.any():
        where = np.flatnonzero(bad)
        shown = ", ".join(map(str, where[:5])) + (", ..." if len(where) > 5 else "")
        raise DataError(f"{name} has {counted(len(where), 'row')} {what} (rows {shown}): {remedy}.")


@njit(nogil=True, cache=True)
def _settle(t, threads, rows, others, order, found, indices, sums):
    totals = np.empty(found.listed.shape[1] + 3)
    for place in range(t, len(order), threads):
        i, listed = order[place], found.listed[place, : found.size[place]].copy()
        _sum_all(rows[i], others, found.sign, listed, totals)
        _take_best(totals, listed, indices[i], sums[i])


@njit(cache=True)
def _sum_all(row, others, sign, picks, totals):
    last = len(picks) - 1
    for place in range(0, len(picks), 4):
        a, b = others[picks[place]], others[picks[min(place + 1, last)]]
        c, d = others[picks[min(place + 2, last)]], others[picks[min(place + 3, last)]]
        p, q, r, s = _four_sums(row, a, b, c, d)
        totals[place : place + 4] = sign * p, sign * q, sign * r, sign * s


@njit(cache=True)
def _take_best(totals, picks, index, sums):
    """Put each pick at the place that is the number of those before it."""
    for a in range(len(picks)):
        place = 0
        for b in range(len(picks)):
            tie = (totals[b] == totals[a]) & (picks[b] < picks[a])
            place += (totals[b] > totals[a]) | tie
        if place < len(sums):
            sums[place], index[place] = totals[a], picks[a]


# The compiler may choose the order of a sum, but then uses that order for every pair of rows.
@njit(cache=True, fastmath={"reassoc", "contract"})
def _four_sums(x, a, b, c, d):
    """Sum x times each of four rows in float64, in which the products are exact."""
    p = q = r = s = 0.0
    for place in range(len(x)):
        value = np.float64(x[place])
        p += value * np.float64(a[place])
        q += value * np.float64(b[place])
        r += value * np.float64(c[place])
        s += value * np.float64(d[place])
    return p, q, r, s


@njit(nogil=True, cache=True)
def _insert_all(t, threads, tile, part, columns, rows, others, error, sign, indices, sums):
    for b in range(t, len(tile), threads):
        i = part[b]
        for c in range(len(columns)):
            if tile[b, c] + error >= sums[i, -1]:
                other = others[columns[c]]
                total = sign * _four_sums(rows[i], other, other, other, other)[0]
                _insert(total, columns[c], indices[i], sums[i])


@njit(cache=True)
def _insert(total, j, index, sums):
    place = len(sums)
    while place > 0 and _before(total, j, sums[place - 1], index[place - 1]):
        if place < len(sums):
            sums[place], index[place] = sums[place - 1], index[place - 1]
        place -= 1
    if place < len(sums):
        sums[place], index[place] = total, j


@njit(cache=True)
def _before(total, j, other, index):
    return total > other or (total == other and j < index)


@njit(nogil=True, cache=True)
def _fingerprints(t, threads, bits, where, marks):
    for i in range(t, len(where), threads):
        mark, odd = np.uint64(0), np.uint64(0x9E3779B97F4A7C15)
        for c in range(bits.shape[1]):
            mark += (np.uint64(bits[where[i], c]) + np.uint64(1)) * odd
            odd += np.uint64(0xD1B54A32D192ED02)
        marks[i] = mark ^ (mark >> np.uint64(32))


@njit(cache=True)
def _match(rows, where, marks, order):
    same = np.arange(len(where))
    head = order[0]
    for i in order:
        if marks[i] != marks[head]:
            head = i
        elif np.array_equal(rows[where[i]], rows[where[head]]):
            same[i] = head
    return same
