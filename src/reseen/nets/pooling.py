"""Pooling: from a map (B, C, H, W) to one vector (B, C) for each image."""

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
    """Generalised mean pooling: (mean(x^p))^(1/p), with one learnt p for all channels.

    Source: Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019,
    Eq. 4. p = 1 is the mean; a large p is close to the maximum.

    Args:
        p: initial exponent.
        eps: smaller values are raised to it, so that the power has a gradient.
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


def stripes(x: Tensor, count: int) -> list[Tensor]:
    """Cut a map (B, C, H, W) into horizontal stripes, from top to bottom.

    If H is less than `count` or not a multiple of it, neighbouring stripes share rows.
    """
    height = x.shape[2]
    ends = [(i * height // count, -(-(i + 1) * height // count)) for i in range(count)]
    return [x[:, :, top:bottom] for top, bottom in ends]


class Striped(nn.Module):
    """Pooling of several horizontal stripes, concatenated: (B, C, H, W) to (B, count C).

    Source: Sun et al., Beyond Part Models (PCB), ECCV 2018, Sec. 3.1.

    Args:
        each: the pooling.
        count: number of stripes.
    """

    def __init__(self, each: nn.Module, count: int):
        super().__init__()
        self.each, self.count = each, count

    def forward(self, x: Tensor) -> Tensor:
        """Pool a map (B, C, H, W) to (B, count C), with the vector of the top stripe first."""
        return torch.cat([self.each(stripe) for stripe in stripes(x, self.count)], 1)


def pooling(name: str, count: int = 1) -> nn.Module:
    """Create the pooling `name`: mean, max, mean+max or gem, of `count` stripes.

    Raises:
        SettingsError: the name is unknown.
    """
    if name not in POOLINGS:
        raise SettingsError(f"pooling is {name!r}. Use one of: {', '.join(POOLINGS)}.")
    each = POOLINGS[name]()
    return each if count == 1 else Striped(each, count)
