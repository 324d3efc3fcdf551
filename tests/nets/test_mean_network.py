import pytest
import torch
from torch import nn

from reseen.nets.mean_network import MeanNetwork


def learning():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def wander(net):
    net.train()(torch.randn(8, 3))  # moves the statistics
    with torch.no_grad():
        for weight in net.parameters():
            weight += torch.randn(weight.shape)


@pytest.mark.parametrize("ages", [(0,), (1,), (0, 1), (0, 1, 2)])
def test_follows_by_the_rule(ages):
    """Eq. 2 of ConsLearn and the rules of its Table 6, one number at a time."""
    net = learning()
    mean = MeanNetwork(net, momentum=0.9, ages=ages)
    mean.forget()
    past = [{name: value.clone() for name, value in net.state_dict().items()}]
    expected = {name: value.clone() for name, value in net.state_dict().items()}
    for _ in range(14):
        wander(net)
        mean.update()
        past.append({name: value.clone() for name, value in net.state_dict().items()})
        for name in expected:
            looked = [past[max(0, len(past) - 1 - age)][name] for age in ages]
            if name.endswith("num_batches_tracked"):
                expected[name] = looked[0] if ages[0] == 0 else past[-1][name]
            else:
                seen = past[-1]["1.num_batches_tracked"].item()
                new = 0.1 if "running" not in name else min(1, max(0.1, 10 / seen))
                expected[name] = (1 - new) * expected[name] + new * sum(looked) / len(looked)
    assert "1.running_mean" in expected
    for name, value in mean.net.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_statistics_of_a_new_layer_are_right_long_before_its_weights_follow():
    """The neck begins at mean 0 and variance 1, where vectors of a trained backbone are not."""
    net = nn.Sequential(nn.BatchNorm1d(4))
    mean = MeanNetwork(net, momentum=0.999)
    torch.manual_seed(0)
    for _ in range(60):
        net.train()(5 + 3 * torch.randn(64, 4))
        mean.update()
    torch.testing.assert_close(mean.net[0].running_mean, torch.full((4,), 5.0), atol=0.3, rtol=0)
    torch.testing.assert_close(mean.net[0].running_var, torch.full((4,), 9.0), atol=1, rtol=0)


def test_without_momentum_it_is_the_network_itself():
    net = learning()
    mean = MeanNetwork(net, momentum=0)
    wander(net)
    mean.update()
    x = torch.randn(5, 3)
    torch.testing.assert_close(mean.net(x), net.eval()(x))


def test_a_momentum_of_one_update_is_for_that_update_alone():
    """1 - 1 / step makes it the plain mean of what the network was (MMT, authors' code)."""
    net = learning()
    mean = MeanNetwork(net, momentum=0.9)
    seen = []
    for step in range(1, 5):
        wander(net)
        mean.update(1 - 1 / step)
        seen.append(net[0].weight.detach().clone())
    torch.testing.assert_close(mean.net[0].weight, torch.stack(seen).mean(0))
    before = mean.net[0].weight.clone()
    mean.update()
    torch.testing.assert_close(mean.net[0].weight, 0.9 * before + 0.1 * seen[-1])


def test_it_begins_equal_learns_nothing_and_leaves_the_network_alone():
    net = learning()
    mean = MeanNetwork(net, momentum=0.5)
    assert not mean.net.training and net.training
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert all(torch.equal(v, before[k]) for k, v in mean.net.state_dict().items())
    assert all(not weight.requires_grad for weight in mean.net.parameters())
    assert all(weight.requires_grad for weight in net.parameters())
    mean.net(torch.randn(5, 3))
    mean.update()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_forgetting_is_what_a_new_one_knows():
    """A run that resumes has no past; one that goes on must not have one either."""
    net = learning()
    old = MeanNetwork(net, momentum=0.5, ages=(1,))
    for _ in range(3):
        wander(net)
        old.update()
    new = MeanNetwork(net, momentum=0.5, ages=(1,))
    new.net.load_state_dict(old.net.state_dict())
    old.forget(), new.forget()
    wander(net)
    old.update(), new.update()
    for name, value in old.net.state_dict().items():
        assert torch.equal(value, new.net.state_dict()[name])


@pytest.mark.parametrize("ages", [(0,), (0, 1)])
def test_a_network_without_weights_may_be_followed(ages):
    mean = MeanNetwork(nn.Identity(), momentum=0.5, ages=ages)
    mean.forget()
    mean.update()
    assert not mean.net.state_dict()
