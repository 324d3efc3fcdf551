"""Harmonious attention, its soft part: weights of places times weights of channels (HA-CNN)."""

import torch.nn.functional as F
from torch import Tensor, nn


class HarmoniousAttention(nn.Module):
    """Weigh every voxel by learnt weights of places times learnt weights of channels, mixed.

    The layers and their numbers of weights are those of the paper: 9 and 1 for places, 2 C^2 / r
    for channels, C^2 to mix. Its hard attention, which feeds local branches, is not included.

    Source: Li et al., Harmonious Attention Network for Person Re-Identification, CVPR 2018,
    Sec. 3.1 (soft spatial-channel attention).

    Args:
        channels: C of the map.
        ratio: by which the number of hidden units of the channel part is smaller (r). Paper: 16.
    """

    def __init__(self, channels: int, ratio: int = 16):
        super().__init__()
        self.place = nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False)
        self.scale = nn.Conv2d(1, 1, 1, bias=False)
        self.squeeze = nn.Linear(channels, max(1, channels // ratio), bias=False)
        self.excite = nn.Linear(max(1, channels // ratio), channels, bias=False)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh a map (B, C, H, W)."""
        return self.weights(x) * x

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight of every voxel of a map (B, C, H, W), in the same shape."""
        coarse = self.place(x.mean(1, keepdim=True))
        fine = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
        channel = self.excite(F.relu(self.squeeze(x.mean((2, 3)))))
        return self.mix(self.scale(fine) * channel[:, :, None, None]).sigmoid()
