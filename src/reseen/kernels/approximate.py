"""Approximate neighbours for millions of rows: like rows stand together, unlike blocks are skipped.

An inverted file (Sivic and Zisserman, Video Google, ICCV 2003) at the level of blocks: rows are
sorted by the k-means cell they lie in and cut into equal blocks. Two blocks are compared when their
means are similar enough, once for both, by contiguous matrix products.
"""

import numpy as np

from reseen.errors import SettingsError
from reseen.kernels.joined import blocks_by_camera, own_and_others, search_by_camera
from reseen.kernels.kmeans import kmeans, nearest_centroid
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows, nearest
from reseen.kernels.shortlist import SIDE, all_devices

MANY = 200_000
"""Images from which on approximate neighbours are worth what they may miss: the time of exact ones
grows with the square (docs/explanation/scale.md)."""

_SAMPLE = 512
_ROWS_PER_CELL = 40


def nearest_of_many(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find neighbours as `nearest` does; of MANY rows and more as `nearest_approximate` does."""
    few = len(features) < MANY
    return nearest(features, k) if few else nearest_approximate(features, k, seed=0)


def nearest_approximate(
    features: np.ndarray,
    k: int,
    *,
    cameras: np.ndarray | None = None,
    own: int | None = None,
    recall: float = 0.98,
    cells: int | None = None,
    seed: int,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Find most of the k rows with the largest cosine to each row, itself among them.

    How unlike blocks may be is set by the exact neighbours of a sample of rows, so that the share
    wanted lies in blocks that are compared. Where cells tell little (features that fill all
    dimensions alike) that is nearly all of them, and the time that of `nearest`. On GPUs, which
    compare all rows in the time that the cells would take, the neighbours are exact.

    Args:
        features: (N, D) unit rows.
        k: neighbours to find, at least 1; N where that is smaller.
        cameras: (N,) int, the camera of each row, given with `own`.
        own: how many of the k come from the row's own camera, the others from other cameras; None
            for any (`nearest_by_camera`).
        recall: share of the neighbours wanted, above 0, at most 1; see `recall_on_sample` for what
            was reached.
        cells: cells of k-means by which rows are sorted; the square root of N if None.
        seed: of the sample and of k-means.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32 and similarities (N, k) float32 as `nearest` gives them, or
        `nearest_by_camera` with `own`.

    Raises:
        DataError: rows are unusable (see `check_rows`).
        SettingsError: k is below 1, recall or cells out of range.

    Memory: O(N k + block_bytes), and a copy of the features in bfloat16 (in float32 where the
    machine is slow with that).
    """
    if not 0 < recall <= 1:
        raise SettingsError(f"recall is {recall}: give a share above 0, at most 1.")
    if k < 1:
        raise SettingsError(f"k is {k}; a row needs at least one neighbour: give k >= 1.")
    rows = check_rows(features)
    n, apart = len(rows), own is not None and cameras is not None
    if not apart and n < SIDE + k:  # too few rows to leave any out
        return nearest(rows, k, block_bytes=block_bytes)
    cameras = np.asarray(cameras) if apart else np.zeros(n, np.int64)
    of_own = k if own is None or not apart else own
    if all_devices() != ("cpu",):
        blocks = blocks_by_camera(cameras)
    else:
        rng = np.random.default_rng(seed)
        order = _by_cell(rows, cells or round(n**0.5), rng, block_bytes)
        blocks = blocks_by_camera(cameras, order)
        near = _near_blocks(rows, k, cameras, own if apart else None, blocks, recall, rng)
        blocks = blocks._replace(near=near)
    return own_and_others(rows, cameras, k, of_own, blocks)


def recall_on_sample(
    features: np.ndarray,
    indices: np.ndarray,
    sample: int,
    seed: int,
    *,
    cameras: np.ndarray | None = None,
    own: int | None = None,
) -> float:
    """Give the share of the exact neighbours that were found, for some rows drawn by chance.

    Args:
        features: (N, D) unit rows.
        indices: (N, k) neighbours found, -1 where there are fewer.
        sample: rows to look at; all where there are fewer.
        seed: of the draw.
        cameras, own: as in `nearest_approximate`.

    Returns:
        The share, 0 to 1.

    Raises:
        DataError: rows are unusable (see `check_rows`).
    """
    drawn = np.random.default_rng(seed).permutation(len(features))[:sample]
    exact = _exact(check_rows(features), drawn, indices.shape[1], cameras, own)
    pairs = zip(exact, indices[drawn], strict=True)
    found = [np.isin(a[a >= 0], b).sum() / max(1, (a >= 0).sum()) for a, b in pairs]
    return float(np.mean(found))


def _exact(rows, drawn, k: int, cameras, own) -> np.ndarray:
    """Find the exact neighbours (n, k) of the rows drawn (n,)."""
    if own is None:
        return nearest(rows[drawn], k, rows)[0]
    return search_by_camera(rows, drawn, np.asarray(cameras), k, own=own)[0]


def _by_cell(rows: np.ndarray, cells: int, rng, block_bytes: int) -> np.ndarray:
    """Order rows by the nearest of the centroids of a sample, like cells beside each other."""
    drawn = np.sort(rng.permutation(len(rows))[: _ROWS_PER_CELL * cells])
    centroids, _ = kmeans(rows[drawn], cells, seed=rng, iterations=10, block_bytes=block_bytes)
    labels, _ = nearest_centroid(rows, centroids[_chain(centroids)], block_bytes)
    return np.argsort(labels, kind="stable").astype(np.int32)


def _chain(points: np.ndarray) -> np.ndarray:
    """Order points (M, D) so that each is followed by the one nearest to it that is left."""
    far = np.square(points).sum(1)
    far = far + far[:, None] - 2 * points @ points.T
    chain = [0]
    for _ in range(len(points) - 1):
        far[:, chain[-1]] = np.inf
        chain.append(int(np.argmin(far[chain[-1]])))
    return np.array(chain)


def _near_blocks(rows, k: int, cameras, own, blocks, recall: float, rng) -> np.ndarray:
    """Say which blocks hold the wanted share of a sample's neighbours, by how alike means are.

    Blocks of one camera and blocks of two are judged apart, as cameras shift what they see.
    """
    widths = np.diff(blocks.cuts)
    sums = [rows[blocks.order[a : a + w]].sum(0) for a, w in zip(blocks.cuts, widths, strict=False)]
    means = np.stack(sums) / widths[:, None]
    alike = means @ means.T
    block = np.empty(len(rows), np.int64)
    block[blocks.order] = np.repeat(np.arange(len(widths)), widths)
    drawn = rng.permutation(len(rows))[:_SAMPLE]
    exact = _exact(rows, drawn, k, cameras, own)
    held, near = alike[block[drawn][:, None], block[exact]], blocks.near.copy()
    for same, of in zip((True, False), near, strict=True):
        values = held[(exact >= 0) & ((cameras[exact] == cameras[drawn][:, None]) == same)]
        if len(values):
            of &= alike >= np.quantile(values, (1 - recall) / 2)  # half of the rest for chance
            of |= np.eye(len(of), dtype=bool) & same
    return near
