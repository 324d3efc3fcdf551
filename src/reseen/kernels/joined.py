"""Neighbours where more than one set of rows is searched: extra points, and cameras."""

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.kernels.neighbours import check_rows, nearest


def nearest_joined(
    features: np.ndarray, extra: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest rows of each in features and extra points together, exactly.

    As `nearest` of the two put one below the other, without a copy that holds both.

    Args:
        features: (N, D) unit rows.
        extra: (M, D) unit rows, points N .. N + M of the pool.
        k: neighbours to find, at least 1; N + M where that is smaller.

    Returns:
        indices (N + M, k) int32, and similarities (N + M, k) float32.

    Raises:
        DataError: rows are unusable (see `check_rows`), or the two differ in D.
        SettingsError: k is below 1.

    Memory: O((N + M) k) and that of `nearest`.
    """
    found = []
    for rows in (features, extra):
        near, similar = nearest(rows, k, features if rows is extra else None)
        far, less_similar = nearest(rows, k, extra if rows is features else None)
        found.append(_merge([(near, similar), (far + len(features), less_similar)], k))
    indices, similarities = map(np.concatenate, zip(*found, strict=True))
    return indices, similarities


def nearest_by_camera(
    features: np.ndarray,
    cameras: np.ndarray,
    k: int,
    *,
    own: int | None = None,
    quota: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find nearest rows, with bounds on how many may come from which camera.

    Args:
        features: (N, D) unit rows.
        cameras: (N,) int, the camera of each.
        k: neighbours to find.
        own: how many of them come from the row's own camera, itself counted; the other k - own
            are from other cameras. None: no such split.
        quota: the most that one camera may give, its own too. None: any number.

    Returns:
        indices (N, k) int32, by falling similarity, equals by rising index, -1 where there are
        fewer; and similarities (N, k) float32, NaN there.

    Raises:
        DataError: rows are unusable (see `check_rows`), or cameras differ in number.
        SettingsError: a number is out of range.

    Source: with `own`, the intra- and inter-camera lists of Chen et al., CA-Jaccard:
    Camera-aware Jaccard Distance for Person Re-identification, CVPR 2024, Sec. 3.2.
    Memory: O(N (D + k cameras)): the rows of one camera after another are copied.
    """
    rows, cameras = check_rows(features), np.asarray(cameras)
    if cameras.shape != (len(rows),):
        raise DataError(f"cameras has shape {cameras.shape}: give one number each, ({len(rows)},).")
    for name, value in (("k", k), ("own", own), ("quota", quota)):
        if value is not None and not 1 <= value <= max(k, 1):
            raise SettingsError(f"{name} is {value}; it counts neighbours: give 1 to k, {k}.")
    order = np.argsort(cameras, kind="stable")
    _, starts = np.unique(cameras[order], return_index=True)
    groups = np.split(order, starts[1:])
    ranks = np.full((len(rows), k), -1, np.int32)
    similarities = np.full((len(rows), k), np.nan, np.float32)
    for mine in groups:
        asking, lists = rows[mine], []
        for group in groups:
            wanted = k if own is None else own if group is mine else k - own
            if wanted:
                pool = None if group is mine else rows[group]
                indices, similar = nearest(asking, min(wanted, quota or k), pool)
                lists.append((group[indices], similar, group is mine))
        if own is not None and len(lists) > 1:
            others = _merge([found[:2] for found in lists if not found[2]], k - own)
            lists = [found for found in lists if found[2]] + [others]
        indices, similar = _merge([found[:2] for found in lists], k)
        ranks[mine, : indices.shape[1]] = indices
        similarities[mine, : indices.shape[1]] = similar
    return ranks, similarities


def _merge(lists, k):
    """Join lists of indices and similarities, the best k first, equals by rising index."""
    indices, similarities = (np.concatenate(part, axis=1) for part in zip(*lists, strict=True))
    order = np.lexsort((indices, -similarities))[:, :k]
    return (
        np.take_along_axis(indices, order, axis=1).astype(np.int32),
        np.take_along_axis(similarities, order, axis=1),
    )
