import pytest
import torch

from reseen.engine.device import Device
from reseen.errors import SettingsError
from reseen.nets.encoder import build
from tests.conftest import TINY


def test_auto_is_resolved_to_something_that_is_here():
    here = Device().resolve()
    assert here.name != "auto" and here.precision in ("float32", "bfloat16")
    assert here.resolve() == here


def test_place_sets_precision_and_memory_format():
    encoder = Device(name="cpu", precision="bfloat16").place(build(TINY))
    assert encoder.precision == "bfloat16"
    weight = encoder.get_parameter("backbone.net.3.expand3x3.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["cuda:99", "abacus"])
def test_a_device_that_is_not_here_is_named(name):
    with pytest.raises(SettingsError, match=f"device.name is '{name}'"):
        Device(name=name).resolve()


def test_unknown_precision_is_refused():
    with pytest.raises(SettingsError, match=r"device\.precision is 'half'"):
        Device(precision="half")
