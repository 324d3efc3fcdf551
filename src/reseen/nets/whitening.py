"""Whitening as the last layer of an encoder; what it does is told in `kernels.whitening`."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseen.kernels.whitening import whitening


class Whitening(nn.Module):
    """Unit vectors in, whitened unit vectors out; until it has learnt how, the same ones.

    It belongs to the weights in front of it: who changes those makes it forget.

    Args:
        channels: D.
        share: of whitening, above 0, 1 or less.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, channels: int, share: float):
        super().__init__()
        self.share = share
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("matrix", torch.eye(channels))

    def forward(self, vectors: Tensor) -> Tensor:
        """Give unit vectors (B, D) of unit vectors (B, D)."""
        return F.normalize((vectors - self.mean) @ self.matrix)

    def learn(self, features: np.ndarray) -> None:
        """Learn from unit rows (N, D), which it has not whitened."""
        for buffer, values in zip(self.buffers(), whitening(features, self.share), strict=True):
            buffer.copy_(torch.from_numpy(values))

    def forget(self) -> None:
        """Give vectors as they come again."""
        self.mean.zero_()
        self.matrix.copy_(torch.eye(len(self.mean)))
