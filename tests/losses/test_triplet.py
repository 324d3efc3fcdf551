import numpy as np
import pytest
import torch

from reseen.losses.triplet import batch_hard, euclidean


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(12, 5))), torch.from_numpy(rng.permutation(12) // 3)


@pytest.mark.parametrize("squared", [False, True])
def test_equals_a_plain_loop(batch, squared):
    vectors, ids = batch
    power = 2 if squared else 1
    losses = []
    for anchor, who in zip(vectors, ids, strict=True):
        gaps = [
            (float((anchor - other).norm()) ** power, o)
            for other, o in zip(vectors, ids, strict=True)
        ]
        own = max(gap for gap, o in gaps if o == who)
        stranger = min(gap for gap, o in gaps if o != who)
        losses.append(max(0.0, 0.3 + own - stranger))
    assert batch_hard(vectors, ids, 0.3, squared=squared).item() == pytest.approx(np.mean(losses))


def test_nothing_to_learn_where_all_is_well():
    vectors = torch.tensor([[0.0, 0], [0, 0.1], [5, 0], [5, 0.1]], requires_grad=True)
    loss = batch_hard(vectors, torch.tensor([0, 0, 1, 1]), 0.3)
    loss.backward()
    assert loss == 0 and not vectors.grad.any()


def test_copies_have_a_gradient():
    vectors = torch.ones(4, 3, requires_grad=True)
    batch_hard(vectors, torch.tensor([0, 0, 1, 1]), 0.3).backward()
    assert torch.isfinite(vectors.grad).all()
    assert torch.allclose(euclidean(vectors, squared=True), torch.zeros(4, 4), atol=1e-6)
