"""The images with the smallest dissimilarity by several features, without storing all pairs.

Lin, Xie, Wu, Yan, Tian: Unsupervised Person Re-identification via Softened Similarity Learning,
CVPR 2020, Eqs. 5 to 7.
"""

from math import isqrt

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows
from reseen.kernels.threads import spread


def least_dissimilar(
    features: np.ndarray,
    weights: np.ndarray,
    k: int,
    *,
    cameras: np.ndarray | None = None,
    camera_weight: float = 0.0,
    classes: np.ndarray | None = None,
    penalties: np.ndarray | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k images with the smallest dissimilarity to each, among those of other classes.

    The dissimilarity is the weighted sum of the Euclidean distances of all features, plus
    `camera_weight` if both images are from the same known camera, plus the penalties of both. It is
    computed in square tiles, each for both of its sides, and only the k best are kept.

    Args:
        features: (S, N, D) unit rows: S features of each image, such as the whole and its parts.
        weights: (S,) of their distances, 0 or more; a feature of weight 0 costs no time.
        k: number of images to find, at least 1; N - 1 if that is smaller.
        cameras: (N,) int, -1 if unknown; or None.
        camera_weight: added to the dissimilarity of two images of the same camera (lambda_c).
        classes: (N,) int; images of the same class are not found for each other. None: each image
            is its own class.
        penalties: (N,) added to all dissimilarities of an image; None for no penalties.
        block_bytes: memory for a tile and one product of its size, in bytes.

    Returns:
        indices (N, k) int32 by ascending dissimilarity, ties by ascending index, and -1 if there
        are fewer; dissimilarities (N, k) float32, inf for index -1.

    Raises:
        DataError: the rows are invalid (see `check_rows`), or shapes do not fit.
        SettingsError: k is below 1 or a weight is below 0.

    Source: Lin et al., SSL, Eqs. 5 to 7.
    Memory: O(N k + block_bytes). Products are summed in float32: distances below about 1e-3
    (copies) are rounding errors.
    """
    if np.ndim(features) != 3 or len(features) != len(weights):
        raise DataError(
            f"features has shape {np.shape(features)} for {len(weights)} weights. Give (S, N, D) "
            "and one weight for each of S."
        )
    if k < 1 or min(weights) < 0 or camera_weight < 0:
        raise SettingsError(
            f"k is {k}, weights are {list(weights)} and camera_weight is {camera_weight}. Use "
            "k >= 1 and weights of 0 or more."
        )
    used = [(check_rows(f), np.float32(w)) for f, w in zip(features, weights, strict=True) if w]
    n = features.shape[1]
    cameras = _column(cameras, n, np.int64, -1, "cameras")
    classes = np.arange(n) if classes is None else _column(classes, n, np.int64, 0, "classes")
    penalties = _column(penalties, n, np.float32, 0, "penalties")
    k = max(1, min(k, n - 1))
    found = np.full((n, k), -1, np.int32), np.full((n, k), np.inf, np.float32)
    facts = cameras, np.float32(camera_weight), classes, penalties
    side = max(1, min(n, isqrt(block_bytes // 8)))
    tile, product = np.empty((2, side, side), np.float32)
    for top in range(0, n, side):
        for left in range(top, n, side):
            height, width = min(side, n - top), min(side, n - left)
            far = tile.reshape(-1)[: height * width].reshape(height, width)
            near = product.reshape(-1)[: height * width].reshape(height, width)
            far[:] = 0
            for rows, weight in used:
                np.matmul(rows[top : top + height], rows[left : left + width].T, out=near)
                spread(_add_distances, near, weight, far)
            spread(_offer, far, top, left, *facts, *found)
            if left > top:
                spread(_offer, far.T, left, top, *facts, *found)
    return found


def stripe_weights(parts: int, share: float) -> np.ndarray:
    """Return the weights (1 + p,) of the distances of whole images and of their stripes.

    Args:
        parts: number of stripes, p; they do not count if their share is 0.
        share: total weight of the stripes, 0 to 1 (lambda_p).

    Source: Lin et al., SSL, Eqs. 5 and 7.
    """
    parts = parts if share else 0
    return np.array([1 - share, *[share / max(1, parts)] * parts])


def dissimilarities(
    features: np.ndarray,
    weights: np.ndarray,
    pairs: np.ndarray,
    *,
    cameras: np.ndarray | None = None,
    camera_weight: float = 0.0,
    penalties: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the dissimilarity of given pairs, as in `least_dissimilar`.

    Args:
        features, weights, cameras, camera_weight, penalties: as in `least_dissimilar`.
        pairs: (P, 2) int, positions.

    Returns:
        (P,) float64.

    Memory: O(P D).
    """
    i, j = pairs.T
    total = np.zeros(len(pairs))
    for rows, weight in zip(features, weights, strict=True):
        if weight:
            step = rows[i].astype(np.float64) - rows[j]
            total += weight * np.sqrt(np.einsum("pd,pd->p", step, step))
    if cameras is not None:
        total += camera_weight * ((cameras[i] == cameras[j]) & (cameras[i] >= 0))
    return total if penalties is None else total + penalties[i] + penalties[j]


def _column(values, n, kind, nothing, name):
    if values is None:
        return np.full(n, nothing, kind)
    if np.shape(values) != (n,):
        raise DataError(f"{name} has shape {np.shape(values)} for {n} images. Give ({n},).")
    return np.ascontiguousarray(values, kind)


@njit(nogil=True, cache=True)
def _add_distances(t, threads, near, weight, far):
    for a in range(t, len(near), threads):
        for b in range(near.shape[1]):
            far[a, b] += weight * np.sqrt(max(np.float32(0), 2 - 2 * near[a, b]))


@njit(nogil=True, cache=True)
def _offer(t, threads, far, top, left, cameras, camera_weight, classes, penalties, index, value):
    """Insert the pairs of this tile into the list of each row, if they are among its k best."""
    last = index.shape[1] - 1
    for a in range(t, far.shape[0], threads):
        i = top + a
        for b in range(far.shape[1]):
            j = left + b
            if far[a, b] > value[i, last] or classes[i] == classes[j]:
                continue
            total = far[a, b] + (penalties[i] + penalties[j])
            if cameras[i] == cameras[j] and cameras[i] >= 0:
                total += camera_weight
            place = last + 1
            while place > 0 and (
                total < value[i, place - 1]
                or (total == value[i, place - 1] and (j < index[i, place - 1]))
            ):
                if place <= last:
                    value[i, place], index[i, place] = value[i, place - 1], index[i, place - 1]
                place -= 1
            if place <= last:
                value[i, place], index[i, place] = total, j
