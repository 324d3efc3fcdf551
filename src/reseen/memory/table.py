"""The lookup table: one vector per class, where a class is an image or several merged ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.checks import above_zero, below_one
from reseen.memory.clusters import start_mean, update_momentum


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """Settings of the lookup table and of the vectors that are compared with it.

    The defaults are those of the authors' code of Lin et al., BUC, AAAI 2019.
    """

    dropout: float = 0.5
    """Dropout rate of the features during training. BUC and SSL: 0.5."""
    temperature: float = 0.1
    """Temperature of the softmax (tau). BUC and SSL: 0.1."""
    table_momentum: float = 0.5
    """Momentum of the table: the share of a row that is kept at each update. BUC: 0.5."""

    def __post_init__(self):
        above_zero(self, "temperature")
        below_one(self, "dropout", "table_momentum")

    def begin(self, features: np.ndarray, device: torch.device | str) -> "LookupTable":
        """Create a table with one row for each of the images with features (N, D)."""
        return LookupTable(features, momentum=self.table_momentum, device=device)

    def vectors(self, pooled: Tensor) -> Tensor:
        """Turn the output of the neck (B, D) into unit rows, with dropout."""
        return F.normalize(F.dropout(pooled, self.dropout))


class LookupTable:
    """A lookup table: the weights (K, D) of a non-parametric classifier, and each image's class.

    Source: Lin et al., BUC, AAAI 2019, Eq. 1; SSL, CVPR 2020, Sec. 3.1. The papers do not give the
    update; in the authors' code of BUC it is the normalised mean of the old row and the image.

    Args:
        features: (N, D) unit rows of all training images.
        classes: (N,) int64, 0..K-1; each image its own class if None.
        momentum: share of a row that is kept at each update, 0 to below 1.
        device: device of the rows.

    Attributes:
        rows: (K, D) unit rows.
        classes: (N,) int64, the class of the image at each position, on the CPU.
    """

    def __init__(
        self,
        features: np.ndarray,
        classes: np.ndarray | None = None,
        *,
        momentum: float = 0.5,
        device: torch.device | str = "cpu",
    ):
        self.momentum = momentum
        self._device = device
        self.start(features, np.arange(len(features)) if classes is None else classes)

    def start(self, features: np.ndarray, classes: np.ndarray | None = None) -> None:
        """Set each row to the normalised mean feature of its class.

        Args:
            features: (N, D) unit rows.
            classes: (N,) int64, 0..K-1, or None to keep the classes.
        """
        if classes is not None:
            self.classes = torch.from_numpy(classes).long()
        ids = self.classes.numpy()
        means = start_mean(features, ids, np.random.default_rng(0))
        self.rows = F.normalize(torch.from_numpy(means).to(self._device))

    def update(self, vectors: Tensor, positions: np.ndarray) -> None:
        """Update the rows of the classes in a batch, after the step.

        Args:
            vectors: (B, D) unit rows, without gradient.
            positions: (B,) int64, which of the N images they are (not their classes).
        """
        update_momentum(self.rows, vectors, self.classes[positions], self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """Return what the next round depends on."""
        return {"rows": self.rows, "classes": self.classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.rows = state["rows"].to(self._device)
        self.classes = state["classes"].cpu()
