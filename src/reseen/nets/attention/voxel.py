"""Voxel attention: activation of the place times weight of the channel (ADTC)."""

import torch.nn.functional as F
from torch import Tensor, nn


class VoxelAttention(nn.Module):
    """Weigh every voxel of a map by its place and its channel.

    Place: softmax over all places of the mean over channels, without parameters. Channel: squeeze
    and excitation. The kernel is their outer product, a = (S x C) * f.

    Source: Ji et al., An Attention-driven Two-stage Clustering Method (ADTC), ECCV 2020, Sec. 3.1,
    Eqs. 1 to 3. Without one part, as in Table 2, its factor is 1.

    The softmax sums to 1, so the values of the map become about H W times smaller (128 times for
    16 x 8 places), which the following layer must compensate, as batch norm does.

    Args:
        channels: C of the map.
        width: number of hidden units of the channel part (d).
        spatial: whether places are weighed.
        channel: whether channels are weighed.
    """

    def __init__(
        self, channels: int, width: int = 800, *, spatial: bool = True, channel: bool = True
    ):
        super().__init__()
        self.spatial = spatial
        self.squeeze = nn.Linear(channels, width, bias=False) if channel else None
        self.excite = nn.Linear(width, channels, bias=False) if channel else None

    def forward(self, x: Tensor) -> Tensor:
        """Weigh a map (B, C, H, W)."""
        return self.weights(x) * x  # Eq. 1

    def weights(self, x: Tensor) -> Tensor:
        """Return the kernel (B, C or 1, H or 1, W or 1) of a map (B, C, H, W)."""
        kernel = x.new_ones(1, 1, 1, 1)
        if self.spatial:
            mean = x.mean(1, keepdim=True)
            kernel = F.softmax(mean.flatten(2), 2).view_as(mean)  # S, Sec. 3.1
        if self.squeeze is not None and self.excite is not None:
            hidden = F.relu(self.squeeze(x.mean((2, 3))))
            kernel = kernel * self.excite(hidden).sigmoid()[:, :, None, None]  # Eqs. 2 and 3
        return kernel
