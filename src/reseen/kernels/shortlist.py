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
from itertools import chain, combinations, compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reseen.kernels.compile import njit
from reseen.kernels.threads import spread

_SPARE = 64
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
    """(N,) the least score at the bar, as a whole number; see `_whole`."""
    turn: np.ndarray
    """(2,) which bits of a negative product, and of all, are turned for that."""
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
    tiles = _block_tiles(blocks) if blocks else _tiles(len(rows), len(others), side, mirrored)
    for start, stop, column, last, *near in tiles:
        tile = score(slice(start, stop), slice(column, last))
        beyond = max(column, stop) if mirrored else last
        for found in compress(lists, *near) if near else lists:
            spread(_scan_rows, tile, start, column, found)
            if beyond < last:
                spread(_scan_columns, tile, start, column, beyond, found)
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


def _tiles(rows: int, columns: int, side: int, mirrored: bool) -> Iterator[tuple]:
    """Give the first and last row and column of tiles of side^2; of mirrored ones each pair once.

    Of those, tiles on the diagonal come first, so that each row has a bar before it is a column.
    They hold some pairs twice: the fewer rows, the fewer. The more columns, the better the bar.
    """
    high = max(1, side // 4)
    wide = side * side // high
    starts = range(0, rows, high)
    for start in reversed(starts) if mirrored else ():
        yield start, min(start + high, rows), start, min(start + wide, columns)
    for start in starts:
        for column in range(start + wide if mirrored else 0, columns, wide):
            yield start, min(start + high, rows), column, min(column + wide, columns)


def _block_tiles(blocks: Blocks) -> Iterator[tuple]:
    """Do as `_tiles` for blocks, and give the lists that compare these."""
    count = len(blocks.cuts) - 1
    pairs = chain(((a, a) for a in range(count)), combinations(range(count), 2))
    for a, b in pairs:
        if blocks.near[:, a, b].any():
            yield *blocks.cuts[[a, a + 1, b, b + 1]], blocks.near[:, a, b]


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
        self.part = slice(0)

    def __call__(self, part: slice, columns: slice) -> np.ndarray:
        import torch

        if part != self.part:
            self.part, self.turned = part, turned(self.rows[part])
        a, b = self.turned, self.others[columns]
        tile = self.buffer[: len(a) * len(b)].view(len(a), len(b))
        return torch.mm(a, b.T, out=tile).view(torch.int16).numpy()


def turned(rows: Any) -> Any:
    """Give rounded rows as columns: what is added for one side of a pair stands with the other."""
    columns = rows.clone()
    columns[:, -_ADDED:] = rows[:, -_ADDED:].roll(2, 1)
    return columns


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
    last = [found.score.min(1) for found in lists]  # -inf where fewer were compared
    _finish(lists, order)
    for found, least in zip(lists, last, strict=True):
        if found.listed.shape[1] < len(others):  # what was left out may be as good as the last
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
            signed, places = block * found.sign, found.listed.shape[1]
            if blocks is not None:
                left_out = torch.from_numpy(np.repeat(~blocks.near[n, a], np.diff(cuts)))
                signed.masked_fill_(left_out.to(device), -math.inf)
            best = torch.topk(signed, places, dim=1)
            found.listed[part] = best.indices.int().cpu().numpy()
            found.score[part] = best.values.cpu().numpy()
            found.size[part] = (best.values > -math.inf).sum(1).cpu().numpy()


def _empty(k: int, sign: int, score: _Float32 | _Bfloat16, n: int, m: int) -> Shortlist:
    places = min(4 * k + _SPARE, m)
    pairs = np.empty((n, places, 2), np.int32)  # of index and score, which are written together
    return Shortlist(
        pairs[:, :, 0],
        pairs.view(np.float32)[:, :, 1],
        np.zeros(n, np.int32),
        np.full(n, -np.inf, np.float32),
        score.error,
        np.full(n, np.iinfo(score.bits).min, score.bits),
        np.array([np.iinfo(score.bits).max, -1 if sign < 0 else 0], score.bits),
        32 - np.iinfo(score.bits).bits,
        score.stored,
        k,
        sign,
    )


# Scores are compared as whole numbers: in bfloat16 that is twice as many at a time. No function
# that takes a record is called for each score: handing it over would cost the most.
@njit(nogil=True, cache=True)
def _scan_rows(t, threads, tile, start, column, found):
    listed, score, size = found.listed, found.score, found.size
    (some, every), shift = found.turn, found.shift
    marks = np.empty(tile.shape[1], found.mark.dtype)
    seen, near, places = _space(tile.shape[1])
    for i in range(t, len(tile), threads):
        row, r = tile[i], start + i
        if found.bar[r] == -np.inf:
            _start_bar(row, found, r)
        marks[:] = found.mark[r]
        for a in range(_above(row, marks, some, every, seen, near, places)):
            if size[r] == listed.shape[1]:
                _make_room(found, r)
            j, place = places[a], size[r]
            listed[r, place] = column + j
            score[r, place] = _float(_whole(row[j], some, every), some, shift)
            size[r] = place + 1


@njit(nogil=True, cache=True)
def _scan_columns(t, threads, tile, start, column, beyond, found):
    listed, score, size = found.listed, found.score, found.size
    (some, every), shift = found.turn, found.shift
    stripe = -(-(column + tile.shape[1] - beyond) // threads)
    seen, near, places = _space(stripe)
    first = beyond - column + t * stripe
    marks = found.mark[column + first : column + min(first + stripe, tile.shape[1])]
    for i in range(len(tile)):
        row = tile[i, first : first + stripe]
        for a in range(_above(row, marks, some, every, seen, near, places)):
            r = column + first + places[a]
            if size[r] == listed.shape[1]:
                _make_room(found, r)
            place = size[r]
            listed[r, place] = start + i
            score[r, place] = _float(_whole(row[places[a]], some, every), some, shift)
            size[r] = place + 1


@njit(cache=True)
def _space(n):
    words = n // 8 + 1
    return np.zeros(8 * words, np.bool_), np.empty(words, np.int64), np.empty(n + 8, np.int64)


@njit(cache=True)
def _above(row, marks, some, every, seen, near, places):
    """Find the scores that are at their marks, without a branch that the processor must guess."""
    for j in range(len(row)):
        seen[j] = _whole(row[j], some, every) >= marks[j]
    seen[len(row) : (len(row) + 7) // 8 * 8] = False
    words, held, count = seen.view(np.uint64), 0, 0
    for word in range((len(row) + 7) // 8):
        near[held] = word
        held += words[word] != 0
    for a in range(held):
        bits = words[near[a]]
        for j in range(8):
            places[count] = 8 * near[a] + j
            count += bits >> np.uint64(8 * j) & np.uint64(1)
    return count


@njit(cache=True)
def _whole(bits, some, every):
    """Give a whole number for the bits of a product, ordered as the scores are."""
    return (bits if bits >= 0 else bits ^ some) ^ every


@njit(cache=True)
def _float(whole, some, shift):
    """Give the score as float32, of which `_whole` has the upper bits."""
    return np.int32((whole if whole >= 0 else whole ^ some) << shift).view(np.float32)


@njit(cache=True)
def _start_bar(row, found, r):
    """Start from the k-th best of the maxima of 4 k groups: no more than the k-th best of all."""
    groups, (some, every) = 4 * found.k, found.turn
    if 2 * groups > len(row):
        return
    best = np.full(groups, found.mark[r])
    for first in range(0, len(row) - groups + 1, groups):
        part = row[first : first + groups]
        for g in range(groups):
            whole = _whole(part[g], some, every)
            best[g] = whole if whole > best[g] else best[g]
    scores = np.empty(groups, np.float32)
    for g in range(groups):
        scores[g] = _float(best[g], some, found.shift)
    _set_bar(_allowed(_kth_best(scores, found.k), found, r), found, r)


@njit(cache=True)
def _make_room(found, r):
    if found.bar[r] < np.inf:
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
        found.listed[r, kept], scores[kept] = found.listed[r, place], scores[place]
        kept += scores[kept] >= bar
    found.size[r] = kept
    _set_bar(bar, found, r)


@njit(cache=True)
def _kth_best(scores, k):
    """Give the k-th largest score, or a little less: halve where it can be, twelve times."""
    low = high = scores[0]
    for place in range(len(scores)):
        low, high = min(low, scores[place]), max(high, scores[place])
    for _ in range(12):
        middle, count = np.float32(0.5) * (low + high), 0
        for place in range(len(scores)):
            count += scores[place] >= middle
        if count >= k:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True)
def _set_bar(bar, found, r):
    found.bar[r] = bar
    whole = _whole(np.int64(np.float32(bar).view(np.int32)), 0x7FFFFFFF, 0)
    up = (1 << found.shift) - 1 if whole > 0 else -1  # -1: 0.0 and -0.0 are equal
    found.mark[r] = (whole + up) >> found.shift


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
        if found.bar[r] == np.inf:
            found.size[r] = 0
        elif found.size[r] > found.k:
            _tighten(found, r)
        if len(names):
            for place in range(found.size[r]):
                found.listed[r, place] = names[found.listed[r, place]]
