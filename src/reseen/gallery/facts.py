"""The data of the crops of a gallery as arrays, and which of them cannot be one person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reseen.gallery.records import Crop

TOLERANCE = 0.0
"""Seconds between two crops up to which they are of the same time."""
OVERLAP = 0.3
"""Overlap of two boxes (intersection over union) from which they may be one person whom the
detector found twice."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """The data of N crops.

    Args:
        names: of P people.
        people: (N,) int64 position in `names`, -1 without a name.
        cameras: (N,) int64, -1 if unknown.
        times: (N,) float64 in seconds, NaN if unknown.
        frames: (N,) int64, equal for crops of one frame of one source, -1 if unknown.
        boxes: (N, 4) float64, left, top, right, bottom, NaN if unknown.
        tracklets: (N,) int64, -1 if unknown.
        ignored: (N,) bool.
        denied: (R, 2) int64, the position of a crop and the person whom it does not show.
    """

    names: tuple[str, ...]
    people: np.ndarray
    cameras: np.ndarray
    times: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    tracklets: np.ndarray
    ignored: np.ndarray
    denied: np.ndarray

    def take(self, rows: np.ndarray) -> "Facts":
        """Return the data of some of the crops, at `rows` (M,), each once."""
        place = np.full(len(self.people), -1)
        place[rows] = np.arange(len(rows))
        denied = np.column_stack([place[self.denied[:, 0]], self.denied[:, 1]])
        columns = ("people", "cameras", "times", "frames", "boxes", "tracklets", "ignored")
        taken = {name: getattr(self, name)[rows] for name in columns}
        return replace(self, denied=denied[denied[:, 0] >= 0], **taken)


def facts_of(crops: Sequence[Crop], denials: Iterable[tuple[str, str]] = ()) -> Facts:
    """Convert records to arrays.

    Args:
        crops: N records.
        denials: pairs of the id of a crop and the name of a person whom it does not show; other
            crops, and names that none of the crops has, are ignored.
    """
    none = (np.nan,) * 4
    names = tuple(sorted({crop.person for crop in crops if crop.person}))
    number = {name: i for i, name in enumerate(names)}
    place = {crop.id: i for i, crop in enumerate(crops)}
    denied = [(place[id], number[name]) for id, name in denials if id in place and name in number]
    return Facts(
        names=names,
        people=np.array([number.get(crop.person or "", -1) for crop in crops], np.int64),
        cameras=_numbered([crop.camera for crop in crops]),
        times=np.array([np.nan if c.time is None else c.time for c in crops], np.float64),
        frames=_numbered([(c.source, c.frame) if c.frame is not None else None for c in crops]),
        boxes=np.array([crop.box or none for crop in crops], np.float64).reshape(-1, 4),
        tracklets=_numbered([(c.camera, c.tracklet) if c.tracklet else None for c in crops]),
        ignored=np.array([crop.ignored for crop in crops], bool),
        denied=np.array(sorted(denied), np.int64).reshape(-1, 2),
    )


def _numbered(keys: Sequence[object]) -> np.ndarray:
    """Number keys in the order in which they first appear, -1 for None."""
    seen: dict[object, int] = {}
    found = [-1 if key is None else seen.setdefault(key, len(seen)) for key in keys]
    return np.array(found, np.int64)


def cannot_be_one(
    facts: Facts, *, tolerance: float = TOLERANCE, overlapping: bool = False
) -> np.ndarray:
    """Find pairs of crops that cannot show one person, whatever they look like.

    These are two boxes in one frame, unless they overlap so much (OVERLAP) that the detector may
    have found one person twice; crops from two cameras at the same time; and a crop and those of a
    person whom, as was recorded, it does not show.

    Args:
        facts: of N crops.
        tolerance: seconds between crops up to which they are of the same time.
        overlapping: whether cameras see the same places, so that two can see one person at once.

    Returns:
        (P, 2) int64 positions, the smaller first, ascending, each pair once.

    Memory: O(P).
    """
    frames = _runs(facts.frames, facts.frames >= 0)
    frames = frames[_overlaps(facts.boxes, frames) <= OVERLAP]
    found = [frames]
    if not overlapping:
        known = (facts.cameras >= 0) & ~np.isnan(facts.times)
        times = _runs(facts.times, known, tolerance)
        found.append(times[facts.cameras[times[:, 0]] != facts.cameras[times[:, 1]]])
    for row, person in facts.denied:
        others = np.flatnonzero(facts.people == person)
        found.append(np.column_stack([np.full(len(others), row), others]))
    every = np.sort(np.concatenate(found), axis=1)
    return np.unique(every[every[:, 0] < every[:, 1]], axis=0)


def _runs(values: np.ndarray, known: np.ndarray, apart: float = 0.0) -> np.ndarray:
    """Return the pairs (P, 2) of known values (N,) that differ by at most `apart`."""
    order = np.flatnonzero(known)
    order = order[np.argsort(values[order], kind="stable")]
    ends = np.searchsorted(values[order], values[order] + apart, "right")
    counts = ends - np.arange(len(order)) - 1
    i = np.repeat(np.arange(len(order)), counts)
    j = i + 1 + np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.column_stack([order[i], order[j]])


def _overlaps(boxes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the intersection over union of pairs of boxes (P,), 0 if a box is unknown."""
    a, b = boxes[pairs[:, 0]], boxes[pairs[:, 1]]
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = sides.clip(0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (a, b)]
    return np.nan_to_num(both / np.maximum(areas[0] + areas[1] - both, 1e-9))
