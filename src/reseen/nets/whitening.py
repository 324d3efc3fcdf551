"""Whitening as the last layer of an encoder; see `kernels.whitening`."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseen.kernels.whitening import whitening


class Whitening(nn.Module):
    """Whitens unit vectors; returns them unchanged until `learn` has been called.

    It is valid only for the weights before it: call `forget` when these change.

    Args:
        channels: D.
        share: strength of the whitening, above 0, at most 1.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, channels: int, share: float):
        super().__init__()
        self.share = share
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("matrix", torch.eye(channels))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return whitened unit vectors (B, D) of unit vectors (B, D)."""
        return F.normalize((vectors - self.mean) @ self.matrix)

    def learn(self, features: np.ndarray) -> None:
        """Compute the whitening from unit rows (N, D) that are not whitened."""
        for buffer, values in zip(self.buffers(), whitening(features, self.share), strict=True):
            buffer.copy_(torch.from_numpy(values))

    def forget(self) -> None:
        """Return vectors unchanged from now on."""
        self.mean.zero_()
        self.matrix.copy_(torch.eye(len(self.mean)))
