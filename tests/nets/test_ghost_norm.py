import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from reseen.nets.ghost_norm import ghost_batch_norm


def net():
    torch.manual_seed(0)
    norms = nn.BatchNorm2d(4), BatchNormAct2d(4)
    return nn.Sequential(nn.Conv2d(3, 4, 3), *norms, nn.Conv2d(4, 2, 1))


def slow(norm, x, group):
    parts = [norm(part) for part in x.split(group)]
    return torch.cat(parts)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, BatchNormAct2d])
def test_each_group_has_its_own_statistics(norm):
    x = torch.randn(12, 4, 5, 3) * torch.arange(1, 13).view(-1, 1, 1, 1)
    plain, ghost = norm(4), ghost_batch_norm(nn.Sequential(norm(4)), 4)
    assert torch.equal(ghost(x), slow(plain, x, 4))
    assert not torch.allclose(ghost(x), norm(4)(x))


def test_running_statistics_move_by_about_one_momentum_a_batch():
    x = torch.randn(64, 4, 8, 8) + 5
    plain, ghost = nn.BatchNorm2d(4), ghost_batch_norm(nn.Sequential(nn.BatchNorm2d(4)), 16)
    for _ in range(20):
        plain(x), ghost(x)
    torch.testing.assert_close(ghost[0].running_mean, plain.running_mean, rtol=0.02, atol=0)
    assert ghost[0].momentum == 0.1


def test_evaluation_names_of_weights_and_copies_are_unchanged():
    plain, ghost = net(), ghost_batch_norm(net(), 2)
    x = torch.randn(4, 3, 6, 6)
    assert list(plain.state_dict()) == list(ghost.state_dict())
    assert torch.equal(plain.eval()(x), ghost.eval()(x))
    twin = copy.deepcopy(ghost.train())
    assert torch.equal(twin(x), ghost(x))


def test_a_batch_below_two_groups_is_one_group():
    x = torch.randn(7, 4, 5, 3)
    assert torch.equal(ghost_batch_norm(nn.BatchNorm2d(4), 4)(x), nn.BatchNorm2d(4)(x))


def test_a_batch_that_is_no_multiple_is_split_nearly_evenly():
    x = torch.randn(11, 4, 5, 3)
    plain, ghost = nn.BatchNorm2d(4), ghost_batch_norm(nn.Sequential(nn.BatchNorm2d(4)), 4)
    assert torch.equal(ghost(x), torch.cat([plain(x[:6]), plain(x[6:])]))


def test_zero_is_off():
    assert type(ghost_batch_norm(net(), 0)[1]) is nn.BatchNorm2d
