"""Shortlists: for each row, every column that can be among its k best, by quick scores.

A quick product (float32, or bfloat16 of which processors and GPUs do several times as many a
second) gives scores. Each lies within a proven bound of the true product, so a column is left out
only when its score says that it cannot be among the k best.

The bound: with x' and y' the rounded rows, |x.y - x'.y'| <= |x| |y - y'| + |x - x'| |y'| by Cauchy
and Schwarz, with norms as measured; summing D numbers in float32 in any order adds at most
D 2^-23 |x'| |y'| (twice what Higham, Accuracy and Stability of Numerical Algorithms, 2002,
Section 3.1 proves for rounding to nearest); a sum stored in bfloat16 moves by 2^-8 of itself.
"""

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from reseen.kernels.compile import njit
from reseen.kernels.threads import spread

_SPARE = 64
_STRIPE = 512
SIDE = 2048
"""Rows and columns of a tile of scores, at most."""
_ROUNDED = 128
_QUICK, _QUICKER_THAN_TORCH = 1e9, 2e10
"""Products below which bfloat16 saves nothing, and below which it saves less time than torch takes
to be imported."""
_STORED_BFLOAT16 = 2.0**-8
_TINY = 1e-6  # numbers flushed to zero, and the arithmetic of the bound itself


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
    device: str,
    block_bytes: int,
    near: np.ndarray | None = None,
) -> list[Shortlist]:
    """List for each row the columns that can have the k largest (or smallest) products.

    Args:
        rows: (N, D) float32.
        others: (M, D) float32; the rows themselves if it is the same object, and then each
            product is computed once for both its rows.
        wanted: pairs of k and sign, one a list; k at most M.
        precision: float32, bfloat16 or auto, the quicker here.
        device: cpu, or a device of torch.
        block_bytes: memory for one block of scores, in bytes.
        near: on a CPU, says of each pair of tiles whether it is compared; the diagonal always is.

    Returns:
        A `Shortlist` for each pair.

    Memory: O(N k + block_bytes), and 2 (N + M) D bytes for rounded rows if in bfloat16.
    """
    if device != "cpu":
        return _on_device(rows, others, wanted, device, block_bytes)
    if precision == "auto":
        quick = _QUICK if "torch" in sys.modules else _QUICKER_THAN_TORCH
        small = len(rows) * len(others) * rows.shape[1] < quick
        precision = "bfloat16" if not small and _fast_bfloat16() else "float32"
    side = max(1, min(SIDE, math.isqrt(block_bytes // 4)))
    score = (_Bfloat16 if precision == "bfloat16" else _Float32)(rows, others, side)
    lists = [_empty(k, sign, score, len(rows), len(others)) for k, sign in wanted]
    for start, column in _tiles(len(rows), len(others), side, others is rows):
        if near is not None and start != column and not near[start // side, column // side]:
            continue
        tile = score(slice(start, start + side), slice(column, column + side))
        for found in lists:
            spread(_scan_rows, tile, start, column, found)
            if others is rows and column > start:
                spread(_scan_columns, tile, start, column, found)
    for found in lists:
        spread(_trim, found)
    return lists


def _tiles(n: int, m: int, side: int, mirrored: bool) -> Iterator[tuple[int, int]]:
    """Walk through the corners of the tiles; of mirrored ones the diagonal, then one half."""
    if mirrored:
        yield from ((start, start) for start in range(0, n, side))
    for start in range(0, n, side):
        for column in range(start + side if mirrored else 0, m, side):
            yield start, column


class _Float32:
    """Scores in float32."""

    stored, bits = 0.0, np.int32

    def __init__(self, rows: np.ndarray, others: np.ndarray, side: int):
        self.rows, self.others = rows, others
        self.buffer = np.empty(side * side, np.float32)
        length = _lengths(rows)
        longest = length.max() if others is rows else _lengths(others).max()
        self.error = rows.shape[1] * 2.0**-23 * length * longest + _TINY

    def __call__(self, part: slice, columns: slice) -> np.ndarray:
        a, b = self.rows[part], self.others[columns]
        tile = self.buffer[: len(a) * len(b)].reshape(len(a), len(b))
        return np.matmul(a, b.T, out=tile).view(np.int32)


class _Bfloat16:
    """Scores in bfloat16, summed in float32."""

    stored, bits = _STORED_BFLOAT16, np.int16

    def __init__(self, rows: np.ndarray, others: np.ndarray, side: int, device: str = "cpu"):
        import torch

        self.rows, length, rounded, off = _rounded(rows, device)
        if others is rows:
            self.others, longest, farthest = self.rows, rounded.max(), off.max()
        else:
            self.others, _, rounded_others, off_others = _rounded(others, device)
            longest, farthest = rounded_others.max(), off_others.max()
        summing = rows.shape[1] * 2.0**-23 * rounded * longest
        self.error = length * farthest + off * longest + summing + _TINY
        self.buffer = torch.empty(side * side, dtype=torch.bfloat16)

    def __call__(self, part: slice, columns: slice) -> np.ndarray:
        import torch

        a, b = self.rows[part], self.others[columns]
        tile = self.buffer[: len(a) * len(b)].view(len(a), len(b))
        return torch.mm(a, b.T, out=tile).view(torch.int16).numpy()


def _rounded(rows: np.ndarray, device: str) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Round to bfloat16; give also the lengths of the rows, of the rounded and of what is lost."""
    import torch

    out = torch.empty(rows.shape, dtype=torch.bfloat16, device=device)
    lengths = np.empty((3, len(rows)))
    for start in range(0, len(rows), _ROUNDED):
        part = slice(start, start + _ROUNDED)
        rounded = torch.from_numpy(rows[part]).bfloat16()
        out[part], kept = rounded, rounded.float().numpy()
        for place, vectors in enumerate((rows[part], kept, rows[part] - kept)):
            lengths[place, part] = _lengths(vectors)
    return out, lengths[0], lengths[1], lengths[2]


def _lengths(rows: np.ndarray) -> np.ndarray:
    """Lengths of rows, at most what summing in float32 can lose too long."""
    return (1 + rows.shape[1] * 2.0**-23) * np.sqrt(np.einsum("nd,nd->n", rows, rows))


def _fast_bfloat16() -> bool:
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))


def _on_device(rows, others, wanted, device, block_bytes) -> list[Shortlist]:
    """Do as `shortlists` on a GPU: whole rows at a time, the best by torch's topk."""
    import torch

    score = _Bfloat16(rows, others, 0, device)
    if score.rows.is_cuda:
        score.stored = 0.0
    lists = [_empty(k, sign, score, len(rows), len(others)) for k, sign in wanted]
    step = max(1, block_bytes // (8 * len(others)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        if score.rows.is_cuda:
            block = torch.mm(score.rows[part], score.others.T, out_dtype=torch.float32)
        else:
            block = (score.rows[part] @ score.others.T).float()
        for found in lists:
            places = found.listed.shape[1] - 1
            best = torch.topk(block * found.sign, places, dim=1)
            found.listed[part, :places] = best.indices.int().cpu().numpy()
            found.score[part, :places] = best.values.cpu().numpy()
    for found in lists:
        places = found.listed.shape[1] - 1
        last = found.score[:, :places].min(1)
        found.size[:] = places
        spread(_trim, found)
        if places < len(others):  # what was left out may be as good as the last
            short = last >= found.bar
            found.bar[short], found.size[short] = np.inf, 0
    return lists


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


@njit(nogil=True, cache=True)
def _trim(t, threads, found):
    for r in range(t, len(found.bar), threads):
        if found.bar[r] < np.inf:
            _tighten(found, r)
