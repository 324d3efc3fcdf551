import math

import pytest
import torch

from reseen.losses.consistency import consistency, soft_cross_entropy


def softmax(row):
    whole = sum(math.exp(v) for v in row)
    return [math.exp(v) / whole for v in row]


def crossed(wanted, scores):
    """H(P, Q), image by image."""
    terms = [
        -sum(p * math.log(q) for p, q in zip(softmax(w), softmax(s), strict=True))
        for w, s in zip(wanted.tolist(), scores.tolist(), strict=True)
    ]
    return sum(terms) / len(terms)


def test_is_its_loop_crosswise():
    torch.manual_seed(0)
    first, second, wanted_first, wanted_second = torch.randn(4, 3, 5, dtype=torch.float64)
    assert float(soft_cross_entropy(first, second)) == pytest.approx(crossed(second, first))
    found = consistency([first, second], [wanted_first, wanted_second])
    expected = crossed(wanted_first, second) + crossed(wanted_second, first)
    assert float(found) == pytest.approx(expected)


def test_the_teacher_gets_no_gradient():
    views = [torch.randn(3, 5, requires_grad=True) for _ in range(4)]
    consistency(views[:2], views[2:]).backward()
    assert all(view.grad.abs().sum() > 0 for view in views[:2])
    assert all(view.grad is None for view in views[2:])


def test_agreement_is_the_least_loss():
    x = torch.randn(4, 6)
    assert soft_cross_entropy(x, x) < soft_cross_entropy(x + torch.randn(4, 6), x)
