"""Approximate neighbours for millions of rows: like rows stand together, unlike blocks are skipped.

An inverted file (Sivic and Zisserman, Video Google, ICCV 2003) at the level of blocks: rows are
sorted by the k-means cell they lie in and cut into equal blocks. Two blocks are compared when their
means are similar enough, once for both, by contiguous matrix products.
"""

import numpy as np

from reseen.errors import SettingsError
from reseen.kernels.kmeans import kmeans, nearest_centroid
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows, decide, nearest
from reseen.kernels.shortlist import SIDE, shortlists

_SAMPLE = 512
_ROWS_PER_CELL = 40


def nearest_approximate(
    features: np.ndarray,
    k: int,
    *,
    recall: float = 0.98,
    cells: int | None = None,
    seed: int,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Find most of the k rows with the largest cosine to each row, itself among them.

    How unlike blocks may be is set by the exact neighbours of a sample of rows, so that the share
    wanted lies in blocks that are compared. Where cells tell little (features that fill all
    dimensions alike) that is nearly all of them, and the time that of `nearest`.

    Args:
        features: (N, D) unit rows.
        k: neighbours to find, at least 1; N where that is smaller.
        recall: share of the neighbours wanted, above 0, at most 1; see `recall_on_sample` for what
            was reached.
        cells: cells of k-means by which rows are sorted; the square root of N if None.
        seed: of the sample and of k-means.
        block_bytes: memory for one block of similarities, in bytes.

    Returns:
        indices (N, k) int32 and similarities (N, k) float32 as `nearest` gives them.

    Raises:
        DataError: rows are unusable (see `check_rows`).
        SettingsError: k is below 1, recall or cells out of range.

    Memory: O(N k + block_bytes), and a sorted copy of the features, in float32 and bfloat16.
    """
    if not 0 < recall <= 1:
        raise SettingsError(f"recall is {recall}: give a share above 0, at most 1.")
    rows = check_rows(features)
    blocks = -(-len(rows) // SIDE)
    side = -(-len(rows) // blocks)
    if len(rows) - side * (blocks - 1) < k or blocks == 1:  # too few rows to leave any out
        return nearest(rows, k, block_bytes=block_bytes)
    if k < 1:
        raise SettingsError(f"k is {k}; a row needs at least one neighbour: give k >= 1.")
    rng = np.random.default_rng(seed)
    order = _by_cell(rows, cells or round(len(rows) ** 0.5), rng, block_bytes)
    rows = rows[order]
    near = _near_blocks(rows, k, side, recall, rng, block_bytes)
    (found,) = shortlists(
        *(rows, rows, ((k, 1),)),
        precision="auto",
        device="cpu",
        block_bytes=4 * side * side,
        near=near,
    )
    picked, similarities = decide(rows, rows, found, block_bytes)
    indices, sorted_back = np.empty_like(picked), np.empty_like(similarities)
    indices[order], sorted_back[order] = order[picked], similarities
    return indices, sorted_back


def recall_on_sample(features: np.ndarray, indices: np.ndarray, sample: int, seed: int) -> float:
    """Give the share of the exact neighbours that were found, for some rows drawn by chance.

    Args:
        features: (N, D) unit rows.
        indices: (N, k) neighbours found.
        sample: rows to look at; all where there are fewer.
        seed: of the draw.

    Returns:
        The share, 0 to 1.

    Raises:
        DataError: rows are unusable (see `check_rows`).
    """
    drawn = np.random.default_rng(seed).permutation(len(features))[:sample]
    exact, _ = nearest(features[drawn], indices.shape[1], features)
    found = [np.isin(a, b).mean() for a, b in zip(exact, indices[drawn], strict=True)]
    return float(np.mean(found))


def _by_cell(rows: np.ndarray, cells: int, rng, block_bytes: int) -> np.ndarray:
    """Sort rows by the nearest of the centroids of a sample."""
    drawn = np.sort(rng.permutation(len(rows))[: _ROWS_PER_CELL * cells])
    centroids, _ = kmeans(rows[drawn], cells, seed=rng, iterations=10, block_bytes=block_bytes)
    labels, _ = nearest_centroid(rows, centroids, block_bytes)
    return np.argsort(labels, kind="stable").astype(np.int32)


def _near_blocks(rows, k: int, side: int, recall: float, rng, block_bytes: int) -> np.ndarray:
    """Say which blocks hold the wanted share of a sample's neighbours, by how alike means are."""
    means = np.stack([rows[a : a + side].mean(0) for a in range(0, len(rows), side)])
    alike = means @ means.T
    drawn = rng.permutation(len(rows))[:_SAMPLE]
    exact, _ = nearest(rows[drawn], k, rows, block_bytes=block_bytes)
    held = alike[drawn[:, None] // side, exact // side]
    return alike >= np.quantile(held, (1 - recall) / 2)  # half of what may be lost, for chance
