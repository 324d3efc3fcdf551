"""Convolutional block attention: channels first, then places (CBAM)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CBAM(nn.Module):
    """Weigh channels by a small network on mean and maximum, then places by a 7 x 7 convolution.

    Source: Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018, Eqs. 1 to 3.

    Args:
        channels: C of the map.
        ratio: by which the number of hidden units is smaller than C (r). Paper: 16.
    """

    def __init__(self, channels: int, ratio: int = 16):
        super().__init__()
        self.squeeze = nn.Linear(channels, max(1, channels // ratio), bias=False)
        self.excite = nn.Linear(max(1, channels // ratio), channels, bias=False)
        self.place = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh a map (B, C, H, W)."""
        return self.weights(x) * x

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight of every element of a map (B, C, H, W), in the same shape."""
        pooled = torch.stack([x.mean((2, 3)), x.amax((2, 3))])
        channel = self.excite(F.relu(self.squeeze(pooled))).sum(0).sigmoid()  # Eq. 2
        x = (channel := channel[:, :, None, None]) * x
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.place(seen).sigmoid() * channel  # Eq. 3
