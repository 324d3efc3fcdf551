"""Pooling: from a map (B, C, H, W) to one vector an image (B, C)."""

import torch
from torch import Tensor, nn

from reseen.errors import SettingsError


def average(x: Tensor) -> Tensor:
    """Take the mean over all places: (B, C, H, W) to (B, C)."""
    return x.mean((2, 3))


def maximum(x: Tensor) -> Tensor:
    """Take the largest value over all places: (B, C, H, W) to (B, C)."""
    return x.amax((2, 3))


def average_and_maximum(x: Tensor) -> Tensor:
    """Add mean and maximum: (B, C, H, W) to (B, C)."""
    return average(x) + maximum(x)


class GeM(nn.Module):
    """Generalised mean pooling: (mean(x^p))^(1/p), with p learnt, one for all channels.

    Source: Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019,
    Eq. 4. p = 1 is the mean; a large p comes close to the maximum.

    Args:
        p: exponent to start from.
        eps: values below are raised to it, so that the power has a gradient.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6):
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Pool a map (B, C, H, W) to (B, C), in float32 because powers overflow in 16 bits."""
        with torch.autocast(x.device.type, enabled=False):
            powers = (x.float().clamp(min=self.eps).log() * self.p).exp()  # faster than pow
            return average(powers).pow(1 / self.p)


class _Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


POOLINGS = {
    "mean": lambda: _Function(average),
    "max": lambda: _Function(maximum),
    "mean+max": lambda: _Function(average_and_maximum),
    "gem": GeM,
}


def pooling(name: str) -> nn.Module:
    """Make the pooling called `name`: mean, max, mean+max or gem.

    Raises:
        SettingsError: there is no pooling of that name.
    """
    if name not in POOLINGS:
        raise SettingsError(f"pooling is {name!r}. Use one of: {', '.join(POOLINGS)}.")
    return POOLINGS[name]()
