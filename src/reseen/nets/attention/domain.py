"""Domain-level attention: every place queries a memory that is shared by the data set (MLA)."""

import torch
from torch import Tensor, nn


class DomainAttention(nn.Module):
    """Add to each place the answer of a learnt memory of keys and values.

    q = conv(F); softmax(k q) over places, then normalised over keys; F + v(that). Keys and values
    are 1 x 1 convolutions without bias, initialised as each other's transpose.

    Source: Zheng, Multi-Level Attention, Eqs. 4 to 6; the dimensions of the normalisations follow
    Guo et al., Beyond Self-attention: External Attention, 2021, Sec. 3.2 (double normalisation).

    Args:
        channels: C of the map.
        keys: number of keys in the memory (c_k). Guo et al.'s code: 64; the paper does not say.
    """

    def __init__(self, channels: int, keys: int = 64):
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, keys, 1, bias=False)
        self.value = nn.Conv2d(keys, channels, 1, bias=False)
        with torch.no_grad():
            self.value.weight.copy_(self.key.weight.transpose(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over a map (B, C, H, W)."""
        weight = self.weights(x)
        weight = weight / (weight.sum(1, keepdim=True) + 1e-9)  # Norm of Eq. 6
        return x + self.value(weight.to(x.dtype))

    def weights(self, x: Tensor) -> Tensor:
        """Return where each key looks in a map (B, C, H, W): (B, keys, H, W), with sums of 1."""
        key = self.key(self.query(x))
        return key.float().flatten(2).softmax(2).view_as(key)  # Eq. 5
