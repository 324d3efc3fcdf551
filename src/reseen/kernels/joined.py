"""Nearest neighbours in two sets of rows together, and by camera."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows, decide, nearest
from reseen.kernels.shortlist import SIDE, Blocks, all_devices, shortlists


def nearest_joined(
    features: np.ndarray,
    extra: np.ndarray,
    k: int,
    within: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest rows of each row in features and extra points together, exactly.

    The result is that of `nearest` for the concatenation of the two, without making a copy of it.

    Args:
        features: (N, D) unit rows.
        extra: (M, D) unit rows, points N .. N + M of the pool.
        k: number of neighbours, at least 1; N + M if that is smaller.
        within: the k nearest of the features among themselves, if they are known.

    Returns:
        indices (N + M, k) int32, and similarities (N + M, k) float32.

    Raises:
        DataError: the rows are invalid (see `check_rows`), or the two differ in D.
        SettingsError: k is below 1.

    Memory: O((N + M) k), and that of `nearest`.
    """
    found = []
    for rows in (features, extra):
        if within is not None and rows is features:
            near, similar = within
        else:
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
    """Find nearest rows, with limits on how many may come from which camera.

    Args:
        features: (N, D) unit rows.
        cameras: (N,) int, the camera of each row.
        k: number of neighbours.
        own: how many of them come from the row's own camera, including the row itself; the other
            k - own are from other cameras. None: no such split.
        quota: largest number of neighbours from a camera, including the row's own. None: no limit.

    Returns:
        indices (N, k) int32, by descending similarity, ties by ascending index, -1 if there are
        fewer; and similarities (N, k) float32, NaN for index -1.

    Raises:
        DataError: the rows are invalid (see `check_rows`), or cameras has another length.
        SettingsError: a number is out of range.

    Source: with `own`, the intra- and inter-camera lists of Chen et al., CA-Jaccard:
    Camera-aware Jaccard Distance for Person Re-identification, CVPR 2024, Sec. 3.2.
    Memory: O(N (D + k cameras)): the rows of each camera are copied, one camera at a time.
    """
    rows, cameras = check_rows(features), np.asarray(cameras)
    if cameras.shape != (len(rows),):
        raise DataError(f"cameras has shape {cameras.shape}. Give shape ({len(rows)},).")
    for name, value in (("k", k), ("own", own), ("quota", quota)):
        if value is not None and not 1 <= value <= max(k, 1):
            raise SettingsError(f"{name} is {value}, but it counts neighbours. Give 1 to k, {k}.")
    if own is not None and quota is None:
        return own_and_others(rows, cameras, k, own, blocks_by_camera(cameras))
    return search_by_camera(rows, np.arange(len(rows)), cameras, k, own=own, quota=quota)


def search_by_camera(
    rows: np.ndarray,
    asked: np.ndarray,
    cameras: np.ndarray,
    k: int,
    *,
    own: int | None = None,
    quota: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Do as `nearest_by_camera` for some of the rows, searching one camera after another.

    Args:
        rows: (N, D) float32 unit rows.
        asked: (n,) positions of these rows.
        cameras, k, own, quota: as in `nearest_by_camera`.
    """
    order = np.argsort(cameras, kind="stable")
    groups = np.split(order, np.unique(cameras[order], return_index=True)[1][1:])
    ranks = np.full((len(asked), k), -1, np.int32)
    similarities = np.full((len(asked), k), np.nan, np.float32)
    for mine in groups:
        here = np.flatnonzero(cameras[asked] == cameras[mine[0]])
        if not len(here):
            continue
        asking, lists = rows[asked[here]], []
        for group in groups:
            wanted = k if own is None else own if group is mine else k - own
            if wanted:
                indices, similar = nearest(asking, min(wanted, quota or k), rows[group])
                lists.append((group[indices], similar, group is mine))
        if own is not None and len(lists) > 1:
            others = _merge([found[:2] for found in lists if not found[2]], k - own)
            lists = [found for found in lists if found[2]] + [others]
        indices, similar = _merge([found[:2] for found in lists], k)
        ranks[here, : indices.shape[1]] = indices
        similarities[here, : indices.shape[1]] = similar
    return ranks, similarities


def blocks_by_camera(cameras: np.ndarray, order: np.ndarray | None = None) -> Blocks:
    """Cut rows into blocks of one camera each; the first list compares those of the same camera.

    Args:
        cameras: (N,) int.
        order: (N,) the rows in the order that they should have within their camera; None as given.

    Returns:
        Blocks for two lists: neighbours from the own camera, and from all others.
    """
    order = np.arange(len(cameras)) if order is None else order
    order = order[np.argsort(cameras[order], kind="stable")].astype(np.int32)
    _, starts, counts = np.unique(cameras[order], return_index=True, return_counts=True)
    inside = [
        start + np.linspace(0, count, -(-count // SIDE) + 1)[:-1].astype(int)
        for start, count in zip(starts, counts, strict=True)
    ]
    cuts = np.append(np.concatenate(inside), len(order))
    camera = cameras[order[cuts[:-1]]]
    same = camera[:, None] == camera
    return Blocks(order, cuts, np.stack([same, ~same]))


def own_and_others(
    rows: np.ndarray, cameras: np.ndarray, k: int, own: int, blocks: Blocks
) -> tuple[np.ndarray, np.ndarray]:
    """Find nearest rows of the own camera and of others, by blocks; see `nearest_by_camera`.

    Args:
        rows: (N, D) float32 unit rows.
        cameras: (N,) int.
        k: number of neighbours.
        own: how many of them come from the own camera.
        blocks: from `blocks_by_camera`, possibly with fewer pairs to compare.
    """

    def pools(of: int, open_rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for camera in np.unique(cameras[open_rows]):
            among = (cameras == camera) == (of == 0)
            yield open_rows[cameras[open_rows] == camera], np.flatnonzero(among)

    wanted = tuple((min(count, len(rows)), 1) for count in (own, k - own) if count)
    lists = shortlists(
        *(rows, rows, wanted),
        precision="auto",
        devices=all_devices(len(rows) ** 2 * rows.shape[1]),
        block_bytes=BLOCK_BYTES,
        blocks=blocks,
    )
    found = [
        decide(rows, rows, listed, BLOCK_BYTES, blocks.order, partial(pools, of))
        for of, listed in enumerate(lists)
    ]
    indices, similarities = (np.full((len(rows), k), fill, t) for fill, t in _NONE)
    merged = _merge([(near, np.where(near < 0, np.nan, of)) for near, of in found], k)
    indices[:, : merged[0].shape[1]], similarities[:, : merged[1].shape[1]] = merged
    return indices, similarities


_NONE = (-1, np.int32), (np.nan, np.float32)
"""The index and similarity of a missing neighbour."""


def _merge(lists, k):
    """Join lists of indices and similarities: the best k, ties by ascending index."""
    indices, similarities = (np.concatenate(part, axis=1) for part in zip(*lists, strict=True))
    order = np.lexsort((indices, -similarities))[:, :k]
    return (
        np.take_along_axis(indices, order, axis=1).astype(np.int32),
        np.take_along_axis(similarities, order, axis=1),
    )
