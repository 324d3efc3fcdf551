import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.losses.triplet import batch_hard, euclidean, soft_triplet, softmax_triplet


def batch(seed, size=12, clusters=4):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.arange(size) % clusters
    return torch.randn(size, 5, generator=generator, dtype=torch.float64), ids


def mined(vectors, ids, power=1):
    """Farthest of the same id and nearest of another, image by image."""
    for anchor, mine in zip(vectors, ids, strict=True):
        own, rest = [], []
        for other, its in zip(vectors, ids, strict=True):
            gap = math.dist(anchor.tolist(), other.tolist()) ** power
            (own if its == mine else rest).append(gap)
        yield max(own), min(rest)


@pytest.mark.parametrize("squared", [False, True])
@given(st.integers(0, 10_000), st.floats(0, 3))
@settings(max_examples=20, deadline=None)
def test_batch_hard_is_its_loop(squared, seed, margin):
    vectors, ids = batch(seed)
    pairs = mined(vectors, ids, 2 if squared else 1)
    terms = [max(0.0, own - other + margin) for own, other in pairs]
    found = batch_hard(vectors, ids, margin, squared=squared)
    assert float(found) == pytest.approx(sum(terms) / len(terms))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_softmax_triplet_is_its_loop(seed):
    vectors, ids = batch(seed)
    terms = [
        -math.log(math.exp(other) / (math.exp(other) + math.exp(own)))
        for own, other in mined(vectors, ids)
    ]
    assert float(softmax_triplet(vectors, ids)) == pytest.approx(sum(terms) / len(terms))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_soft_triplet_is_its_loop(seed):
    """Eqs. 6 and 8 of MMT: the network that learns chooses the triplets of both."""
    vectors, ids = batch(seed)
    wanted, _ = batch(seed + 1)
    terms = []
    for i, (x, k) in enumerate(zip(vectors, ids, strict=True)):
        gaps = [math.dist(x.tolist(), y.tolist()) for y in vectors]
        own = max((gap, j) for j, gap in enumerate(gaps) if ids[j] == k)[1]
        other = min((gap, j) for j, gap in enumerate(gaps) if ids[j] != k)[1]

        def clear(of, i=i, own=own, other=other):
            near, far = (math.exp(math.dist(of[i].tolist(), of[j].tolist())) for j in (own, other))
            return far / (near + far)

        t, w = clear(vectors), clear(wanted)
        terms.append(-w * math.log(t) - (1 - w) * math.log(1 - t))
    assert float(soft_triplet(vectors, wanted, ids)) == pytest.approx(sum(terms) / len(terms))


def test_a_soft_triplet_teaches_the_network_that_learns_alone():
    (vectors, ids), (wanted, _) = batch(0), batch(1)
    vectors.requires_grad_(), wanted.requires_grad_()
    soft_triplet(vectors, wanted, ids).backward()
    assert vectors.grad.any() and wanted.grad is None


def test_by_hand():
    vectors, ids = torch.tensor([[0.0], [1.0], [3.0], [3.0]]), torch.tensor([0, 0, 1, 1])
    # squared: own 1, 1, 0, 0; other 9, 4, 4, 4
    assert float(batch_hard(vectors, ids, 5.0, squared=True)) == pytest.approx((0 + 2 + 1 + 1) / 4)


def squared_hard(vectors, ids):
    return batch_hard(vectors, ids, 9.0, squared=True)


@pytest.mark.parametrize("loss", [softmax_triplet, squared_hard])
def test_a_step_down_pushes_strangers_away_and_pulls_friends_in(loss):
    """As Eq. 8 of ConsLearn is printed, it would do the opposite."""
    vectors = torch.tensor([[0.0], [2.0], [3.0], [5.0]], requires_grad=True)
    loss(vectors, torch.tensor([0, 0, 1, 1])).backward()
    moved = vectors.detach() - 0.1 * vectors.grad
    assert moved[1] - moved[0] < 2 and moved[2] - moved[1] > 1


def test_nothing_to_learn_where_all_is_well():
    vectors = torch.tensor([[0.0, 0], [0, 0.1], [5, 0], [5, 0.1]], requires_grad=True)
    loss = batch_hard(vectors, torch.tensor([0, 0, 1, 1]), 0.3)
    loss.backward()
    assert loss == 0 and not vectors.grad.any()


@pytest.mark.parametrize("loss", [softmax_triplet, squared_hard, lambda v, i: batch_hard(v, i, 1)])
def test_copies_have_a_gradient(loss):
    vectors = torch.ones(4, 3, requires_grad=True)
    loss(vectors, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(vectors.grad).all()
    assert torch.allclose(euclidean(vectors, squared=True), torch.zeros(4, 4), atol=1e-6)
