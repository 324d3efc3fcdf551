import pytest
import torch
from torch import nn

from reseen.engine.step import mean_loss, set_rate, step
from reseen.errors import ReseenError


def test_step_goes_down_and_returns_the_loss_before():
    weight = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], 0.1)
    for _ in range(2):  # a second step must not see the first one's gradient
        before = weight.item()
        loss = step(weight**2, optimizer)
        assert loss.item() == pytest.approx(before**2) and not loss.requires_grad
        assert weight.item() == pytest.approx(before - 0.1 * 2 * before)


def test_set_rate_reaches_every_group():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.2)]
    optimizer = torch.optim.SGD(groups)
    set_rate(optimizer, 0.05)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_round(wrong):
    assert mean_loss([torch.tensor(1.0), torch.tensor(2.0)]) == 1.5
    with pytest.raises(ReseenError, match="The loss became"):
        mean_loss([torch.tensor(1.0), torch.tensor(wrong)])
