"""A gate that gradually blends new layers into a trained network."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """Blend from an old layer to a new one by one learnt number: old(x) + |g| (new(x) - old(x)).

    g, the parameter `gate`, starts at 0, where the network computes what it was trained to; at 1
    only the new layer counts. Without the gate, self-attention can destroy the start: 0.9 mAP on
    Market-1501 in Zheng, Multi-Level Attention, Table 6. The gate is initialised with 0 as in
    Bachlechner et al., ReZero, UAI 2021, Eq. 1. Their residual form keeps the old layer entirely,
    so that attention could not remove what the old layer passes on, such as a background; and the
    sign of their g is decided by chance while the layer is untrained, and a negative one makes
    attention learn the opposite, hence |g|.

    While g is 0 the new layer has no gradient, and near 0 almost none. An optimiser must therefore
    use a larger learning rate for g than for the rest, and no weight decay for the new layer
    (`NewLayerSettings`).

    Args:
        new: map in, map out.
        old: the layer to replace; None for the identity.
    """

    def __init__(self, new: nn.Module, old: nn.Module | None = None):
        super().__init__()
        self.new = new
        self.old = old or nn.Identity()
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Blend the outputs of both for an input (B, C, H, W)."""
        share = torch.where(self.gate < 0, -self.gate, self.gate)  # has a gradient at 0
        return torch.lerp(old := self.old(x), self.new(x).to(old.dtype), share.to(old.dtype))
