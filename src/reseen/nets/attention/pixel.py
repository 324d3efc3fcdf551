"""Pixel-level attention: every element is weighed by its neighbourhood (MLA)."""

from torch import Tensor, nn


class PixelAttention(nn.Module):
    """Multiply a map by the sigmoid of its own 3 x 3 convolution: x * sigmoid(conv(x)).

    Source: Zheng, Multi-Level Attention for Unsupervised Person Re-Identification, Eq. 3.

    Args:
        channels: C of the map.
        groups: groups of the convolution; the paper's has one, with 9 C^2 weights.
    """

    def __init__(self, channels: int, groups: int = 1):
        super().__init__()
        self.around = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh a map (B, C, H, W)."""
        return x * self.weights(x)

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight of every element of a map (B, C, H, W), in the same shape."""
        return self.around(x).sigmoid()
