import math

import pytest
import torch

from reseen.losses.instances import many_instances
from tests.losses.plain import TARGETS, dot, softmax, unit


def test_many_instances_equal_the_sum_written_out():
    vectors, rows, total = unit(7, 5), unit(4, 3, 5, seed=1), 0.0
    for x, own in zip(vectors.tolist(), TARGETS.tolist(), strict=True):
        similar = [[dot(x, row) for row in rows[k].tolist()] for k in range(4)]
        logits = [(min if k == own else max)(similar[k]) / 0.3 for k in range(4)]
        total -= math.log(softmax(logits)[own])
    loss = many_instances(vectors, rows, TARGETS, 0.3)
    assert float(loss) == pytest.approx(total / 7, rel=1e-12)


def test_gradients_are_those_of_small_steps():
    rows = unit(4, 3, 5, seed=1)

    def loss(vectors):
        return many_instances(vectors, rows, TARGETS, 0.3)

    torch.autograd.gradcheck(loss, unit(7, 5).requires_grad_())
