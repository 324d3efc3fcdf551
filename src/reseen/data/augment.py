"""Augmentation of a whole batch at once, on uint8 pixels, wherever they lie."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.errors import SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.threads import spread

WHOLE = slice(None)
"""All rows of a batch."""


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """What is done to a crop before the network sees it; the defaults are the family's."""

    flip: float = 0.5
    """Chance to mirror left and right."""
    pad: int = 10
    """Black pixels added on each side before a crop of the old size is cut; 0 is off."""
    erase: float = 0.5
    """Chance to paint over a rectangle (random erasing)."""
    erase_area: tuple[float, float] = (0.02, 0.4)
    """Smallest and largest share of the picture that is painted over."""
    erase_aspect: float = 0.3
    """Smallest ratio of a rectangle's height to its width; the largest is its inverse."""
    crop_area: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest share of the picture that is cut out and enlarged to its size again,
    before anything else is done; 1 1 is off. BUC: 0.64 1."""
    crop_aspect: tuple[float, float] = (1.0, 1.5)
    """Smallest and largest ratio of height to width of what is cut out, as multiples of the
    picture's. BUC: 1 1.5."""

    def __post_init__(self):
        for name in ("flip", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"augment.{name} is {getattr(self, name)}. Use 0 to 1.")
        low, high = self.erase_area
        if not 0 < low <= high < 1 or not 0 < self.erase_aspect <= 1 or self.pad < 0:
            raise SettingsError(
                f"augment has erase_area {self.erase_area}, erase_aspect {self.erase_aspect} and "
                f"pad {self.pad}. Use 0 < low <= high < 1, 0 < aspect <= 1 and pad >= 0."
            )
        (low, high), (flat, tall) = self.crop_area, self.crop_aspect
        if not 0 < low <= high <= 1 or not 0 < flat <= tall or max(low * flat, low / tall) > 1:
            raise SettingsError(
                f"augment has crop_area {self.crop_area} and crop_aspect {self.crop_aspect}. Use "
                "0 < low <= high <= 1 for both to fit into the picture, such as 0.64 1 and 1 1.5."
            )


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance decided for each of B crops; boxes are empty where nothing is erased."""

    flip: np.ndarray
    """(B,) bool."""
    top: np.ndarray
    """(B,) int, first row of the crop in the padded picture."""
    left: np.ndarray
    """(B,) int, first column of the crop in the padded picture."""
    box: np.ndarray
    """(B, 4) int: first row, first column, height, width of the erased rectangle."""
    cut: np.ndarray | None = None
    """(B, 4) int: the same of the rectangle that is enlarged to the whole; None where it is off."""

    def some(self, rows: slice) -> "Draws":
        """Give what chance decided for some of the crops."""
        drawn = (self.flip, self.top, self.left, self.box, self.cut)
        return Draws(*(None if of is None else of[rows] for of in drawn))


def draw(
    rng: np.random.Generator, count: int, height: int, width: int, settings: AugmentSettings
) -> Draws:
    """Let `rng` decide what happens to `count` crops of height x width pixels.

    Source of random erasing: Zhong et al., AAAI 2020, Algorithm 1; of up to 10 rectangles the
    first that fits is taken. What is cut out is drawn alike, and is the whole where none fits, as
    RandomSizedRectCrop in the authors' code of Lin et al., BUC, AAAI 2019.
    """
    flip = rng.random(count) < settings.flip
    top, left = rng.integers(0, 2 * settings.pad + 1, (2, count))
    size, low = (height, width), settings.erase_aspect
    inside = height - 1, width - 1
    sides, fits = _rectangles(rng, count, size, settings.erase_area, (low, 1 / low), inside)
    erased = (rng.random(count) < settings.erase) & fits
    box = _placed(rng, sides, size) * erased[:, None]
    if settings.crop_area[0] == 1:
        return Draws(flip, top, left, box)
    tall, taller = (of * height / width for of in settings.crop_aspect)
    sides, fits = _rectangles(rng, count, size, settings.crop_area, (tall, taller), size)
    cut = _placed(rng, np.where(fits, sides, np.array([size]).T), size)
    return Draws(flip, top, left, box, cut)


def _rectangles(
    rng: np.random.Generator,
    count: int,
    size: tuple[int, int],
    area: tuple[float, float],
    aspect: tuple[float, float],
    most: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Draw 10 rectangles each; give height and width (2, B) of the first that fits, if one does."""
    areas = rng.uniform(*area, (count, 10)) * size[0] * size[1]
    aspects = rng.uniform(*aspect, (count, 10))
    h = np.rint(np.sqrt(areas * aspects)).astype(int)
    w = np.rint(np.sqrt(areas / aspects)).astype(int)
    fits = (h <= most[0]) & (w <= most[1])
    first = np.arange(count), fits.argmax(1)
    return np.stack([h[first], w[first]]), fits[first]


def _placed(rng: np.random.Generator, sides: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Put rectangles of (2, B) heights and widths anywhere inside: boxes (B, 4)."""
    first = [
        np.floor(rng.random(len(of)) * (whole - of + 1)).astype(int)
        for of, whole in zip(sides, size, strict=True)
    ]
    return np.stack([*first, *sides], 1)


def cut_out(pixels: Tensor, cut: np.ndarray) -> Tensor:
    """Enlarge a rectangle of each picture to the size of the whole, bilinearly.

    Args:
        pixels: (B, C, H, W) uint8.
        cut: (B, 4) int: first row, first column, height, width.

    Returns:
        (B, C, H, W) uint8 on the same device.
    """
    axes = []
    for first, length, size in zip(cut.T[:2], cut.T[2:], pixels.shape[2:], strict=True):
        first, last = first[:, None], (first + length)[:, None] - 1
        place = first + (np.arange(size) + 0.5) * length[:, None] / size - 0.5
        scaled = (2 * place.clip(first, last) + 1) / size - 1  # -1 and 1 are the picture's edges
        axes.append(torch.from_numpy(scaled.astype(np.float32)).to(pixels.device))
    shape = len(pixels), *pixels.shape[2:]
    grid = torch.stack([axes[1][:, None].expand(shape), axes[0][..., None].expand(shape)], -1)
    enlarged = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return enlarged.round_().to(torch.uint8)


def apply(pixels: Tensor, draws: Draws, pad: int, fill: Tensor) -> Tensor:
    """Cut out, flip, pad, crop and erase a batch as `draws` says.

    The same pixels as torchvision's v2 resized_crop, horizontal_flip, pad, crop and erase give, one
    picture at a time; an enlarged value may be rounded the other way.

    Args:
        pixels: (B, 3, H, W) uint8.
        draws: B decisions.
        pad: black pixels a side.
        fill: (3, 1, 1) in 0 to 255, colour of erased rectangles.

    Returns:
        (B, 3, H, W) uint8 on the same device.
    """
    if draws.cut is not None:
        pixels = cut_out(pixels, draws.cut)
    if pixels.device.type == "cpu":
        out = torch.empty_like(pixels, memory_format=torch.contiguous_format)
        colour = fill.to(torch.uint8).flatten().numpy()
        spread(
            *(_apply, pixels.contiguous().numpy(), draws.flip, draws.top, draws.left, draws.box),
            *(pad, colour, out.numpy()),
        )
        return out
    height, width = pixels.shape[2:]
    each = torch.arange(len(pixels))
    turned = torch.from_numpy(np.flatnonzero(draws.flip))
    out = pixels.clone()
    out[turned] = pixels[turned].flip(3)
    if pad:
        windows = F.pad(out, (pad, pad, pad, pad)).unfold(2, height, 1).unfold(3, width, 1)
        out = windows[each, :, torch.from_numpy(draws.top), torch.from_numpy(draws.left)]
    for i in np.flatnonzero(draws.box[:, 2]):
        y, x, h, w = draws.box[i]
        out[i, :, y : y + h, x : x + w] = fill
    return out


@njit(nogil=True, cache=True)
def _apply(t, threads, pixels, flip, top, left, box, pad, fill, out):
    """Do as `apply` in one pass: each pixel is written once, but for the erased ones."""
    count, channels, height, width = pixels.shape
    for i in range(t, count, threads):
        down, right = top[i] - pad, left[i] - pad
        low, high = max(0, -right), min(width, width - right)
        y, x, h, w = box[i]
        for c in range(channels):
            for row in range(height):
                to, source = out[i, c, row], row + down
                if source < 0 or source >= height:
                    to[:] = 0
                else:
                    line = pixels[i, c, source]
                    to[:low] = 0
                    if flip[i]:
                        _turn(line[width - high - right : width - low - right], to[low:high])
                    else:
                        to[low:high] = line[low + right : high + right]
                    to[high:] = 0
                if y <= row < y + h:
                    to[x : x + w] = fill[c]


@njit(cache=True)
def _turn(line, to):
    for place in range(len(to)):
        to[place] = line[len(to) - 1 - place]


def augment(
    pixels: Tensor,
    rng: np.random.Generator,
    settings: AugmentSettings,
    fill: Tensor,
    rows: slice = WHOLE,
) -> Tensor:
    """Draw and apply: (B, 3, H, W) uint8 in and out; see `draw` and `apply`.

    Chance decides for the whole batch, whichever rows are wanted; the others are left as they are.
    """
    draws = draw(rng, len(pixels), pixels.shape[2], pixels.shape[3], settings)
    wanted = apply(pixels[rows], draws.some(rows), settings.pad, fill)
    if len(wanted) == len(pixels):
        return wanted
    pixels = pixels.clone()
    pixels[rows] = wanted
    return pixels
