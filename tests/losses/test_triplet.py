import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.losses.triplet import batch_hard_triplet, softmax_triplet


def batch(seed, size=12, clusters=4):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(size) % clusters
    return torch.randn(size, 5, generator=generator, dtype=torch.float64), targets


def mined(vectors, targets, distance):
    """Farthest of the own cluster and nearest of another, image by image."""
    for anchor, mine in zip(vectors, targets, strict=True):
        own, rest = [], []
        for other, its in zip(vectors, targets, strict=True):
            (own if its == mine else rest).append(distance(anchor, other))
        yield max(own), min(rest)


@given(st.integers(0, 10_000), st.floats(0, 3))
@settings(max_examples=30, deadline=None)
def test_batch_hard_is_its_loop(seed, margin):
    vectors, targets = batch(seed)
    pairs = mined(vectors, targets, lambda a, b: float(((a - b) ** 2).sum()))
    terms = [max(0.0, near - far + margin) for near, far in pairs]
    found = batch_hard_triplet(vectors, targets, margin)
    assert float(found) == pytest.approx(sum(terms) / len(terms))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_softmax_triplet_is_its_loop(seed):
    vectors, targets = batch(seed)
    pairs = mined(vectors, targets, lambda a, b: math.dist(a.tolist(), b.tolist()))
    terms = [-math.log(math.exp(far) / (math.exp(far) + math.exp(near))) for near, far in pairs]
    assert float(softmax_triplet(vectors, targets)) == pytest.approx(sum(terms) / len(terms))


def test_by_hand():
    vectors, targets = torch.tensor([[0.0], [1.0], [3.0], [3.0]]), torch.tensor([0, 0, 1, 1])
    # squared: own 1, 1, 0, 0; other 9, 4, 4, 4
    assert float(batch_hard_triplet(vectors, targets, 5.0)) == pytest.approx((0 + 2 + 1 + 1) / 4)


@pytest.mark.parametrize("loss", [softmax_triplet, lambda v, t: batch_hard_triplet(v, t, 9.0)])
def test_a_step_down_pushes_strangers_away_and_pulls_friends_in(loss):
    """As Eq. 8 of ConsLearn is printed, it would do the opposite."""
    vectors = torch.tensor([[0.0], [2.0], [3.0], [5.0]], requires_grad=True)
    loss(vectors, torch.tensor([0, 0, 1, 1])).backward()
    moved = vectors.detach() - 0.1 * vectors.grad
    assert moved[1] - moved[0] < 2 and moved[2] - moved[1] > 1


@pytest.mark.parametrize("loss", [softmax_triplet, lambda v, t: batch_hard_triplet(v, t, 0.3)])
def test_copies_of_an_image_give_finite_gradients(loss):
    vectors = torch.ones(4, 3, requires_grad=True)
    loss(vectors, torch.tensor([0, 0, 1, 1])).backward()
    assert vectors.grad.isfinite().all()
