import pytest
import torch
from torch import nn

from reseen.errors import SettingsError
from reseen.nets.teacher import TeacherSettings, warmed_up


def encoder():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def wander(net):
    with torch.no_grad():
        for weight in net.parameters():
            weight += 1


def test_the_momentum_rises_from_nothing_to_its_value():
    """NCPLR's rule, with numbers by hand: b = 200 (1 - 0.9) = 20."""
    assert warmed_up(1, 200, 0.9) == 0
    assert warmed_up(21, 200, 0.9) == pytest.approx(0.5)
    assert warmed_up(181, 200, 0.9) == pytest.approx(0.9)
    assert warmed_up(500, 200, 0.9) == 0.9
    rising = [warmed_up(step, 200, 0.9) for step in range(1, 300)]
    assert rising == sorted(rising)


def test_the_mean_follows_by_the_warm_up():
    net = encoder()
    teacher = TeacherSettings(teacher=True, teacher_momentum=0.9).follow(net, 40)
    expected = net.weight.detach().clone()
    for step in range(1, 8):
        wander(net)
        teacher.update()
        stays = warmed_up(step, 40, 0.9)
        expected = stays * expected + (1 - stays) * net.weight.detach()
        torch.testing.assert_close(teacher.net.weight, expected)
    assert set(teacher.parts) == {"student", "teacher"}
    other = TeacherSettings(teacher=True, teacher_momentum=0.9).follow(net, 40)
    other.load_state_dict(teacher.state_dict())
    other.net.load_state_dict(teacher.net.state_dict())
    wander(net)
    teacher.update()
    other.update()
    assert other.state_dict() == teacher.state_dict() == {"step": 8}
    assert torch.equal(other.net.weight, teacher.net.weight)


def test_without_a_teacher_the_encoder_is_its_own():
    net = encoder()
    teacher = TeacherSettings().follow(net, 40)
    teacher.update()
    assert teacher.net is net and teacher.parts == {}
    vectors = torch.ones(2, 2, requires_grad=True)
    assert not teacher.see(torch.zeros(2, 3), vectors).requires_grad


def test_the_teacher_sees_without_gradient():
    net = encoder()
    teacher = TeacherSettings(teacher=True).follow(net, 40)
    pixels = torch.ones(2, 3)
    expected = net(pixels)
    wander(net)
    assert torch.equal(teacher.see(pixels, net(pixels)), expected)
    assert not teacher.see(pixels, net(pixels)).requires_grad


def test_an_impossible_momentum_is_refused():
    with pytest.raises(SettingsError, match=r"teacher_momentum is 1"):
        TeacherSettings(teacher_momentum=1.0)
