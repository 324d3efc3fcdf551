"""Vectors and sums that the tests of losses share."""

import math

import torch
import torch.nn.functional as F

TARGETS = torch.tensor([0, 1, 2, 3, 3, 0, 2])
"""The clusters of seven images."""


def unit(*shape, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, dtype=torch.float64, generator=chance), dim=-1)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(numbers):
    powers = [math.exp(number) for number in numbers]
    return [power / sum(powers) for power in powers]
