"""The hybrid memory: classes of a source, and images of the target, in clusters or alone."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.memory.clusters import update_momentum
from reseen.records import NOISE


class HybridMemory:
    """One row for each class of a source and one for each of N images; classes average their rows.

    Source: Ge et al., SpCL, NeurIPS 2020, Sec. 3.1. As in the authors' code, rows are normalised,
    are updated with the images of a batch in turn, and are what is clustered.

    Args:
        sources: classes of the source, S; 0 for none.
        images: N.
        dimensions: D.
        momentum: share of a row that is kept at each update, 0 to below 1.
        device: device of the rows.

    Attributes:
        rows: (S + N, D) unit rows: centroids of the source's classes (w), then images (v).
        classes: (S + N,) int64, the class of each row: those of the source, then clusters, then
            images in no cluster, each as its own class.
    """

    def __init__(
        self,
        sources: int,
        images: int,
        dimensions: int,
        *,
        momentum: float,
        device: torch.device | str = "cpu",
    ):
        self.sources = sources
        self.rows = torch.zeros(sources + images, dimensions, device=device)
        self.classes = torch.arange(sources + images, device=device)
        self._sizes = torch.ones_like(self.classes)
        self._momentum = momentum

    @property
    def instances(self) -> np.ndarray:
        """(N, D) the rows of the images."""
        return self.rows[self.sources :].cpu().numpy()

    @property
    def centres(self) -> Tensor:
        """(K, D) the mean row of each class, not normalised: w, c and v of Eq. 1."""
        sums = self.rows.new_zeros(len(self._sizes), self.rows.shape[1])
        return sums.index_add_(0, self.classes, self.rows) / self._sizes[:, None]

    def start(self, features: np.ndarray, centroids: np.ndarray | None = None) -> None:
        """Set the rows.

        Args:
            features: (N, D) unit rows of the images.
            centroids: (S, D) mean features of the source's classes, of any length above 0.
        """
        parts = (features,) if centroids is None else (centroids, features)
        self.rows = F.normalize(torch.from_numpy(np.concatenate(parts)).to(self.rows.device))

    def assign(self, ids: np.ndarray) -> None:
        """Set the class of each image.

        Args:
            ids: (N,) int64, clusters 0..K-1, or NOISE for an image that is a class of its own.
        """
        alone = np.flatnonzero(ids == NOISE)
        own = ids.copy()
        own[alone] = ids.max(initial=NOISE) + 1 + np.arange(len(alone))
        classes = np.concatenate([np.arange(self.sources), self.sources + own])
        counts = np.bincount(classes)
        self.classes, self._sizes = (
            torch.from_numpy(of).to(self.rows.device) for of in (classes, counts)
        )

    def update(self, vectors: Tensor, places: Tensor) -> None:
        """Update the rows of a batch, after the step.

        Args:
            vectors: (B, D) unit rows, without gradient.
            places: (B,) int64, the rows they belong to: a class of the source, or S and more for
                images. On the CPU.
        """
        update_momentum(self.rows, vectors, places, self._momentum)

    def state_dict(self) -> dict[str, Any]:
        """Return what the next round depends on."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.rows = state["rows"].to(self.rows.device)
