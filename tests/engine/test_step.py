import pytest
import torch
from torch import nn

from reseen.engine.step import ScheduleSettings, SgdSettings, averaged, set_rate, step
from reseen.errors import ReseenError
from reseen.nets.encoder import build
from tests.conftest import TINY


def test_step_goes_down_and_returns_the_loss_before():
    weight = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], 0.1)
    for _ in range(2):  # a second step must not see the first one's gradient
        before = weight.item()
        loss = step(weight**2, optimizer)["loss"]
        assert loss.item() == pytest.approx(before**2) and not loss.requires_grad
        assert weight.item() == pytest.approx(before - 0.1 * 2 * before)


def test_set_rate_reaches_every_group():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.2)]
    optimizer = torch.optim.SGD(groups)
    set_rate(optimizer, 0.05)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_round(wrong):
    right = {"loss": torch.tensor(1.0)}
    assert averaged([right, {"loss": torch.tensor(2.0)}]) == {"loss": 1.5}
    with pytest.raises(ReseenError, match="The loss became"):
        averaged([right, {"loss": torch.tensor(wrong)}])


def test_terms_and_rate_are_averaged_by_name():
    weight = nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([dict(params=[weight], share=0.1)], 0.01)
    first = step(3 * weight, optimizer, ce=1 * weight)
    second = step(3 * weight, optimizer, ce=1 * weight, triplet=2 * weight)
    assert not any(number.requires_grad for number in second.values())
    found = averaged([first, second])
    assert list(found) == ["loss", "loss_ce", "rate", "loss_triplet"]
    now = weight.item() + 0.03  # before the second step
    assert found["loss_ce"] == pytest.approx((now + 1) / 2)
    assert found["loss_triplet"] == pytest.approx(2 * now)  # of the steps that have it
    assert found["rate"] == pytest.approx(0.1)


def test_the_rate_of_adam_falls_in_steps():
    settings = ScheduleSettings(rate=1.0, rate_step=2, weight_decay=0.5)
    assert [settings.rate_at(done) for done in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert ScheduleSettings(rate=1.0, rate_step=0).rate_at(99) == 1.0
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    optimizer = settings.adam(torch.nn.Linear(2, 1), frozen, done=2)
    (group,) = optimizer.param_groups
    assert len(group["params"]) == 2 and group["weight_decay"] == 0.5
    assert group["lr"] == pytest.approx(0.1)


def test_the_backbone_of_sgd_learns_slower_and_all_rates_fall_once():
    encoder = build(TINY)
    settings = SgdSettings(rate=1.0, rate_hold=3, backbone_rate=0.1)
    optimizer = settings.sgd(encoder)
    assert len(optimizer.param_groups[0]["params"]) == len(list(encoder.backbone.parameters()))
    for done, rates in ((0, [0.1, 1.0]), (2, [0.1, 1.0]), (3, [0.01, 0.1])):
        settings.set_rates(optimizer, done)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(rates)
