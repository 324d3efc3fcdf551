"""A gate that lets new layers into a trained network bit by bit."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """Go from an old layer to a new one by one learnt number: old(x) + |g| (new(x) - old(x)).

    g, the parameter `gate`, starts at 0, where the network is still the one that was trained; at 1
    only the new layer speaks. Without it self-attention was seen to destroy the start: 0.9 mAP on
    Market-1501 in Zheng, Multi-Level Attention, Table 6. A zero-initialised gate as in Bachlechner
    et al., ReZero, UAI 2021, Eq. 1. Its residual keeps the old layer whole, so that attention could
    not take away what that lets pass, such as a background; and its g has a sign, which an
    untrained layer decides by chance and which makes attention learn the opposite: hence |g|.

    While g is 0 the new layer has no gradient, and near it next to none. An optimiser must hence
    let g move faster than the rest, and must not decay the new layer (`NewLayerSettings`).

    Args:
        new: map in, map out.
        old: what it takes the place of; nothing (identity) if None.
    """

    def __init__(self, new: nn.Module, old: nn.Module | None = None):
        super().__init__()
        self.new = new
        self.old = old or nn.Identity()
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Mix the two: (B, C, H, W) in, what both give out."""
        share = torch.where(self.gate < 0, -self.gate, self.gate)  # has a gradient at 0
        return torch.lerp(old := self.old(x), self.new(x).to(old.dtype), share.to(old.dtype))
