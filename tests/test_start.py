"""Runs that start from a run: what is taken over, and what does not fit."""

from dataclasses import replace
from shutil import rmtree

import pytest
import torch

from reseen.engine.folder import checkpoint, read_metrics
from reseen.errors import CheckpointError, SettingsError
from reseen.nets.encoder import EncoderSettings, build, save, start
from reseen.training import load, untrained
from tests.conftest import TINY
from tests.methods.test_methods import learn, stopped_in_round_two

SMALL = EncoderSettings(
    backbone="resnet18", weights="none", height=64, width=32, options={"zero_init_last": "False"}
)


@pytest.fixture
def kept(tmp_path):
    """Give the checkpoint of an encoder whose every weight and statistic says something."""

    def keep(**changes):
        torch.manual_seed(3)
        encoder = build(replace(SMALL, **changes))
        for value in encoder.state_dict().values():
            if value.dtype == torch.float32:
                value.add_(0.01 * torch.rand(value.shape))
        torch.save(save(encoder), tmp_path / "start.pt")
        return encoder.eval(), tmp_path / "start.pt"

    return keep


def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 64, 32), dtype=torch.uint8, generator=generator)


PLAIN = EncoderSettings(height=64, width=32)


@pytest.mark.parametrize(
    "same", [{}, {"attention": ("cbam",)}, {"attention": ("pixel",), "attention_place": "in"}]
)
def test_an_equal_encoder_is_the_start(kept, same):
    old, path = kept(**same)
    new = start(replace(PLAIN, **same), path).eval()
    assert torch.equal(new(pixels()), old(pixels()))
    assert new.settings.backbone == "resnet18" and new.settings.options == old.settings.options


@pytest.mark.parametrize("place", ["after", "in"])
def test_a_gate_begins_at_the_start(kept, place):
    old, path = kept()
    gated = replace(PLAIN, attention=("pixel",), attention_place=place, attention_gate=True)
    torch.testing.assert_close(start(gated, path).eval()(pixels()), old(pixels()))


def test_other_attention_begins_anew_and_so_does_the_neck(kept):
    old, path = kept()
    new = start(replace(PLAIN, attention=("domain-adaptive",)), path).eval()
    below, _ = new.maps(pixels())
    assert torch.equal(below, old.map(pixels()))
    assert not torch.equal(new.neck.running_mean, old.neck.running_mean)
    assert torch.equal(start(PLAIN, path).neck.running_mean, old.neck.running_mean)
    other = start(replace(PLAIN, pooling="mean"), path)
    assert not torch.equal(other.neck.running_mean, old.neck.running_mean)


def test_what_does_not_agree_is_said(kept, tmp_path):
    _, path = kept()
    with pytest.raises(SettingsError, match=r"encoder\.backbone: resnet18 there, resnet34 now"):
        start(replace(PLAIN, backbone="resnet34"), path)
    with pytest.raises(SettingsError, match=r"encoder\.last_stride: 1 there, 2 now"):
        start(replace(PLAIN, last_stride=2), path)
    with pytest.raises(SettingsError, match=r"encoder\.weights is w\.pt and the start is"):
        start(replace(PLAIN, weights="w.pt"), path)
    torch.save({"encoder": {}}, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="has no encoder of this package"):
        start(PLAIN, tmp_path / "bare.pt")


def test_a_run_that_is_under_way_does_not_need_its_start(town, tmp_path, quick, monkeypatch):
    learn(quick(epochs=1), town, tmp_path / "source")
    with stopped_in_round_two(monkeypatch):
        learn(quick(), town, tmp_path / "run", start=tmp_path / "source")
    rmtree(tmp_path / "source")
    learn(quick(), town, tmp_path / "run", start=tmp_path / "source")
    assert [row["round"] for row in read_metrics(tmp_path / "run")][-1] == 3


def test_a_run_goes_on_from_a_run(town, tmp_path, quick):
    learn(quick(epochs=1), town, tmp_path / "source")
    learn(quick(epochs=2), town, tmp_path / "run", start=tmp_path / "source")
    last, first = read_metrics(tmp_path / "source")[-1], read_metrics(tmp_path / "run")[0]
    assert (first["round"], first["mAP"]) == (0, last["mAP"])
    began, taken = untrained(tmp_path / "run"), load(tmp_path / "source")
    assert all(torch.equal(began.state_dict()[n], w) for n, w in taken.state_dict().items())
    learn(quick(epochs=2), town, tmp_path / "file", start=checkpoint(tmp_path / "source", "last"))
    assert read_metrics(tmp_path / "file")[-1]["mAP"] == read_metrics(tmp_path / "run")[-1]["mAP"]
    with pytest.raises(SettingsError, match="holds another run"):
        learn(quick(epochs=2), town, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"gone does not exist\. Give the folder of a run"):
        learn(quick(), town, tmp_path / "new", start=tmp_path / "gone")
    with pytest.raises(CheckpointError, match="holds no run"):
        learn(quick(), town, tmp_path / "new", start=tmp_path)
    small = quick(encoder=replace(TINY, backbone="resnet18"))
    with pytest.raises(SettingsError, match="squeezenet1_1 there, resnet18 now"):
        learn(small, town, tmp_path / "new", start=tmp_path / "source")
