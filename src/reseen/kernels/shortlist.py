"""Shortlists: for each row, all columns that can be among its k best, chosen by fast scores.

A fast product (float32, or bfloat16, in which processors and GPUs are several times as fast) gives
scores. The difference of each score from the true product has a proven bound, so a column is left
out only if its score shows that it cannot be among the k best.

The bound: with x' and y' the rounded rows, |x.y - x'.y'| <= |x| |y - y'| + |x - x'| |y'| by the
Cauchy-Schwarz inequality, with measured norms; summing D numbers in float32 in any order adds at
most D 2^-23 |x'| |y'| (twice what Higham, Accuracy and Stability of Numerical Algorithms, 2002,
Section 3.1 proves for rounding to nearest); storing a sum in bfloat16 changes it by at most 2^-8 of
its size.

Features of one encoder have much in common: their mean m, which adds about |m|^2 to every product
and would take most of the precision of a sum stored in bfloat16. It is therefore subtracted first:
with x = m + x', x.y = |m|^2 + m.x' + m.y' + x'.y', and a score is this without |m|^2, which does
not change the order.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reseen.kernels.compile import njit
from reseen.kernels.threads import spread

_SPARE = 64
_STRIPE = 512
SIDE = 2048
"""Largest number of rows and columns of a tile of scores."""
_ROUNDED = 256
_ADDED = 4
"""Extra columns beside the rounded rows: what is added for the row, in two parts, and a 1 for
each."""
_QUICK, _QUICKER_THAN_TORCH = 1e9, 2e10
"""Number of products below which bfloat16 saves no time, and below which it saves less time than
importing torch takes."""
_STORED_BFLOAT16 = 2.0**-8
_TINY = 1e-6  # for numbers flushed to zero, and for rounding in the bound itself


class Blocks(NamedTuple):
    """Rows in another order, cut into blocks, not all of which are compared with each other."""

    order: np.ndarray
    """(N,) int32, the row at each position."""
    cuts: np.ndarray
    """(B + 1,) int, where each block begins, and N; at most SIDE apart."""
    near: np.ndarray
    """(L, B, B) bool, symmetric: the pairs of blocks that each list compares."""


class Shortlist(NamedTuple):
    """For each of N rows, up to C columns that can be among its k best."""

    listed: np.ndarray
    """(N, C) int32, columns in any order; only the first `size` are valid."""
    score: np.ndarray
    """(N, C) float32, their scores: products times `sign`."""
    size: np.ndarray
    """(N,) int32, number of columns in the list."""
    bar: np.ndarray
    """(N,) float32: columns with a smaller score cannot be among the k best; inf if C was too small
    and the row has no list."""
    error: np.ndarray
    """(N,) float64, bound of the difference between a sum, before it is stored, and the product."""
    mark: np.ndarray
    """(N,) the bits of the smallest score at the bar, as integers as wide as the scores."""
    flip: np.ndarray
    """(1,) what turns the bits of a product into those of a score: the sign bit or nothing."""
    shift: int
    """Number of bits of a float32 that a score does not have."""
    stored: float
    """Share of its size by which a sum can change when it is stored."""
    k: int
    """Number of columns wanted."""
    sign: int
    """1 to find the largest products, -1 the smallest."""


def shortlists(
    rows: np.ndarray,
    others: np.ndarray,
    wanted: tuple[tuple[int, int], ...],
    *,
    precision: str,
    devices: Sequence[str],
    block_bytes: int,
    blocks: Blocks | None = None,
) -> list[Shortlist]:
    """List for each row the columns that can have the k largest (or smallest) products.

    Args:
        rows: (N, D) float32.
        others: (M, D) float32; if it is the same object as rows, each product is computed once
            for both rows.
        wanted: pairs of k and sign, one for each list; k at most M.
        precision: float32, bfloat16, or auto for the faster one.
        devices: cpu only, or devices of torch, among which the rows are divided.
        block_bytes: memory for one block of scores, in bytes.
        blocks: if rows are compared with themselves, which blocks are compared. The lists are then
            in the order of the blocks.

    Returns:
        A `Shortlist` for each pair.

    Memory: O(N k + block_bytes), and 2 (N + M) D bytes for rounded rows in bfloat16.
    """
    if tuple(devices) != ("cpu",):
        return _on_devices(rows, others, wanted, devices, block_bytes, blocks)
    if precision == "auto":
        quick = _QUICK if "torch" in sys.modules else _QUICKER_THAN_TORCH
        small = len(rows) * len(others) * rows.shape[1] < quick
        precision = "bfloat16" if not small and _fast_bfloat16() else "float32"
    side = SIDE if blocks else max(1, min(SIDE, math.isqrt(block_bytes // 4)))
    order = blocks.order if blocks else None
    score = (_Bfloat16 if precision == "bfloat16" else _Float32)(rows, others, side, order)
    lists = [_empty(k, sign, score, len(rows), len(others)) for k, sign in wanted]
    mirrored = others is rows
    cuts = blocks.cuts if blocks else _uniform(len(rows), side)
    columns = cuts if mirrored else _uniform(len(others), side)
    for a, b in _tiles(len(cuts) - 1, len(columns) - 1, mirrored):
        here = [found for n, found in enumerate(lists) if blocks is None or blocks.near[n, a, b]]
        if not here:
            continue
        start, column = cuts[a], columns[b]
        tile = score(slice(start, cuts[a + 1]), slice(column, columns[b + 1]))
        for found in here:
            spread(_scan_rows, tile, start, column, found)
            if mirrored and column > start:
                spread(_scan_columns, tile, start, column, found)
    _finish(lists, order)
    return lists


def all_devices(work: float = math.inf) -> tuple[str, ...]:
    """Return the devices on which fast products are computed: all GPUs that torch sees, or cpu.

    Set CUDA_VISIBLE_DEVICES to choose among them.

    Args:
        work: number of multiplications; small work is not worth a GPU, nor importing torch.
    """
    if work < _QUICK:
        return ("cpu",)
    if "torch" not in sys.modules and not _has_driver():
        return ("cpu",)
    import torch

    return tuple(f"cuda:{n}" for n in range(torch.cuda.device_count())) or ("cpu",)


def _has_driver() -> bool:
    return any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/kfd"))


def _uniform(n: int, side: int) -> np.ndarray:
    return np.append(np.arange(0, n, side), n)


def _tiles(rows: int, columns: int, mirrored: bool) -> Iterator[tuple[int, int]]:
    """Yield pairs of blocks; if mirrored, first the diagonal, then one half."""
    if mirrored:
        yield from ((a, a) for a in range(rows))
    for a in range(rows):
        for b in range(a + 1 if mirrored else 0, columns):
            yield a, b


class _Float32:
    """Scores in float32."""

    stored, bits = 0.0, np.int32

    def __init__(self, rows, others, side: int, order: np.ndarray | None = None):
        self.rows = rows if order is None else rows[order]
        self.others = self.rows if others is rows else others
        self.buffer = np.empty(side * side, np.float32)
        length = _lengths(self.rows)
        longest = length.max() if others is rows else _lengths(others).max()
        self.error = rows.shape[1] * 2.0**-23 * length * longest + _TINY

    def __call__(self, part: slice, columns: slice) -> np.ndarray:
        a, b = self.rows[part], self.others[columns]
        tile = self.buffer[: len(a) * len(b)].reshape(len(a), len(b))
        return np.matmul(a, b.T, out=tile).view(np.int32)


class _Bfloat16:
    """Scores in bfloat16, summed in float32."""

    stored, bits = _STORED_BFLOAT16, np.int16

    def __init__(self, rows, others, side: int, order: np.ndarray | None = None, device="cpu"):
        import torch

        mean = others.mean(0)
        mirrored = others is rows
        mine = _rounded(rows, mean if mirrored else None, mean * mirrored, order, device)
        theirs = mine if mirrored else _rounded(others, mean, mean * 0, None, device)
        self.rows, length, _, off, left, whole = mine
        self.others = theirs[0]
        longest, farthest, left_most, wholest = (theirs[n].max() for n in (2, 3, 4, 5))
        summing = self.rows.shape[1] * 2.0**-23 * whole * wholest
        self.error = length * farthest + off * longest + summing + left + left_most + _TINY
        self.buffer = torch.empty(side * side, dtype=torch.bfloat16)

    def __call__(self, part: slice, columns: slice) -> np.ndarray:
        import torch

        a, b = self.rows[part], turned(self.others[columns])
        tile = self.buffer[: len(a) * len(b)].view(len(a), len(b))
        return torch.mm(a, b.T, out=tile).view(torch.int16).numpy()


def turned(rows: Any) -> Any:
    """Turn rounded rows into columns: the extra columns of the two sides are exchanged."""
    import torch

    return torch.cat([rows[:, :-_ADDED], rows[:, -2:], rows[:, -_ADDED:-2]], dim=1)


def _rounded(rows: np.ndarray, mean: np.ndarray | None, beside: np.ndarray, order, device: str):
    """Round rows to bfloat16, without their mean, and append extra columns.

    Args:
        rows: (N, D) float32.
        mean: (D,) to subtract, or None.
        beside: (D,) whose product with the rest of a row is added to its scores.
        order: (N,) the row at each position of the result; None for the given order.
        device: of torch, for the result.

    Returns:
        (N, D + _ADDED) the rounded rows; and for each row its length, the length of what is
        rounded, of the rounding error, the error of the sum, and the length with all extra columns.
    """
    import torch

    out = torch.empty(len(rows), rows.shape[1] + _ADDED, dtype=torch.bfloat16, device=device)
    lengths = np.empty((5, len(rows)))
    for start in range(0, len(rows), _ROUNDED):
        part = slice(start, start + _ROUNDED)
        exact = rows[part] if order is None else rows[order[part]]
        exact = exact if mean is None else exact - mean
        rounded = torch.from_numpy(exact).bfloat16()
        kept = rounded.float().numpy()
        added = torch.from_numpy(exact.astype(np.float64) @ beside.astype(np.float64))
        high = added.bfloat16()
        low = (added - high.double()).bfloat16()
        ones = torch.ones_like(high)
        out[part] = torch.cat([rounded, torch.stack([high, low, ones, ones], 1)], 1)
        for place, vectors in enumerate((exact, kept, exact - kept)):
            lengths[place, part] = _lengths(vectors)
        lengths[3, part] = (added - high.double() - low.double()).abs().numpy()
        lengths[4, part] = np.sqrt(lengths[1, part] ** 2 + 1.01 * added.numpy() ** 2 + 2)
    return out, *lengths


def _lengths(rows: np.ndarray) -> np.ndarray:
    """Return lengths of rows, rounded up by at most what a sum in float32 can lose."""
    return (1 + rows.shape[1] * 2.0**-23) * np.sqrt(np.einsum("nd,nd->n", rows, rows))


def _fast_bfloat16() -> bool:
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))


def _on_devices(rows, others, wanted, devices, block_bytes, blocks) -> list[Shortlist]:
    """Do as `shortlists` on GPUs, each with its share of whole rows, by torch's topk."""
    order = blocks.order if blocks else None
    scores = [_Bfloat16(rows, others, 0, order, device) for device in devices]
    for score in scores:
        score.stored = 0.0 if score.rows.is_cuda else score.stored
    lists = [_empty(k, sign, scores[0], len(rows), len(others)) for k, sign in wanted]
    cuts = blocks.cuts if blocks else np.array([0, len(rows)])
    shares = [slice(n, None, len(devices)) for n in range(len(devices))]
    with ThreadPoolExecutor(len(devices)) as pool:
        work = partial(_list_share, lists, cuts, blocks, block_bytes)
        list(pool.map(work, scores, shares))
    last = [found.score[:, :-1].min(1) for found in lists]  # -inf if fewer were compared
    _finish(lists, order)
    for found, least in zip(lists, last, strict=True):
        if found.listed.shape[1] <= len(others):  # a column left out may be as good as the last
            short = (least >= found.bar) & np.isfinite(least)
            found.bar[short], found.size[short] = np.inf, 0
    return lists


def _list_share(lists, cuts, blocks, block_bytes, score, share) -> None:
    """List every n-th part of the rows, on the device of the scores."""
    import torch

    others, device = turned(score.others), score.rows.device
    if score.rows.is_cuda:
        block_bytes = max(block_bytes, torch.cuda.mem_get_info(device)[0] // 4)
    step = max(1, block_bytes // (12 * len(others)))
    parts = [
        (a, slice(start, min(start + step, cuts[a + 1])))
        for a in range(len(cuts) - 1)
        for start in range(cuts[a], cuts[a + 1], step)
    ]
    for a, part in parts[share]:
        if score.rows.is_cuda:
            block = torch.mm(score.rows[part], others.T, out_dtype=torch.float32)
        else:
            block = (score.rows[part] @ others.T).float()
        for n, found in enumerate(lists):
            signed, places = block * found.sign, found.listed.shape[1] - 1
            if blocks is not None:
                left_out = torch.from_numpy(np.repeat(~blocks.near[n, a], np.diff(cuts)))
                signed.masked_fill_(left_out.to(device), -math.inf)
            best = torch.topk(signed, places, dim=1)
            found.listed[part, :places] = best.indices.int().cpu().numpy()
            found.score[part, :places] = best.values.cpu().numpy()
            found.size[part] = (best.values > -math.inf).sum(1).cpu().numpy()


def _empty(k: int, sign: int, score: _Float32 | _Bfloat16, n: int, m: int) -> Shortlist:
    places = min(4 * k + _SPARE, m) + 1  # the last is written before it is known to be kept
    return Shortlist(
        np.empty((n, places), np.int32),
        np.empty((n, places), np.float32),
        np.zeros(n, np.int32),
        np.full(n, -np.inf, np.float32),
        score.error,
        np.full(n, np.iinfo(score.bits).min, score.bits),
        np.array([np.iinfo(score.bits).min if sign < 0 else 0], score.bits),
        32 - np.iinfo(score.bits).bits,
        score.stored,
        k,
        sign,
    )


# Positive floats are ordered like their bits, so integers are compared, twice as many at a time in
# bfloat16. What is found is compared again as floats, which also handles negative ones. No function
# that takes a record is called for each score: passing it would take most of the time.
@njit(nogil=True, cache=True)
def _scan_rows(t, threads, tile, start, column, found):
    listed, score, size, bar, flip = found.listed, found.score, found.size, found.bar, found.flip[0]
    seen, places = _room(tile.shape[1])
    for i in range(t, len(tile), threads):
        row, r = tile[i], start + i
        if bar[r] == -np.inf:
            _start_bar(row, found, r)
        for a in range(_above(row, np.full(len(row), found.mark[r]), flip, seen, places)):
            if size[r] + 1 == listed.shape[1]:
                _make_room(found, r)
            j, place = places[a], size[r]
            listed[r, place] = column + j
            score[r, place] = _float(row[j] ^ flip, found.shift)
            size[r] = place + (score[r, place] >= bar[r])


@njit(nogil=True, cache=True)
def _scan_columns(t, threads, tile, start, column, found):
    listed, score, size, bar, flip = found.listed, found.score, found.size, found.bar, found.flip[0]
    seen, places = _room(_STRIPE)
    for first in range(t * _STRIPE, tile.shape[1], threads * _STRIPE):
        for i in range(len(tile)):
            row = tile[i, first : first + _STRIPE]
            marks = found.mark[column + first : column + first + len(row)]
            for a in range(_above(row, marks, flip, seen, places)):
                r = column + first + places[a]
                if size[r] + 1 == listed.shape[1]:
                    _make_room(found, r)
                place = size[r]
                listed[r, place] = start + i
                score[r, place] = _float(row[places[a]] ^ flip, found.shift)
                size[r] = place + (score[r, place] >= bar[r])


@njit(cache=True)
def _room(n):
    return np.empty(n, np.bool_), np.empty(n, np.int64)


@njit(cache=True)
def _above(row, marks, flip, seen, places):
    """Find the scores that reach their marks: all are compared at once, then eight at a time."""
    for j in range(len(row)):
        seen[j] = (row[j] ^ flip) >= marks[j]
    words = seen[: len(row) // 8 * 8].view(np.int64)
    count = 0
    for word in range(len(words)):
        if words[word]:
            for j in range(8 * word, 8 * word + 8):
                places[count] = j
                count += seen[j]
    for j in range(8 * len(words), len(row)):
        places[count] = j
        count += seen[j]
    return count


@njit(cache=True)
def _float(bits, shift):
    """Return the float32 whose upper bits these are."""
    return np.int32(np.int32(bits) << np.int32(shift)).view(np.float32)


@njit(cache=True)
def _start_bar(row, found, r):
    """Start with the k-th best of the maxima of 4 k groups, at most the k-th best of all."""
    groups, flip = 4 * found.k, found.flip[0]
    if 2 * groups > len(row):
        return
    best = row[:groups] ^ flip
    for first in range(groups, len(row) - groups + 1, groups):
        part = row[first : first + groups]
        for g in range(groups):
            best[g] = max(best[g], part[g] ^ flip)
    scores = np.empty(groups, np.float32)
    for g in range(groups):
        scores[g] = _float(best[g], found.shift)
    kth = _kth_best(scores, found.k)
    if kth > 0:
        _set_bar(_allowed(kth, found, r), found, r)


@njit(cache=True)
def _make_room(found, r):
    _tighten(found, r)
    if 4 * found.size[r] > 3 * found.listed.shape[1]:
        _set_bar(np.float32(np.inf), found, r)
        found.size[r] = 0


@njit(cache=True)
def _tighten(found, r):
    """Raise the bar to what the k-th best score allows, and remove what lies below."""
    size = found.size[r]
    scores = found.score[r, :size]
    bar = _allowed(_kth_best(scores.copy(), found.k), found, r)
    kept = 0
    for place in range(size):
        if scores[place] >= bar:
            found.listed[r, kept], scores[kept] = found.listed[r, place], scores[place]
            kept += 1
    found.size[r] = kept
    _set_bar(bar, found, r)


# numpy's partition does the same, but takes 5 seconds to compile.
@njit(cache=True)
def _kth_best(scores, k):
    """Return the k-th largest score by Hoare's selection, which reorders the scores."""
    low, high = 0, len(scores) - 1
    while low < high:
        pivot, i, j = scores[(low + high) // 2], low, high
        while i <= j:
            while scores[i] > pivot:
                i += 1
            while scores[j] < pivot:
                j -= 1
            if i <= j:
                scores[i], scores[j] = scores[j], scores[i]
                i, j = i + 1, j - 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    return scores[k - 1]


@njit(cache=True)
def _set_bar(bar, found, r):
    found.bar[r] = bar
    if bar > 0:  # otherwise everything passes the marks, and the floats decide
        bits = np.int64(np.float32(bar).view(np.int32))
        found.mark[r] = (bits + (1 << found.shift) - 1) >> found.shift


@njit(cache=True)
def _allowed(kth, found, r):
    """Return the smallest score whose product can be as large as one whose score is kth."""
    lowest = kth - found.stored * abs(kth) - 2 * found.error[r]
    # a score s below this has s + stored * |s| < lowest
    return np.float32(lowest / (1 + math.copysign(found.stored, lowest)) - _TINY)


def _finish(lists: list[Shortlist], order: np.ndarray | None) -> None:
    """Remove what cannot be among the best, and replace columns by the rows they stand for."""
    names = np.empty(0, np.int32) if order is None else order
    for found in lists:
        spread(_trim, found, names)


@njit(nogil=True, cache=True)
def _trim(t, threads, found, names):
    for r in range(t, len(found.bar), threads):
        if found.bar[r] < np.inf and found.size[r] > found.k:
            _tighten(found, r)
        if len(names):
            for place in range(found.size[r]):
                found.listed[r, place] = names[found.listed[r, place]]
