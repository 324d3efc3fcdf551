from dataclasses import replace

import pytest
import torch

from reseen.engine import device as module
from reseen.engine import processes
from reseen.engine.device import Device
from reseen.engine.folder import read_facts
from reseen.engine.progress import Screen
from reseen.engine.run import Run
from reseen.errors import SettingsError
from reseen.nets.encoder import Encoder, build
from tests.conftest import TINY

WIDE = replace(TINY, height=96, width=48)
"""An encoder whose last map is two pixels wide."""


def test_auto_is_resolved_to_something_that_is_here():
    here = Device().resolve()
    assert here.name != "auto" and here.precision in ("float32", "bfloat16")
    assert here.resolve() == here


def test_place_sets_precision_and_memory_format():
    encoder = Device(name="cpu", precision="bfloat16").place(build(WIDE))
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


class Clock:
    """Tells a time that passes by itself, and by a step in either precision."""

    def __init__(self, monkeypatch, **steps):
        self.now, self.tried, whole = 0.0, [], Encoder.map

        def step(encoder, pixels):
            assert encoder.training and pixels.shape == (module.TRIED, 3, 96, 48)
            self.now += steps[encoder.precision]
            self.tried.append(encoder.precision)
            return whole(encoder, pixels)

        monkeypatch.setattr(Encoder, "map", step)
        monkeypatch.setattr(module, "perf_counter", lambda: self.now)
        monkeypatch.setattr(module, "_has_bfloat16", lambda _: True)


@pytest.mark.parametrize(
    ("half", "chosen", "times"),
    [(0.1, "bfloat16", 3), (0.29, "float32", 1.03), (0.9, "float32", 0.33)],
)
def test_auto_takes_what_is_clearly_faster(monkeypatch, half, chosen, times):
    clock = Clock(monkeypatch, float32=0.3, bfloat16=half)
    encoder = build(WIDE)
    encoder.neck.running_mean += 1
    before, random = {n: v.clone() for n, v in encoder.state_dict().items()}, torch.get_rng_state()
    here, said = Device(name="cpu").measured(encoder)
    assert (here.name, here.precision) == ("cpu", chosen)
    assert (
        f"precision {chosen}: with squeezenet1_1 at 96 x 48" in said
        and f"{times:.2f} times" in said
    )
    assert len(clock.tried) >= 6 and set(clock.tried[::2]) == {"float32"}  # they take turns
    assert torch.equal(random, torch.get_rng_state()) and encoder.precision == "float32"
    assert all(torch.equal(before[n], v) for n, v in encoder.state_dict().items())
    assert all(weight.grad is None for weight in encoder.parameters())


def test_nothing_is_tried_where_there_is_no_choice(monkeypatch):
    clock = Clock(monkeypatch, float32=0.3, bfloat16=0.1)
    asked = Device(name="cpu", precision="float32")
    assert asked.measured(build(WIDE)) == (asked, "")
    narrow = build(replace(TINY, backbone="resnet18", height=64, width=32))
    assert Device(name="cpu").measured(narrow)[1] == ""  # one pixel wide: not sound
    monkeypatch.setattr(module, "_has_bfloat16", lambda _: False)
    assert Device(name="cpu").measured(build(WIDE))[1] == ""
    assert not clock.tried


def trained(run, rounds):
    encoder = run.build(WIDE)
    for _ in run.rounds(rounds, encoder=encoder):
        pass
    return encoder


def test_a_run_keeps_the_precision_that_was_faster_when_it_began(monkeypatch, tmp_path, capsys):
    clock = Clock(monkeypatch, float32=0.3, bfloat16=0.1)
    for folder, then in (("a", "bfloat16"), ("b", "float32")):
        how = dict(facts={"method": "Nothing", "settings": {}}, screen=Screen())
        run = Run(tmp_path / folder, **how, device=Device(name="cpu"))
        assert trained(run, 1).precision == then
        facts = read_facts(tmp_path / folder)
        assert facts["precision"] == facts["device"]["precision"] == then
        assert capsys.readouterr().err.count(f"precision {then}") == 1
        clock.tried.clear()
        again = Run(tmp_path / folder, **how, device=Device(name="cpu"))
        assert trained(again, 2).precision == then and not clock.tried
        other = {"bfloat16": "float32", "float32": "bfloat16"}[then]
        with pytest.raises(SettingsError, match=f"precision: {then} there, {other} now"):
            Run(tmp_path / folder, **how, device=Device(name="cpu", precision=other))
        monkeypatch.undo()
        clock = Clock(monkeypatch, float32=0.1, bfloat16=0.3)


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(processes, "started", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "ones", lambda *args, **named: torch.zeros(1))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Device(name="cuda", precision="float32").resolve().name == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(SettingsError, match=r"Process 2 .* no GPU of its own: there are 2"):
        Device(name="cuda").resolve()
