"""Approximate nearest neighbours for millions of rows, by comparing only similar blocks.

An inverted file (Sivic and Zisserman, Video Google, ICCV 2003) with blocks instead of lists: rows
are sorted by their k-means cell and cut into blocks of equal size. Two blocks are compared if their
means are similar enough, once for both of them, by matrix products on contiguous rows.
"""

import numpy as np

from reseen.errors import SettingsError
from reseen.kernels.joined import blocks_by_camera, own_and_others, search_by_camera
from reseen.kernels.kmeans import kmeans, nearest_centroid
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows, nearest
from reseen.kernels.shortlist import SIDE, all_devices

MANY = 200_000
"""Number of images from which approximate neighbours are worth their errors: the time of exact ones
grows with the square of N (docs/explanation/scale.md)."""

_SAMPLE = 512
_ROWS_PER_CELL = 40


def nearest_of_many(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find neighbours with `nearest`, or from MANY rows on with `nearest_approximate`."""
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
    """Find most of the k rows with the largest cosine to each row, which include the row itself.

    Which blocks are compared is decided with the exact neighbours of a sample of rows, so that the
    wanted share of them lies in blocks that are compared. If the features have no cluster
    structure, nearly all blocks are compared, in about the time of `nearest`. GPUs compare all rows
    in the time that k-means would take, so there the neighbours are exact.

    Args:
        features: (N, D) unit rows.
        k: number of neighbours, at least 1; N if that is smaller.
        cameras: (N,) int, the camera of each row; required with `own`.
        own: how many of the k neighbours come from the row's own camera, and the others from other
            cameras; None for any cameras (`nearest_by_camera`).
        recall: share of the neighbours that should be found, above 0, at most 1;
            `recall_on_sample` measures the share that was found.
        cells: number of k-means cells by which rows are sorted; the square root of N if None.
        seed: of the sample and of k-means.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32 and similarities (N, k) float32, as from `nearest`, or from
        `nearest_by_camera` with `own`.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
        SettingsError: k is below 1, or recall or cells is out of range.

    Memory: O(N k + block_bytes), and a copy of the features in bfloat16 (in float32 on machines
    where bfloat16 is slow).
    """
    if not 0 < recall <= 1:
        raise SettingsError(f"recall is {recall}. Give a share above 0 and at most 1.")
    if k < 1:
        raise SettingsError(f"k is {k}, but a row needs at least one neighbour. Give k >= 1.")
    rows = check_rows(features)
    n, apart = len(rows), own is not None and cameras is not None
    if not apart and n < SIDE + k:  # too few rows to skip any
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
    """Measure which share of the exact neighbours was found, on a random sample of rows.

    Args:
        features: (N, D) unit rows.
        indices: (N, k) neighbours that were found, -1 if there are fewer.
        sample: number of rows to check; all rows if there are fewer.
        seed: of the sample.
        cameras, own: as in `nearest_approximate`.

    Returns:
        The share, 0 to 1.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
    """
    drawn = np.random.default_rng(seed).permutation(len(features))[:sample]
    exact = _exact(check_rows(features), drawn, indices.shape[1], cameras, own)
    pairs = zip(exact, indices[drawn], strict=True)
    found = [np.isin(a[a >= 0], b).sum() / max(1, (a >= 0).sum()) for a, b in pairs]
    return float(np.mean(found))


def _exact(rows, drawn, k: int, cameras, own) -> np.ndarray:
    """Find the exact neighbours (n, k) of the sampled rows (n,)."""
    if own is None:
        return nearest(rows[drawn], k, rows)[0]
    return search_by_camera(rows, drawn, np.asarray(cameras), k, own=own)[0]


def _by_cell(rows: np.ndarray, cells: int, rng, block_bytes: int) -> np.ndarray:
    """Order rows by the nearest centroid of a sample, with similar cells next to each other."""
    drawn = np.sort(rng.permutation(len(rows))[: _ROWS_PER_CELL * cells])
    centroids, _ = kmeans(rows[drawn], cells, seed=rng, iterations=10, block_bytes=block_bytes)
    labels, _ = nearest_centroid(rows, centroids[_chain(centroids)], block_bytes)
    return np.argsort(labels, kind="stable").astype(np.int32)


def _chain(points: np.ndarray) -> np.ndarray:
    """Order points (M, D) so that each is followed by the nearest of those that are left."""
    far = np.square(points).sum(1)
    far = far + far[:, None] - 2 * points @ points.T
    chain = [0]
    for _ in range(len(points) - 1):
        far[:, chain[-1]] = np.inf
        chain.append(int(np.argmin(far[chain[-1]])))
    return np.array(chain)


def _near_blocks(rows, k: int, cameras, own, blocks, recall: float, rng) -> np.ndarray:
    """Choose the blocks to compare by the similarity of means, to find the wanted neighbours.

    Blocks of the same camera and of two cameras have separate thresholds, because cameras shift
    the features.
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
            of &= alike >= np.quantile(values, (1 - recall) / 2)  # half of the margin for chance
            of |= np.eye(len(of), dtype=bool) & same
    return near
