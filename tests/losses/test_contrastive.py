import math

import pytest
import torch
import torch.nn.functional as F

from reseen.losses.contrastive import cluster_nce


def slow_cluster_nce(vectors, centres, targets, temperature):
    total = 0.0
    for x, own in zip(vectors.tolist(), targets.tolist(), strict=True):
        scores = [
            math.exp(sum(a * b for a, b in zip(x, c, strict=True)) / temperature)
            for c in centres.tolist()
        ]
        total -= math.log(scores[own] / sum(scores))
    return total / len(vectors)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_equals_the_sum_written_out(temperature):
    vectors = F.normalize(torch.randn(7, 5, dtype=torch.float64))
    centres = F.normalize(torch.randn(4, 5, dtype=torch.float64))
    targets = torch.tensor([0, 1, 2, 3, 3, 0, 2])
    loss = cluster_nce(vectors, centres, targets, temperature)
    assert float(loss) == pytest.approx(
        slow_cluster_nce(vectors, centres, targets, temperature), rel=1e-9
    )


def test_pulls_to_the_own_centre_only():
    vectors = torch.tensor([[1.0, 0.0]], requires_grad=True)
    centres = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    cluster_nce(vectors, centres, torch.tensor([0]), 0.5).backward()
    assert vectors.grad is not None
    towards = -vectors.grad[0]
    assert towards @ centres[0] > 0 > towards @ centres[1]
