"""Exact nearest neighbours by cosine: quick scores choose candidates, exact sums decide."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.shortlist import Shortlist, all_devices, shortlists
from reseen.kernels.threads import spread

BLOCK_BYTES = 64 << 20
"""How much memory one block of similarities may take."""

PRECISIONS = ("auto", "float32", "bfloat16")

_UNIT_TOLERANCE = 1e-2


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
    precision: str = "auto",
    devices: Sequence[str] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows of the pool with the largest cosine to each row, exactly.

    A quick product lists the candidates (see `shortlists`); theirs are summed again in float64,
    which decides. So the result is the same in every precision, on every device and for every
    block size. Neighbours stand by falling similarity, and where the float64 sums are equal by
    rising index, at the k-th place too. The rule knows no self: a point that has k or more exact
    copies at lower indices is missing from its own list.

    Args:
        features: (N, D) unit rows.
        k: neighbours to find, at least 1; the pool's size where that is smaller.
        pool: (M, D) unit rows to search; the features themselves if None, and then a point is
            its own neighbour.
        precision: of the quick product on a CPU: float32, bfloat16, or auto, the quicker here. It
            changes the time alone.
        devices: where the quick product is computed: ("cpu",), or devices of torch that share the
            rows ("cuda:0", "cuda:1"), there in bfloat16; None for `all_devices`.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32 into the pool, and similarities (N, k) float32, rounded from float64.

    Raises:
        DataError: rows are unusable (see `check_rows`), or the pool has another D.
        SettingsError: k is below 1, or there is no such precision.

    Memory: O(N k + block_bytes), and 2 (N + M) D bytes in bfloat16; N x M is never held.
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
    """Do as `nearest`, and give each row's smallest similarity to the pool as well.

    Args:
        features: (N, D) unit rows.
        k: neighbours to find, at least 1.
        pool: (M, D) unit rows to search, or None for the features themselves.
        precision: of the quick product on a CPU, see `nearest`.
        devices: where the quick product is computed.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32, similarities (N, k) float32, lowest similarity (N,) float32.

    Raises:
        DataError: rows are unusable (see `check_rows`), or the pool has another D.
        SettingsError: k is below 1, or there is no such precision.

    Memory: as `nearest`.
    """
    wanted = ((k, 1), (1, -1))
    found, low = _search(features, pool, wanted, precision, devices, block_bytes)
    return *found, low[1][:, 0]


def _search(features, pool, wanted, precision, devices, block_bytes):
    """Give indices and similarities for each pair of k and sign (-1: the least similar)."""
    if min(k for k, _ in wanted) < 1:
        raise SettingsError(
            f"k is {wanted[0][0]}; a row needs at least one neighbour: give k >= 1."
        )
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}: give one of {', '.join(PRECISIONS)}.")
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
"""Parts rows (n,) by what they are compared with: gives rows, and columns, of each part."""


def decide(
    rows: np.ndarray,
    others: np.ndarray,
    found: Shortlist,
    block_bytes: int,
    order: np.ndarray | None = None,
    pools: Pools | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Take the k best of each shortlist by float64 sums; search rows without a list in full.

    Args:
        rows: (N, D) float32.
        others: (M, D) float32.
        found: the `Shortlist` of each row.
        block_bytes: memory for one block of products, in bytes.
        order: (N,) the row that each list is of; None where they are in the order of the rows.
        pools: which columns rows are compared with where they are searched in full; None: all.

    Returns:
        indices (N, k) int32, -1 where fewer were compared, and products (N, k) float32.
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
    """Search in float64 for the rows `where`, in blocks; copies are looked up once.

    Of copies in the pool only the first k can be found, so the others are left out: neither a pool
    of copies nor one of near copies needs more than the matrix product and a few sums a row.
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
    """Find rows that are copies of others, bit for bit.

    Args:
        rows: (N, D) float32, in memory order.
        where: (n,) positions of the rows to look at.

    Returns:
        (n,) for each the place in `where` of the first row like it: its own if it is the first.

    Memory: O(n).
    """
    marks = np.empty(len(where), np.uint64)
    spread(_fingerprints, rows.view(np.uint32), where, marks)
    return _match(rows, where, marks, np.argsort(marks, kind="stable"))


def _first_k(same: np.ndarray, k: int) -> np.ndarray:
    """Positions of all but those that have k copies or more before them."""
    order = np.argsort(same, kind="stable")
    first = np.searchsorted(same[order], same[order])
    return np.sort(order[np.arange(len(same)) - first < k])


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
    _check_sizes(rows, others)
    step = min(len(rows), max(1, block_bytes // (4 * len(others))))
    buffer = np.empty((step, len(others)), np.float32)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield start, np.matmul(part, others.T, out=buffer[: len(part)])


def _check_sizes(rows: np.ndarray, others: np.ndarray) -> None:
    if rows.shape[1] != others.shape[1]:
        raise DataError(
            f"The rows have {rows.shape[1]} numbers and those they are compared with "
            f"{others.shape[1]}: extract both with the same encoder."
        )


def _refuse(bad: np.ndarray, name: str, what: str, remedy: str) -> None:
    if bad.any():
        where = np.flatnonzero(bad)
        shown = ", ".join(map(str, where[:5])) + (", ..." if len(where) > 5 else "")
        raise DataError(f"{len(where)} rows of {name} {what} (rows {shown}): {remedy}.")


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


# The compiler may choose the order of a sum, but then it is that order for every pair of rows.
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
