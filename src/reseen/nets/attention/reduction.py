"""Reduction of channels before attention."""

from torch import nn


class Reduction(nn.Conv2d):
    """Reduce a map (B, C, H, W) to (B, reduced, H, W) by a 1 x 1 convolution.

    Another interpretation of "the output channels are set as 800" in Ji et al., ADTC, Sec. 4.2; the
    vectors of the encoder then have this size.

    Args:
        channels: C of the map.
        reduced: number of output channels.
    """

    def __init__(self, channels: int, reduced: int = 800):
        super().__init__(channels, reduced, 1, bias=False)
