from dataclasses import replace

import pytest
import torch

from reseen.engine import processes
from reseen.engine.device import Device
from reseen.errors import SettingsError
from reseen.nets.encoder import build
from tests.conftest import TINY


def test_auto_is_resolved_to_something_that_is_here():
    here = Device().resolve()
    assert here.name != "auto" and here.precision in ("float32", "bfloat16")
    assert here.resolve() == here


def test_place_sets_precision_and_memory_format():
    wide = replace(TINY, height=96, width=48)
    encoder = Device(name="cpu", precision="bfloat16").place(build(wide))
    assert encoder.precision == "bfloat16"
    weight = encoder.get_parameter("backbone.net.3.expand3x3.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["cuda:99", "abacus", "meta"])
def test_a_device_that_is_not_here_is_named(name):
    with pytest.raises(SettingsError, match=f"device.name is '{name}'"):
        Device(name=name).resolve()


def test_unknown_precision_is_refused():
    with pytest.raises(SettingsError, match=r"device\.precision is 'half'"):
        Device(precision="half")


def test_maps_one_pixel_wide_stay_float32_on_a_cpu():
    """bfloat16 gives another result each time there: see Device.place."""
    narrow = replace(TINY, backbone="resnet18", height=64, width=32)
    encoder = Device(name="cpu", precision="bfloat16").place(build(narrow)).train()
    assert encoder.precision == "float32"
    pixels = torch.randint(0, 256, (8, 3, 64, 32), dtype=torch.uint8)
    first = encoder.map(pixels)
    for _ in range(10):
        first.sum().backward(retain_graph=True)  # leaves its rubbish in freed memory
        assert torch.equal(encoder.map(pixels), first)


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(processes, "started", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "ones", lambda *args, **named: torch.zeros(1))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Device(name="cuda", precision="float32").resolve().name == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(SettingsError, match=r"Process 2 .* no GPU of its own: there are 2"):
        Device(name="cuda").resolve()
