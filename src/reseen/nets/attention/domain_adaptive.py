"""Domain adaptive attention: the part of a map that two domains share (DAAL)."""

import torch.nn.functional as F
from torch import Tensor, nn


class DomainAdaptiveAttention(nn.Module):
    """Keep the part of a map that both domains share: A(F) * F; the rest is (1 - A(F)) * F.

    A has a 3 x 3 convolution of stride 2 (depth-wise, then 1 x 1 to half the channels), whose
    output is upsampled, and then two 1 x 1 convolutions with few channels in between. Batch norm
    follows each of the three, and ReLU the first two; the last ends in a sigmoid, because A is
    between 0 and 1, and a ReLU before the sigmoid would keep A above 0.5.

    Source: Huang et al., Domain Adaptive Attention Learning for Unsupervised Person
    Re-Identification (DAAL), AAAI 2020, Eq. 1 and Fig. 3.

    Args:
        channels: C of the map.
        ratio: by which the channels between the 1 x 1 convolutions are fewer. Paper: 16.
    """

    def __init__(self, channels: int, ratio: int = 16):
        super().__init__()
        half, few = max(1, channels // 2), max(1, channels // ratio)
        self.around = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 2, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
        )
        self.across = nn.Sequential(
            nn.Conv2d(half, few, 1, bias=False),
            nn.BatchNorm2d(few),
            nn.ReLU(),
            nn.Conv2d(few, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )

    splits = True
    """The rest of the map is used as well, as the domain's own map."""

    def weights(self, x: Tensor) -> Tensor:
        """Return A(F), (B, C, H, W), 0 to 1, of a map of this shape."""
        seen = F.interpolate(self.around(x), x.shape[2:], mode="bilinear", align_corners=False)
        return self.across(seen)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh a map (B, C, H, W)."""
        return self.weights(x) * x  # Eq. 1
