import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseen.losses.soft import soft_cross_entropy


def case(seed=0):
    draw = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(5, 6, generator=draw))
    table = F.normalize(torch.randn(9, 6, generator=draw))
    targets = torch.tensor([3, 0, 8, 1, 3])
    reliable = torch.tensor([[1, 2], [5, 4], [0, 1], [7, 8], [2, 6]])
    return vectors, table, targets, reliable


@pytest.mark.parametrize("own", [0.0, 0.6, 1.0])
def test_equals_the_sum_over_all_classes(own):
    """Eq. 2 with the targets of Eq. 3."""
    vectors, table, targets, reliable = case()
    losses = []
    for x, y, near in zip(vectors, targets.tolist(), reliable.tolist(), strict=True):
        power = [np.exp(float(row @ x) / 0.1) for row in table]
        loss = 0.0
        for j, p in enumerate(power):
            target = own if j == y else (1 - own) / 2 if j in near else 0.0
            loss -= target * np.log(p / sum(power))
        losses.append(loss)
    found = soft_cross_entropy(vectors, table, targets, reliable, own, 0.1)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_with_lambda_1_it_is_the_hard_loss_of_the_first_stage():
    vectors, table, targets, reliable = case()
    hard = F.cross_entropy(vectors @ table.T / 0.1, targets)
    torch.testing.assert_close(soft_cross_entropy(vectors, table, targets, reliable, 1, 0.1), hard)
