"""The last images of each cluster, as the teacher saw them."""

import numpy as np
import torch
from torch import Tensor

from reseen.memory.clusters import in_turns


class InstanceMemory:
    """The V last vectors (K, V, D) of each cluster.

    Source: Zou et al., DCMIP, ICCV 2023, multi-instance proxies; what a cluster begins with is not
    said: here images of it, drawn by chance, again and again where it has fewer than V.

    Args:
        features: (N, D) unit rows of all training images.
        ids: (N,) clusters, 0..K-1 or NOISE.
        views: V.
        rng: draws the images that a cluster begins with.
        device: where they live.

    Attributes:
        rows: (K, V, D) unit rows. Memory: O(K V D).
    """

    def __init__(
        self,
        features: np.ndarray,
        ids: np.ndarray,
        views: int,
        rng: np.random.Generator,
        device: torch.device | str = "cpu",
    ):
        order = rng.permutation(len(ids))
        members = [order[ids[order] == k] for k in range(ids.max() + 1)]
        drawn = np.stack([np.resize(of, views) for of in members])
        self.rows = torch.from_numpy(features[drawn]).to(device)
        self._next = torch.zeros(len(members), dtype=torch.long, device=device)

    def update(self, vectors: Tensor, targets: Tensor) -> None:
        """Put the images of a batch, in turn, in the place of the oldest of their clusters.

        Args:
            vectors: (B, D) unit rows, without gradient.
            targets: (B,) int64, their clusters, on the CPU.
        """
        for clusters, seen in in_turns(vectors, targets):
            self.rows[clusters, self._next[clusters]] = seen
            self._next[clusters] = (self._next[clusters] + 1) % self.rows.shape[1]
