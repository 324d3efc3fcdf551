"""Shortlists: for each row, every column that can be among its k best, by quick scores.

A quick product (float32, or bfloat16 of which processors and GPUs do several times as many a
second) gives scores. Each lies within a proven bound of the true product, so a column is left out
only when its score says that it cannot be among the k best.

The bound: with x' and y' the rounded rows, |x.y - x'.y'| <= |x| |y - y'| + |x - x'| |y'| by Cauchy
and Schwarz, with norms as measured; summing D numbers in float32 in any order adds at most
D 2^-23 |x'| |y'| (twice what Higham, Accuracy and Stability of Numerical Algorithms, 2002,
Section 3.1 proves for rounding to nearest); a sum stored in bfloat16 moves by 2^-8 of itself.

Features of one encoder have much in common: their mean m, of which every product has about |m|^2.
What is stored of a sum in bfloat16 would be that, so it is taken out first: with x = m + x',
x.y = |m|^2 + m.x' + m.y' + x'.y', and a score is this without |m|^2, which changes no order.
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
"""Rows and columns of a tile of scores, at most."""
_ROUNDED = 256
_ADDED = 4
"""Columns beside rounded rows: what is added for the row, in two parts, and a 1 for each."""
_QUICK, _QUICKER_THAN_TORCH = 1e9, 2e10
"""Products below which bfloat16 saves nothing, and below which it saves less time than torch takes
to be imported."""
_STORED_BFLOAT16 = 2.0**-8
_TINY = 1e-6  # numbers flushed to zero, and the arithmetic of the bound itself


class Blocks(NamedTuple):
    """Rows in another order, cut into blocks, of which not all are compared with each other."""

    order: np.ndarray
    """(N,) int32, the row at each place."""
    cuts: np.ndarray
    """(B + 1,) int, where each block begins, and N; at most SIDE apart."""
    near: np.ndarray
    """(L, B, B) bool, symmetric: which blocks each list compares."""


class Shortlist(NamedTuple):
    """For each of N rows, up to C columns that can be among its k best."""

    listed: np.ndarray
    """(N, C) int32, columns in any order; the first `size` count."""
    score: np.ndarray
    """(N, C) float32, their scores: products times `sign`."""
    size: np.ndarray
    """(N,) int32, columns listed."""
    bar: np.ndarray
    """(N,) float32: what scores less cannot be among the k best; inf where C places were too few
    and the row has no list."""
    error: np.ndarray
    """(N,) float64, how far a sum can be from the true product, before it is stored."""
    mark: np.ndarray
    """(N,) bits of the least score at the bar, in whole numbers as wide as the scores."""
    flip: np.ndarray
    """(1,) what turns the bits of a product into those of a score: the sign bit or nothing."""
    shift: int
    """Bits of a float32 that are not in a score."""
    stored: float
    """How much of itself a sum can move when it is stored."""
    k: int
    """Columns wanted."""
    sign: int
    """1 to look for the largest products, -1 for the smallest."""


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
        others: (M, D) float32; the rows themselves if it is the same object, and then each
            product is computed once for both its rows.
        wanted: pairs of k and sign, one a list; k at most M.
        precision: float32, bfloat16 or auto, the quicker here.
        devices: cpu alone, or devices of torch, among which the rows are shared.
        block_bytes: memory for one block of scores, in bytes.
        blocks: of the rows, compared with themselves: which are compared. The lists then stand in
            the order of the blocks.

    Returns:
        A `Shortlist` for each pair.

    Memory: O(N k + block_bytes), and 2 (N + M) D bytes for rounded rows if in bfloat16.
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
    """Give the devices on which quick products are computed: all GPUs that torch sees, else cpu.

    Set CUDA_VISIBLE_DEVICES to choose among them.

    Args:
        work: multiplications that are to be done; few are not worth a GPU, nor loading torch.
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
    """Walk through pairs of blocks; of mirrored ones the diagonal, then one half."""
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
    """Give rounded rows as columns: what is added for one side of a pair stands with the other."""
    import torch

    return torch.cat([rows[:, :-_ADDED], rows[:, -2:], rows[:, -_ADDED:-2]], dim=1)


def _rounded(rows: np.ndarray, mean: np.ndarray | None, beside: np.ndarray, order, device: str):
    """Round rows to bfloat16, less their mean, with what is added for it beside them.

    Args:
        rows: (N, D) float32.
        mean: (D,) to subtract, or None.
        beside: (D,) whose product with what is left of a row is added to its scores.
        order: (N,) the row at each place of the result; None for all as they stand.
        device: of torch, where they go.

    Returns:
        (N, D + _ADDED) the rounded rows; and of each row the length, that of what is rounded, of
        what is lost, what is lost of the sum, and the length with all that is added.
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
    """Lengths of rows, at most what summing in float32 can lose too long."""
    return (1 + rows.shape[1] * 2.0**-23) * np.sqrt(np.einsum("nd,nd->n", rows, rows))


def _fast_bfloat16() -> bool:
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))


def _on_devices(rows, others, wanted, devices, block_bytes, blocks) -> list[Shortlist]:
    """Do as `shortlists` on GPUs, each with its share: whole rows, the best by torch's topk."""
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
    last = [found.score[:, :-1].min(1) for found in lists]  # -inf where fewer were compared
    _finish(lists, order)
    for found, least in zip(lists, last, strict=True):
        if found.listed.shape[1] <= len(others):  # what was left out may be as good as the last
            short = (least >= found.bar) & np.isfinite(least)
            found.bar[short], found.size[short] = np.inf, 0
    return lists


def _list_share(lists, cuts, blocks, block_bytes, score, share) -> None:
    """List for every n-th part of the rows, on the device of the scores."""
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


# Positive floats are ordered as their bits are, so whole numbers are compared, twice as many at a
# time in bfloat16. What is found so is compared again as floats, which settles negative ones too.
# No function that takes a record is called for each score: handing it over would cost the most.
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
    """Find the scores that are at their marks: all are compared at once, then eight looked at."""
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
    """The float32 whose upper bits these are."""
    return np.int32(np.int32(bits) << np.int32(shift)).view(np.float32)


@njit(cache=True)
def _start_bar(row, found, r):
    """Start from the k-th best of the maxima of 4 k groups: no more than the k-th best of all."""
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
    """Raise the bar to what the k-th best score allows, and drop what lies below."""
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


# numpy's partition does the same, and takes 5 seconds to compile.
@njit(cache=True)
def _kth_best(scores, k):
    """Give the k-th largest score by Hoare's selection; the scores change their places."""
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
    if bar > 0:  # else all marks are passed, and the floats decide
        bits = np.int64(np.float32(bar).view(np.int32))
        found.mark[r] = (bits + (1 << found.shift) - 1) >> found.shift


@njit(cache=True)
def _allowed(kth, found, r):
    """The least score whose product can be as large as one whose score is kth."""
    lowest = kth - found.stored * abs(kth) - 2 * found.error[r]
    # a score s below this has s + stored * |s| < lowest
    return np.float32(lowest / (1 + math.copysign(found.stored, lowest)) - _TINY)


def _finish(lists: list[Shortlist], order: np.ndarray | None) -> None:
    """Drop what cannot be among the best, and name columns by their rows."""
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
