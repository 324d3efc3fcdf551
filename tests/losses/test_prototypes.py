import math

import pytest
import torch

from reseen.losses.contrastive import cluster_nce
from reseen.losses.prototypes import two_prototypes
from tests.losses.plain import TARGETS, dot, softmax, unit


@pytest.mark.parametrize("margin", [0.0, 0.2, 50.0])
def test_two_prototypes_equal_the_sum_written_out(margin):
    vectors, mean, hard = unit(7, 5), unit(4, 5, seed=1), unit(4, 5, seed=2)
    sums = []
    for centres in (mean.tolist(), hard.tolist()):
        told = 0.0
        for x, own in zip(vectors.tolist(), TARGETS.tolist(), strict=True):
            told -= math.log(softmax([dot(x, c) / 0.3 for c in centres])[own])
        sums.append(told / len(vectors))
    expected = (sums[0] + max(0.0, sums[1] - margin)) / 2
    loss = two_prototypes(vectors, mean, hard, TARGETS, 0.3, margin)
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    same = two_prototypes(vectors, mean, mean, TARGETS, 0.3, 0.0)
    assert float(same) == pytest.approx(float(cluster_nce(vectors, mean, TARGETS, 0.3)))


def test_gradients_are_those_of_small_steps():
    centres = unit(4, 5, seed=1), unit(4, 5, seed=2)

    def loss(vectors):
        return two_prototypes(vectors, *centres, TARGETS, 1.0, 0.2)

    torch.autograd.gradcheck(loss, unit(7, 5).requires_grad_())
