"""Metrics of tracking in videos, given the true identities."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

Seen = tuple[np.ndarray, np.ndarray]
"""One frame: the people (n,) int64, and their boxes (n, 4): left, top, right, bottom."""

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""IoU thresholds over which HOTA is averaged."""


@dataclass(frozen=True, slots=True)
class TrackScores:
    """Agreement of tracks with the truth; each is 0 to 1 unless stated otherwise."""

    mota: float
    """1 - (missed + false + switches) / true boxes; below 0 if errors outnumber boxes."""
    idf1: float
    """Share of boxes with the right identity, if each track has only one."""
    hota: float
    """Geometric mean of detection accuracy and association accuracy."""
    purity: float
    """Share of the matched boxes of tracks that belong to the main person of their track."""
    completeness: float
    """Share of the matched boxes of people that are in their main track."""
    switches: int
    """Number of times that a person's track changed."""
    missed: int
    """Number of true boxes without a track."""
    false: int
    """Number of boxes of tracks without a true box."""

    def __str__(self) -> str:
        named = ("MOTA", self.mota), ("IDF1", self.idf1), ("HOTA", self.hota)
        named += ("purity", self.purity), ("completeness", self.completeness)
        return ", ".join(f"{name} {value:.1%}" for name, value in named)


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of boxes.

    Args:
        one: (n, 4) left, top, right, bottom.
        other: (m, 4).

    Returns:
        (n, m), 0 to 1.
    """
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:4], other[None, :, 2:4])
    shared = np.prod((high - low).clip(0), axis=-1)
    areas = [np.prod((boxes[:, 2:4] - boxes[:, :2]).clip(0), axis=-1) for boxes in (one, other)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12)


def judge_tracks(truth: Sequence[Seen], found: Sequence[Seen], overlap: float = 0.5) -> TrackScores:
    """Compare tracks with the truth.

    Args:
        truth: T frames.
        found: the same T frames, from a tracker.
        overlap: IoU from which two boxes can match (for all metrics except HOTA).

    Returns:
        MOTA (Bernardin and Stiefelhagen, 2008: a pair of the previous frame is kept while it
        overlaps), IDF1 (Ristani et al., ECCV Workshops 2016), HOTA (Luiten et al., IJCV 2021: the
        mean over IoU thresholds of sqrt(sum of A(c) over matched pairs c / (matched + missed +
        false)), A(c) = TPA / (TPA + FNA + FPA)), and purity and completeness of the tracks with the
        pairs of MOTA.
    """
    people, tracks = _numbered(truth), _numbered(found)
    shares = [iou(t[1], f[1]) for t, f in zip(truth, found, strict=True)]
    frames = list(zip(people, tracks, shares, strict=True))
    boxes = sum(len(p) for p in people)
    given = sum(len(t) for t in tracks)
    pairs, switches = _clear(frames, overlap)
    right = sum(pairs.values())
    missed, false = boxes - right, given - right
    by_track, by_person = _most(pairs, 1), _most(pairs, 0)
    return TrackScores(
        mota=1 - (missed + false + switches) / max(boxes, 1),
        idf1=2 * _identified(frames, overlap) / max(boxes + given, 1),
        hota=_hota(frames),
        purity=by_track / max(right, 1),
        completeness=by_person / max(boxes, 1),
        switches=switches,
        missed=missed,
        false=false,
    )


def _numbered(seen: Sequence[Seen]) -> list[np.ndarray]:
    """Return the people in each frame, numbered from 0."""
    names = np.concatenate([np.asarray(ids, np.int64) for ids, _ in seen]) if seen else np.array([])
    numbers = np.unique(names, return_inverse=True)[1]
    return np.split(numbers, np.cumsum([len(ids) for ids, _ in seen])[:-1]) if seen else []


def _match(worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of the assignment with the largest total worth, without worth <= 0."""
    rows, columns = linear_sum_assignment(-worth)
    good = worth[rows, columns] > 0
    return rows[good], columns[good]


def _clear(frames: Sequence[tuple], overlap: float) -> tuple[Counter, int]:
    """Match boxes frame by frame: count the pairs of person and track, and changes of track."""
    pairs: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = 0
    for people, tracks, share in frames:
        stays = np.array([[last.get(p) == t for t in tracks] for p in people]).reshape(share.shape)
        rows, columns = _match(np.where(share >= overlap, share + 1000 * stays, 0))
        for person, track in zip(people[rows].tolist(), tracks[columns].tolist(), strict=True):
            switches += last.get(person, track) != track
            last[person] = track
            pairs[person, track] += 1
    return pairs, switches


def _most(pairs: Counter, place: int) -> int:
    """Sum over people (0) or tracks (1) the number of pairs with their most frequent partner."""
    best: dict[int, int] = defaultdict(int)
    for pair, count in pairs.items():
        best[pair[place]] = max(best[pair[place]], count)
    return sum(best.values())


def _met(frames: Sequence[tuple], worth) -> np.ndarray:
    """Sum over frames, for each person and track, the `worth` of their overlap."""
    sizes = [1 + max((int(f[i].max(initial=-1)) for f in frames), default=-1) for i in (0, 1)]
    met = np.zeros(sizes)
    for people, tracks, share in frames:
        met[np.ix_(people, tracks)] += worth(share)
    return met


def _identified(frames: Sequence[tuple], overlap: float) -> float:
    """Count the boxes with the right identity if each person has at most one track (IDTP)."""
    met = _met(frames, lambda share: share >= overlap)
    rows, columns = _match(met)
    return float(met[rows, columns].sum())


def _hota(frames: Sequence[tuple]) -> float:
    """Compute HOTA: sqrt(detection accuracy x association accuracy), averaged over thresholds.

    Boxes are matched once for all thresholds, by how well their person and track fit overall, as
    in TrackEval, the reference implementation.
    """
    met = _met(frames, _likely)
    counts = [
        np.bincount(np.concatenate([f[i] for f in frames]), minlength=met.shape[i]) for i in (0, 1)
    ]
    union, (boxes, given) = counts[0][:, None] + counts[1][None], map(np.sum, counts)
    alignment = met / np.maximum(union - met, 1e-12)
    pairs = np.zeros((len(ALPHAS), *met.shape))
    for people, tracks, share in frames:
        rows, columns = _match(alignment[np.ix_(people, tracks)] * share)
        right = share[rows, columns] >= ALPHAS[:, None] - 1e-9
        pairs[:, people[rows], tracks[columns]] += right
    right = pairs.sum((1, 2))
    joined = (pairs**2 / np.maximum(union - pairs, 1)).sum((1, 2))
    return float(np.mean(np.sqrt(joined / np.maximum(boxes + given - right, 1))))


def _likely(share: np.ndarray) -> np.ndarray:
    """Return how likely boxes belong together, given what else overlaps each of them."""
    others = share.sum(0, keepdims=True) + share.sum(1, keepdims=True) - share
    return share / np.maximum(others, 1e-12)
