"""Augmentation of whole batches of uint8 pixels, on any device."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.errors import SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.threads import spread
from reseen.transfer import send

WHOLE = slice(None)
"""All rows of a batch."""


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Augmentation of training images; the defaults are those of most published methods."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    pad: int = 10
    """Black pixels added on each side before a random crop of the original size; 0 turns it off."""
    erase: float = 0.5
    """Probability of random erasing, which covers a rectangle."""
    erase_area: tuple[float, float] = (0.02, 0.4)
    """Smallest and largest share of the image that is erased."""
    erase_aspect: float = 0.3
    """Smallest ratio of height to width of the erased rectangle; the largest is its inverse."""
    crop_area: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest share of the image for random resized crops, which come before all other
    augmentation; 1 1 turns them off. BUC: 0.64 1."""
    crop_aspect: tuple[float, float] = (1.0, 1.5)
    """Smallest and largest ratio of height to width of these crops, as multiples of that of the
    image. BUC: 1 1.5."""

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
    """The random draws for each of B crops; boxes are empty if nothing is erased."""

    flip: np.ndarray
    """(B,) bool."""
    top: np.ndarray
    """(B,) int, first row of the crop in the padded picture."""
    left: np.ndarray
    """(B,) int, first column of the crop in the padded picture."""
    box: np.ndarray
    """(B, 4) int: first row, first column, height, width of the erased rectangle."""
    cut: np.ndarray | None = None
    """(B, 4) int: the same for the rectangle that is enlarged to the whole image; None if off."""

    def some(self, rows: slice) -> "Draws":
        """Return the draws of some of the crops."""
        cut = None if self.cut is None else self.cut[rows]
        return Draws(self.flip[rows], self.top[rows], self.left[rows], self.box[rows], cut)


def draw(
    rng: np.random.Generator, count: int, height: int, width: int, settings: AugmentSettings
) -> Draws:
    """Draw the augmentation of `count` crops of height x width pixels.

    Random erasing: Zhong et al., AAAI 2020, Algorithm 1; the first of up to 10 rectangles that fits
    is used. Random resized crops are drawn in the same way, and are the whole image if none fits,
    like RandomSizedRectCrop in the authors' code of Lin et al., BUC, AAAI 2019.
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
    """Draw 10 rectangles each; return height and width (2, B) of the first that fits, if any."""
    areas = rng.uniform(*area, (count, 10)) * size[0] * size[1]
    aspects = rng.uniform(*aspect, (count, 10))
    h = np.rint(np.sqrt(areas * aspects)).astype(int)
    w = np.rint(np.sqrt(areas / aspects)).astype(int)
    fits = (h <= most[0]) & (w <= most[1])
    first = np.arange(count), fits.argmax(1)
    return np.stack([h[first], w[first]]), fits[first]


def _placed(rng: np.random.Generator, sides: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Place rectangles of (2, B) heights and widths at random inside: boxes (B, 4)."""
    first = [
        np.floor(rng.random(len(of)) * (whole - of + 1)).astype(int)
        for of, whole in zip(sides, size, strict=True)
    ]
    return np.stack([*first, *sides], 1)


def cut_out(pixels: Tensor, cut: np.ndarray) -> Tensor:
    """Enlarge a rectangle of each picture to the size of the picture, bilinearly.

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
        scaled = (2 * place.clip(first, last) + 1) / size - 1  # edges are at -1 and 1
        axes.append(send(scaled.astype(np.float32), pixels.device))
    shape = len(pixels), *pixels.shape[2:]
    grid = torch.stack([axes[1][:, None].expand(shape), axes[0][..., None].expand(shape)], -1)
    enlarged = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return enlarged.round_().to(torch.uint8)


def apply(pixels: Tensor, draws: Draws, pad: int, fill: Tensor) -> Tensor:
    """Cut out, flip, pad, crop and erase a batch as drawn.

    The result is that of torchvision's v2 resized_crop, horizontal_flip, pad, crop and erase, one
    picture at a time; enlarged values may be rounded differently.

    Args:
        pixels: (B, 3, H, W) uint8.
        draws: for B crops.
        pad: black pixels on each side.
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
    return apply_on_device(pixels, draws, pad, fill)


def apply_on_device(pixels: Tensor, draws: Draws, pad: int, fill: Tensor) -> Tensor:
    """Do as `apply` except cutting out, with few torch operations and one copy of the draws."""
    parts = draws.flip[:, None], draws.top[:, None] - pad, draws.left[:, None] - pad, draws.box
    told = send(np.concatenate(parts, 1), pixels.device)[:, :, None]
    flip, top, left, y, x, h, w = told.unbind(1)
    height, width = pixels.shape[2:]
    rows, columns = (torch.arange(size, device=pixels.device) for size in (height, width))
    down, right = rows + top, columns + left  # (B, H) and (B, W): source of each pixel
    seen = _cross((down >= 0) & (down < height), (right >= 0) & (right < width))
    erased = _cross((rows >= y) & (rows < y + h), (columns >= x) & (columns < x + w))
    right = torch.where(flip > 0, width - 1 - right, right)
    each = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    down, right = down.clamp(0, height - 1)[:, :, None], right.clamp(0, width - 1)[:, None]
    out = pixels[each, :, down, right].masked_fill(~seen, 0)  # (B, H, W, 3)
    colour = fill.to(torch.uint8).flatten()
    return torch.where(erased, colour, out).permute(0, 3, 1, 2)


def _cross(rows: Tensor, columns: Tensor) -> Tensor:
    """Combine conditions on rows (B, H) and columns (B, W) to (B, H, W, 1) bool."""
    return (rows[:, :, None] & columns[:, None])[..., None]


@njit(nogil=True, cache=True)
def _apply(t, threads, pixels, flip, top, left, box, pad, fill, out):
    """Do as `apply` in one pass, which writes each pixel once, except erased ones."""
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
    """Augment a batch (B, 3, H, W) uint8 at random; see `draw` and `apply`.

    The random draws are those of the whole batch. Only `rows` are augmented; the others are left
    unchanged.
    """
    draws = draw(rng, len(pixels), pixels.shape[2], pixels.shape[3], settings)
    wanted = apply(pixels[rows], draws.some(rows), settings.pad, fill)
    if len(wanted) == len(pixels):
        return wanted
    pixels = pixels.clone()
    pixels[rows] = wanted
    return pixels
