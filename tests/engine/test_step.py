from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reseen.engine.step import (
    NewLayerSettings,
    ScheduleSettings,
    SgdSettings,
    averaged,
    set_rate,
    step,
)
from reseen.errors import ReseenError, SettingsError
from reseen.nets.attention import attention
from reseen.nets.attention.gate import Gate
from reseen.nets.encoder import build
from tests.conftest import TINY

OLD = dict(new_rate=1.0, gate_rate=1.0, new_decay=1.0)
"""All that learns has one rate and one decay."""


def test_step_goes_down_and_returns_the_loss_before():
    weight = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], 0.1)
    for _ in range(2):  # a second step must not see the first one's gradient
        before = weight.item()
        loss = step(weight**2, optimizer)["loss"]
        assert loss.item() == pytest.approx(before**2) and not loss.requires_grad
        assert weight.item() == pytest.approx(before - 0.1 * 2 * before)


def test_set_rate_reaches_every_group_and_keeps_its_share():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.2)]
    optimizer = torch.optim.SGD([*groups, {"params": [nn.Parameter(torch.zeros(1))], "share": 3}])
    set_rate(optimizer, 0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.05, 0.15])


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


ATTENDED = replace(TINY, attention=("pixel",), attention_gate=True)


def terms(optimizer, encoder):
    """Give rate and weight decay of each weight by its name."""
    names = {weight: name for name, weight in encoder.named_parameters()}
    return {
        names[weight]: (pytest.approx(group["lr"]), pytest.approx(group["weight_decay"]))
        for group in optimizer.param_groups
        for weight in group["params"]
    }


@pytest.mark.parametrize("place", ["in", "after"])
def test_new_layers_and_gates_have_their_own_rate_and_no_decay_wherever_they_hang(place):
    settings = ScheduleSettings(rate=1.0, weight_decay=0.5, new_rate=2.0, gate_rate=30.0)
    encoder = build(replace(ATTENDED, attention_place=place))
    found = terms(settings.adam(encoder), encoder)
    new = {name: of for name, of in found.items() if "around" in name}
    (gate,) = (name for name in found if name.endswith("gate"))
    assert len(new) == 2 and all(of == (2.0, 0.0) for of in new.values())
    assert found[gate] == (30.0, 0.0)
    rest = {name: of for name, of in found.items() if ".new." not in name and name != gate}
    assert "neck.weight" in rest and all(of == (1.0, 0.5) for of in rest.values())
    assert len(found) == sum(weight.requires_grad for weight in encoder.parameters())
    found = terms(settings.adam(encoder, done=20), encoder)
    assert found[gate] == (3.0, 0.0)


def test_without_a_gate_only_norms_and_biases_are_not_decayed():
    encoder = build(replace(ATTENDED, attention_gate=False))
    found = terms(ScheduleSettings(rate=1.0, weight_decay=0.5).adam(encoder), encoder)
    assert found["attention.0.around.weight"] == (1.0, 0.5)
    assert found["attention.0.around.bias"] == (1.0, 0.0)


def test_attention_inside_the_backbone_learns_at_the_full_rate_of_sgd():
    encoder = build(replace(ATTENDED, attention_place="in"))
    settings = SgdSettings(rate=1.0, backbone_rate=0.1, rate_hold=1)
    optimizer = settings.sgd(encoder)
    for done, rate in ((0, 1.0), (1, 0.1)):
        settings.set_rates(optimizer, done)
        found = terms(optimizer, encoder)
        rates = {name: of[0] for name, of in found.items() if ".new." in name or "gate" in name}
        assert len(rates) > 2 and set(map(str, rates.values())) == {str(pytest.approx(rate))}
        assert found["backbone.net.0.weight"][0] == rate / 10


@pytest.mark.parametrize("old", [{}, OLD])
def test_one_group_is_left_without_attention_or_with_the_old_settings(old):
    encoder = build(ATTENDED if old else TINY)
    (group,) = ScheduleSettings(**old).adam(encoder).param_groups
    learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
    assert all(one is two for one, two in zip(group["params"], learnt, strict=True))
    assert (group["lr"], group["weight_decay"]) == (3.5e-4, 5e-4)


@pytest.mark.parametrize("wrong", [{"gate_rate": 0.0}, {"new_rate": -1.0}, {"new_decay": 2.0}])
def test_impossible_terms_are_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        NewLayerSettings(**wrong)


class Drawn:
    """Maps (64, 32, 8, 4) of known people who stand anywhere, in front of what says nothing.

    The mean of a map is spoilt by its background; attention can tell the person by channel 0.
    """

    def __init__(self):
        self.chance = torch.Generator().manual_seed(0)
        self.people = 2 * self.normal(24, 32, 1, 1).relu()

    def normal(self, *shape):
        return torch.randn(shape, generator=self.chance)

    def batch(self):
        ids = torch.randint(24, (64,), generator=self.chance)
        row = torch.randint(4, (64, 1, 1), generator=self.chance)
        column = torch.randint(3, (64, 1, 1), generator=self.chance)
        down, along = torch.arange(8)[:, None] - row, torch.arange(4) - column
        person = ((down >= 0) & (down < 4) & (along >= 0) & (along < 2))[:, None]
        behind = 3 * self.normal(64, 32, 1, 1).relu() + 0.5 * self.normal(64, 32, 8, 4).abs()
        ahead = self.people[ids] + 0.3 * self.normal(64, 32, 1, 1).abs()
        behind[:, 0] *= 0.3
        ahead[:, 0] = 3 * (0.5 + torch.rand((64, 1, 1), generator=self.chance))
        return torch.where(person, ahead, behind), ids


@pytest.mark.parametrize(
    ("terms", "least", "most"), [({}, 0.5, 2.0), (OLD, 0.0, 0.1)], ids=["own groups", "one group"]
)
def test_a_gate_opens_where_attention_helps_and_its_layers_keep_their_weight(terms, least, most):
    """120 steps with the rate of most methods. With one rate and decay for all the gate stays shut
    and decay erases what is behind it."""
    torch.manual_seed(1)  # the untrained layer harms, so that the gate falls below 0 at first
    drawn = Drawn()
    gate = Gate(attention(("pixel", "domain"), 32, {})[0])
    neck = nn.BatchNorm1d(32)
    layers = [weight for weight in gate.new.parameters() if weight.ndim > 1]
    before = [weight.detach().norm() for weight in layers]
    optimizer = ScheduleSettings(**terms).adam(gate, neck)
    centres, losses = F.normalize(drawn.people.flatten(1)), []
    for _ in range(120):
        maps, ids = drawn.batch()
        vectors = F.normalize(neck(gate(maps).mean((2, 3))))
        losses.append(step(F.cross_entropy(vectors @ centres.T / 0.05, ids), optimizer)["loss"])
    kept = min(weight.norm() / size for weight, size in zip(layers, before, strict=True))
    assert least < gate.gate.abs() < most
    assert (kept > 0.8) == (losses[-1] < 1) == (not terms)
