"""Trackers, which join the boxes of consecutive frames to tracks."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from reseen.errors import SettingsError
from reseen.metrics.tracking import iou


class Tracker(Protocol):
    """Anything that joins boxes to tracks; one tracker for each camera."""

    def update(
        self, boxes: np.ndarray, time: float, features: np.ndarray | None = None
    ) -> np.ndarray:
        """Process the next frame.

        Args:
            boxes: (n, 5) left, top, right, bottom in pixels, and a score; n may be 0.
            time: seconds, larger in each call.
            features: (n, D) unit rows, the features of the boxes, if an encoder is given.

        Returns:
            (n,) int64, the track of each box, -1 if it belongs to none. A number that has not
            occurred for a while may be reused, and then begins a new tracklet.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TrackSettings:
    """How detected boxes are joined into tracks."""

    min_score: float = 0.5
    """Minimum detection score of a box that begins a track."""
    weak_score: float = 0.25
    """Minimum detection score of a box that continues a track; partly hidden people have low
    scores."""
    patience: float = 2.0
    """Seconds for which a track is kept while the person is hidden."""
    min_overlap: float = 0.2
    """Minimum IoU of the predicted and the detected box to be taken for the same person."""
    min_likeness: float = 0.6
    """Minimum cosine similarity of features to recognise a person again after they were hidden."""

    def __post_init__(self):
        if not 0 <= self.weak_score <= self.min_score <= 1 or self.patience <= 0:
            raise SettingsError(
                f"weak_score is {self.weak_score}, min_score {self.min_score} and patience "
                f"{self.patience}. Use 0 <= weak_score <= min_score <= 1 and patience above 0."
            )


_TRUST = np.array((0.6, 0.6, 0.3, 0.3))
"""How strongly a detected box corrects the predicted centre, width and height: swinging legs change
the width, and partial occlusion changes the height."""


_FEW = 20
"""Number of boxes from which their mean feature is useful for the camera."""


@dataclass
class _Track:
    """A tracked person: centre, width and height, and their rates of change."""

    number: int
    state: np.ndarray
    time: float
    speed: np.ndarray = field(default_factory=lambda: np.zeros(4))
    count: int = 1
    look: np.ndarray | None = None

    def at(self, time: float) -> np.ndarray:
        """Predict the centre, width and height."""
        return self.state + self.speed * (time - self.time)

    def take(self, found: np.ndarray, time: float, look: np.ndarray | None) -> None:
        """Update with a detected box (alpha-beta filter, with a fast start)."""
        gap, expected = time - self.time, self.at(time)
        off = found - expected
        self.state = expected + _TRUST * off
        self.speed += (0.8 if self.count == 1 else 0.25) * off / gap * (1, 1, 0, 0)
        self.time, self.count = time, self.count + 1
        if look is not None:
            mean = look if self.look is None else 0.8 * self.look + 0.2 * look
            self.look = mean / max(float(np.linalg.norm(mean)), 1e-12)


class OverlapTracker:
    """Joins boxes to predicted boxes of tracks by IoU and optimal assignment.

    Boxes with a high score are assigned first, then those with a low score to the remaining tracks
    (as in ByteTrack, Zhang et al., ECCV 2022); boxes are enlarged the longer a track was not seen
    (as in C-BIoU, Yang et al., WACV 2023). If features are given, overlap and similarity are
    combined, and people who were hidden are recognised by similarity within walking distance.

    Args:
        settings: of the tracks.
    """

    def __init__(self, settings: TrackSettings | None = None):
        self.settings = settings or TrackSettings()
        self._tracks: list[_Track] = []
        self._next = 0
        self._mean, self._looked = np.zeros(1), 0

    def update(
        self, boxes: np.ndarray, time: float, features: np.ndarray | None = None
    ) -> np.ndarray:
        """Process the next frame; see `Tracker`."""
        own = self.settings
        if features is not None and len(features):
            self._looked += len(features)
            share = len(features) / min(self._looked, 1000)
            self._mean = self._mean + share * (features.mean(0) - self._mean)
        self._tracks = [t for t in self._tracks if time - t.time <= own.patience]
        found = np.column_stack([(boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2]])
        ids = np.full(len(boxes), -1, np.int64)
        strong = boxes[:, 4] >= own.min_score
        weak = ~strong & (boxes[:, 4] >= own.weak_score)

        def join(tracks: list[_Track], places: np.ndarray, worth: np.ndarray) -> None:
            for row, column in zip(*linear_sum_assignment(-worth), strict=True):
                if worth[row, column] > 0:
                    track, place = tracks[row], places[column]
                    ids[place] = track.number
                    track.take(found[place], time, None if features is None else features[place])

        def left() -> list[_Track]:
            return [t for t in self._tracks if t.number not in ids]

        def free(which: np.ndarray) -> np.ndarray:
            return np.flatnonzero(which & (ids < 0))

        tracks, places = left(), free(strong)
        join(tracks, places, self._worth(tracks, found, places, time, features))
        tracks, places = left(), free(weak)
        join(tracks, places, self._worth(tracks, found, places, time, None, 0.4))
        if features is not None:
            tracks, places = left(), free(strong)
            join(tracks, places, self._likeness(tracks, found[places], features[places], time))
        for place in free(strong):
            look = None if features is None else features[place]
            self._tracks.append(_Track(self._next, found[place].copy(), time, look=look))
            ids[place] = self._next
            self._next += 1
        return ids

    def _worth(
        self,
        tracks: list[_Track],
        found: np.ndarray,
        places: np.ndarray,
        time: float,
        features: np.ndarray | None,
        least: float | None = None,
    ) -> np.ndarray:
        """Return how well tracks fit boxes: overlap, and similarity if known; 0 is not at all."""
        if not tracks or not len(places):
            return np.zeros((len(tracks), len(places)))
        least = self.settings.min_overlap if least is None else least
        worth = np.empty((len(tracks), len(places)))
        for row, track in enumerate(tracks):
            more = 1 + min(0.5 * (time - track.time), 0.5)
            expected = _corners(track.at(time)[None], more)
            worth[row] = iou(expected, _corners(found[places], more))[0]
        fits = worth >= least
        if features is not None:
            worth = worth + self._alike(tracks, features[places]).clip(0)
        return np.where(fits, worth, 0)

    def _likeness(
        self, tracks: list[_Track], found: np.ndarray, features: np.ndarray, time: float
    ) -> np.ndarray:
        """Return the similarity of tracks to boxes that they can have reached; 0 is not at all."""
        if not tracks or not len(found):
            return np.zeros((len(tracks), len(found)))
        state = np.array([t.state for t in tracks])
        gap = np.array([time - t.time for t in tracks])
        way = np.linalg.norm(state[:, None, :2] - found[None, :, :2], axis=-1) / state[:, 3:4]
        alike = self._alike(tracks, features)
        near = way <= 0.5 + 1.5 * gap[:, None]  # in heights, a limit of the walking speed
        return np.where(near & (alike >= self.settings.min_likeness), alike, 0)

    def _alike(self, tracks: list[_Track], features: np.ndarray) -> np.ndarray:
        """Return the cosines between tracks and boxes, after subtracting the mean of the camera.

        The mean has more weight the more boxes it was computed from.
        """
        mean = self._looked / (self._looked + _FEW) * self._mean
        looks = [x - mean for x in (np.array([t.look for t in tracks]), features)]
        one, other = (x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12) for x in looks)
        return one @ other.T


def _corners(state: np.ndarray, larger: float) -> np.ndarray:
    """Convert centres, widths and heights (n, 4) to corners of boxes `larger` times as large."""
    half = larger * state[:, 2:4].clip(1) / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], 1)
