"""Camera centring: remove from each feature what its camera adds to all features; needs no labels.

With x a unit feature, m the mean of all training crops and m_c the mean of those of its camera:

    mean        z = unit(x - m_c + m)
    deviation   z = unit((x - m_c) / s_c)

where s_c is the standard deviation of each dimension of these features. For a crop of an unknown
camera, the mean and the deviation of all crops are used, so that `mean` does not change it. No
identities are needed, and for a single picture only its camera must be known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reseen.errors import SettingsError

CENTRINGS = ("off", "mean", "deviation")
"""What is removed from features: nothing, the camera's mean, or its mean and deviation."""

LEAST = 50
"""Minimum number of training crops of a camera; with fewer, it is treated as unknown."""

_MOST = 3.0
"""How many times larger or smaller than for all crops the deviation of a camera may be."""

_BLOCK = 1 << 12
"""Rows that are summed at a time in float64."""

_STILL = 1e-3
"""Share of the usual deviation up to which a dimension of the features carries no information; it
is not divided by its deviation."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraStatistics:
    """The statistics of an encoder's features for each camera; they belong to its current weights.

    Args:
        names: C cameras, each with at least LEAST training crops.
        moments: (1 + C, 2, D) float32, the mean and the standard deviation of the features: first
            of all crops, then of the crops of each camera.
    """

    names: tuple[str, ...]
    moments: np.ndarray

    def __post_init__(self):
        shape = self.moments.shape
        if len(shape) != 3 or shape[:2] != (1 + len(self.names), 2):
            raise ValueError(f"moments of {len(self.names)} cameras have the shape {shape}")

    def centred(self, features: np.ndarray, cameras: Sequence[str | None], how: str) -> np.ndarray:
        """Centre features by the statistics of their cameras.

        Args:
            features: (N, D) unit rows.
            cameras: N names; None, and any name not in `names`, is an unknown camera.
            how: one of CENTRINGS.

        Returns:
            (N, D) float32 unit rows.

        Raises:
            SettingsError: how is not one of CENTRINGS.
        """
        place: dict[str | None, int] = {name: row for row, name in enumerate(self.names, 1)}
        return _centred(features, np.array([place.get(c, 0) for c in cameras]), self.moments, how)


def covered(cameras: np.ndarray) -> np.ndarray:
    """Return the cameras that have enough crops for centring.

    Args:
        cameras: (N,) int, -1 if unknown.

    Returns:
        (C,) the cameras with at least LEAST crops, ascending; empty if there are fewer than two.
    """
    known, counts = np.unique(cameras[cameras >= 0], return_counts=True)
    known = known[counts >= LEAST]
    return known if len(known) > 1 else known[:0]


def moments(features: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Compute mean and standard deviation of the features of training crops.

    Args:
        features: (N, D) unit rows.
        cameras: (N,) int, -1 if unknown.

    Returns:
        (1 + C, 2, D) float32: mean and standard deviation, of all crops, then of each of the
        cameras that are `covered`.
    """
    known = covered(cameras)
    sums = np.zeros((1 + len(known), 2, features.shape[1]))
    for start in range(0, len(features), _BLOCK):
        rows, taken = features[start : start + _BLOCK].astype(np.float64), cameras[start:][:_BLOCK]
        for out, of in zip(sums, (rows, *(rows[taken == c] for c in known)), strict=True):
            out += of.sum(0), np.square(of).sum(0)
    counts = np.array([len(features), *((cameras == camera).sum() for camera in known)])
    mean, square = (sums / counts[:, None, None]).transpose(1, 0, 2)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return np.stack([mean, deviation], axis=1).astype(np.float32)


def centre(features: np.ndarray, cameras: np.ndarray | None, how: str) -> np.ndarray:
    """Centre features by the statistics of these features themselves, as for clustering.

    Args:
        features: (N, D) unit rows.
        cameras: (N,) int, -1 if unknown; None: all unknown. A camera with fewer than LEAST crops
            is treated as unknown.
        how: one of CENTRINGS.

    Returns:
        (N, D) float32 unit rows; the features themselves if how is off.

    Raises:
        SettingsError: how is not one of CENTRINGS, or fewer than two cameras have enough crops.
    """
    if how == "off":
        return features
    known = np.empty(0) if cameras is None else covered(cameras)
    if cameras is None or not len(known):
        raise SettingsError(
            f"centring is {how!r}, but there are no two cameras with at least {LEAST} crops. Leave "
            "it out, or say which camera took each image (reseen data check)."
        )
    places = (cameras[:, None] == known) @ np.arange(1, len(known) + 1)
    return _centred(features, places, moments(features, cameras), how)


def centre_where_known(features: np.ndarray, cameras: np.ndarray | None, how: str) -> np.ndarray:
    """Do as `centre`, but return features unchanged if no two cameras have enough crops."""
    known = cameras is not None and len(covered(cameras)) > 0
    return centre(features, cameras, how) if known else features


def centring_remarks(how: str, cameras: np.ndarray) -> list[str]:
    """Explain if `centre_where_known` returns features unchanged although centring is on."""
    if how == "off" or len(covered(cameras)):
        return []
    return [
        f"No two cameras have at least {LEAST} crops, so centring does not change the features."
    ]


def _centred(features: np.ndarray, places: np.ndarray, moments: np.ndarray, how: str) -> np.ndarray:
    """Centre each row (N, D) by the moments at its position."""
    if how not in CENTRINGS:
        raise SettingsError(f"centring is {how!r}. Use one of: {', '.join(CENTRINGS)}.")
    out = np.array(features, np.float32)
    if how == "off":
        return out
    mean, spread = moments[0]
    for place, (own, own_spread) in enumerate(moments):
        rows = out[places == place] - own
        if how == "mean":
            rows += mean
        else:
            still = spread <= _STILL * np.sqrt(np.square(spread).mean())
            rows /= np.where(still, np.inf, np.clip(own_spread, spread / _MOST, spread * _MOST))
        if place or how == "deviation":  # for unknown cameras, mean adds back what it subtracted
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            out[places == place] = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return out
