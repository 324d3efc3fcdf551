"""A memory of the latest images of each cluster."""

import numpy as np
import torch
from torch import Tensor

from reseen.memory.clusters import in_turns


class InstanceMemory:
    """A memory of the last V vectors of each cluster, (K, V, D).

    Source: Zou et al., DCMIP, ICCV 2023, multi-instance proxies. The paper does not say how the
    memory is initialised; here with random images of the cluster, repeated if it has fewer than V.

    Args:
        features: (N, D) unit rows of all training images.
        ids: (N,) clusters, 0..K-1 or NOISE.
        views: V.
        rng: draws the initial images of each cluster.
        device: device of the memory.

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
        """Replace the oldest vectors of the clusters by the images of a batch, one after another.

        Args:
            vectors: (B, D) unit rows, without gradient.
            targets: (B,) int64, their clusters, on the CPU.
        """
        for clusters, seen in in_turns(vectors, targets):
            self.rows[clusters, self._next[clusters]] = seen
            self._next[clusters] = (self._next[clusters] + 1) % self.rows.shape[1]
