"""k-reciprocal re-ranking through sparse encodings, in blocks of queries.

Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
"""

from collections.abc import Iterator

import numpy as np

from reseen.errors import SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.jaccard import add_minima, distance, invert, workspace
from reseen.kernels.neighbours import (
    BLOCK_BYTES,
    check_rows,
    nearest_and_lowest,
    similarity_blocks,
)
from reseen.kernels.reciprocal import encode
from reseen.kernels.threads import spread


def rerank_blocks(
    query: np.ndarray,
    gallery: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lam: float = 0.3,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the re-ranked distances of all queries to the gallery, in blocks of queries.

    The neighbourhoods are computed on queries and gallery together, so queries help each other.

    Args:
        query: (Q, D) unit rows.
        gallery: (G, D) unit rows.
        k1: number of neighbours that encode a point, without the point itself (paper: 20).
        k2: number of nearest points whose encodings are averaged, including the point itself
            (paper: 6).
        lam: share of the original distance, 0 to 1 (paper: lambda = 0.3).
        block_bytes: memory for one block of similarities, in bytes.

    Yields:
        start, and (b, G) float32 distances of queries start .. start + b, which the next block
        overwrites: (1 - lam) * Jaccard + lam * original, where the original is the squared
        Euclidean distance divided by the largest one of that query.

    Raises:
        DataError: features are not finite unit rows, or differ in D.
        SettingsError: a setting is outside its range.

    Source: Zhong et al., CVPR 2017, Eq. 12.
    Memory: O((Q + G) (D + k1 k2)) and one block.
    """
    _check(k1, k2, lam)
    query, gallery = check_rows(query, "query"), check_rows(gallery, "gallery")
    everyone = np.concatenate([query, gallery])
    ranks, near, lowest = nearest_and_lowest(everyone, k1 + 1, block_bytes=block_bytes)
    farthest = np.maximum(2 - 2 * lowest, np.finfo(np.float32).tiny)
    half = round(k1 / 2) + 1
    encoding = encode(everyone, ranks, k1 + 1, half, k2, similarities=near, scale=farthest)
    index = invert(encoding)
    del everyone, ranks, near, encoding
    for start, block in similarity_blocks(query, gallery, block_bytes):
        scales = farthest[start : start + len(block)]
        spread(_blend, block, index, start, len(query), scales, lam)
        yield start, block


@njit(nogil=True, cache=True)
def _blend(t, threads, block, index, start, queries, farthest, lam):
    """Replace similarities by re-ranked distances, in place."""
    n = len(index.mass)
    own, jaccard = np.float32(lam), np.float32(1 - lam)
    for r in range(t, len(block), threads):
        i, row = start + r, block[r]
        scale = own / farthest[r]
        for g in range(len(row)):
            row[g] = jaccard + scale * (2 - 2 * row[g])
        overlap, touched = workspace(index)
        found = add_minima(index, i, n, overlap, touched)
        for j in touched[:found]:
            if j >= queries:
                near = distance(overlap[j], index.mass[i] + index.mass[j])
                row[j - queries] -= jaccard * (1 - near)


def _check(k1: int, k2: int, lam: float) -> None:
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise SettingsError(f"{name} is {value}, but it counts neighbours. Give 1 or more.")
    if not 0 <= lam <= 1:
        raise SettingsError(f"lam is {lam}, the share of the original distance. Give 0 to 1.")
