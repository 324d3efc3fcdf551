"""The share of attention that lies on the person, given masks of the person."""

import numpy as np

from reseen.errors import DataError


def person_share(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the share of each map that lies on the person, and the share of the area they cover.

    Each place of the map counts by the share of its area that shows the person. For a uniform map
    the result is the share of the area, which is what random attention would give.

    Args:
        maps: (N, h, w) attention, 0 or more, on any scale.
        masks: (N, H, W) bool or 0 to 1, where 1 shows the person; H and W need not be multiples of
            h and w.

    Returns:
        (N,) share of the map, NaN if the map is 0 everywhere, and (N,) share of the area.

    Raises:
        DataError: the shapes of maps and masks do not fit, or a map is below 0.

    Source: own; with a single place it is the pointing game of Zhang et al., Top-down
    Neural Attention by Excitation Backprop, IJCV 2018, Sec. 5.1.
    """
    if maps.ndim != 3 or masks.ndim != 3 or len(maps) != len(masks):
        raise DataError(
            f"Maps have shape {maps.shape} and masks {masks.shape}. Give (N, h, w) and (N, H, W)."
        )
    if not (maps >= 0).all():
        raise DataError("An attention map is below 0 or not a number. Give weights or energies.")
    maps = maps.astype(np.float64)
    rows, columns = (_areas(*sizes) for sizes in zip(maps.shape[1:], masks.shape[1:], strict=True))
    person = rows @ masks.astype(np.float64) @ columns.T  # (N, h, w), means over each place
    whole = maps.sum((1, 2))
    on_person = (maps * person).sum((1, 2))
    share = np.divide(on_person, whole, out=np.full(len(maps), np.nan), where=whole > 0)
    return share, person.mean((1, 2))


def _areas(places: int, pixels: int) -> np.ndarray:
    """Return (places, pixels), the part of each place that each pixel fills; rows sum to 1."""
    edges = np.arange(places + 1)[:, None] * pixels / places
    pixel = np.arange(pixels)
    covered = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    return covered.clip(0) * places / pixels
