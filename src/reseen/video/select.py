"""Selection of crops of a tracklet, and of tracklets that show a person."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import numpy as np
import PIL.Image

from reseen.data.pictures import blur_top
from reseen.errors import SettingsError

_SMALL = 32, 64
"""Size at which sharpness and differences are measured, so that they are comparable."""

_CUT, _POOR = 0.25, 0.4
"""Quality factor of a box at the border of the frame, and the share of the median quality below
which a frame is dropped at the end: of people who walk in, whole figures are kept, not heads."""


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """Which tracklets, and which of their crops, are kept."""

    min_height: int = 64
    """Minimum height of a box, in pixels."""
    min_area: int = 1500
    """Minimum area of a box, in pixels."""
    shortest: float = 0.6
    """Minimum length of a tracklet, in seconds; shorter ones are dropped."""
    longest: float = 120.0
    """Maximum length of a tracklet, in seconds, after which a new one begins."""
    motion: float = 0.1
    """Minimum movement of a person, as a share of their height. Whatever moves less is taken for an
    object."""
    sure_score: float = 0.9
    """Mean detection score from which a person who does not move is kept nevertheless."""
    keep: int = 16
    """Maximum number of crops kept per tracklet: the sharpest and least occluded ones."""
    alike: float = 0.15
    """Minimum difference between two crops that are both kept, relative to the contrast of the
    crop."""
    pad: float = 0.05
    """Margin added to each side of a box, as a share of its width and height, within the frame."""
    blur_faces: bool = False
    """Blur the upper quarter of every crop, where the face usually is."""

    def __post_init__(self):
        for name in ("shortest", "motion", "alike", "pad", "min_height", "min_area"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}. Give 0 or more.")
        if self.keep < 1 or self.longest <= self.shortest:
            raise SettingsError(
                f"keep is {self.keep}, longest is {self.longest} and shortest {self.shortest}. "
                "Keep 1 frame or more, and let longest be longer than shortest."
            )


class Kept(NamedTuple):
    """A candidate frame of a tracklet."""

    jpeg: bytes
    film: str
    number: int
    time: float
    box: tuple[int, int, int, int]
    score: float
    quality: float
    small: np.ndarray


@dataclass
class Tracklet:
    """One person seen by one camera; at most `keep` crops are in memory, as JPEG."""

    name: str
    settings: CropSettings
    times: list[float] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def offer(
        self,
        pixels: np.ndarray,
        box: np.ndarray,
        hidden: float,
        film: str,
        number: int,
        time: float,
    ) -> None:
        """Add a frame.

        Args:
            pixels: (H, W, 3) uint8, the whole frame.
            box: (5,) left, top, right, bottom, score.
            hidden: share of the box that others cover, 0 to 1.
            film, number, time: identify the frame.
        """
        own = self.settings
        self.times.append(time)
        self.scores.append(float(box[4]))
        self.places.append(box[:4].copy())
        x0, y0, x1, y1 = cut = padded(box, own.pad, pixels.shape[:2])
        picture = PIL.Image.fromarray(pixels[y0:y1, x0:x1])
        small = np.asarray(
            picture.convert("L").resize(_SMALL, PIL.Image.Resampling.BILINEAR), np.float32
        )
        tall, wide = pixels.shape[:2]
        x, y = 0.01 * wide, 0.01 * tall
        at_border = box[0] < x or box[1] < y or box[2] > wide - x or box[3] > tall - y
        quality = sharpness(small) * (1 - hidden) ** 2 * (_CUT if at_border else 1)
        near = [i for i, k in enumerate(self.kept) if _apart(k.small, small) < own.alike]
        if near:
            worst = min(near, key=lambda i: self.kept[i].quality)
        elif len(self.kept) >= own.keep:
            worst = min(range(len(self.kept)), key=lambda i: self.kept[i].quality)
        else:
            worst = None
        if worst is not None and self.kept[worst].quality >= quality:
            return
        if own.blur_faces:
            blur_top(picture)
        packed = BytesIO()
        picture.save(packed, "JPEG", quality=92)
        new = Kept(packed.getvalue(), film, number, time, cut, float(box[4]), quality, small)
        if worst is None:
            self.kept.append(new)
        else:
            self.kept[worst] = new

    @property
    def chosen(self) -> list[Kept]:
        """The frames to write, in order."""
        least = _POOR * float(np.median([k.quality for k in self.kept]))
        return sorted((k for k in self.kept if k.quality >= least), key=lambda k: k.time)

    @property
    def fault(self) -> str | None:
        """Return why it is dropped: `short`, `still`, or None."""
        own = self.settings
        if self.times[-1] - self.times[0] < own.shortest - 1e-6 or len(self.times) < 3:
            return "short"
        places = np.array(self.places)
        middles = (places[:, :2] + places[:, 2:]) / 2
        low, high = np.percentile(middles, (5, 95), axis=0)
        moved = float(np.linalg.norm(high - low)) / np.median(places[:, 3] - places[:, 1])
        return "still" if moved < own.motion and np.mean(self.scores) < own.sure_score else None


def padded(box: np.ndarray, pad: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Enlarge a box by `pad` of its sides on each side, and clip it to the frame.

    Args:
        box: left, top, right, bottom.
        pad: share of the sides.
        size: height and width of the frame.
    """
    x0, y0, x1, y1 = box[:4]
    across, down = pad * (x1 - x0), pad * (y1 - y0)
    left, top = max(0, round(x0 - across)), max(0, round(y0 - down))
    right, bottom = min(size[1], round(x1 + across)), min(size[0], round(y1 + down))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def sharpness(grey: np.ndarray) -> float:
    """Return the mean absolute Laplacian of a grey picture (H, W)."""
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(around - 4 * inner).mean())


def hidden_shares(boxes: np.ndarray) -> np.ndarray:
    """Return for each box the largest share that another one covers; lower boxes are in front.

    Args:
        boxes: (n, 4 or more).

    Returns:
        (n,), 0 to 1.
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:4], boxes[None, :, 2:4])
    shared = np.prod((high - low).clip(0), axis=-1)
    area = np.prod(boxes[:, 2:4] - boxes[:, :2], axis=-1)
    in_front = boxes[None, :, 3] > boxes[:, None, 3]
    return np.where(in_front, shared / np.maximum(area[:, None], 1e-12), 0).max(1, initial=0)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return how much two small crops differ, in standard deviations of their grey values."""
    return float(np.abs(one - other).mean() / max(one.std(), other.std(), 1.0))
