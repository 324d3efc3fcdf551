"""Encoders as folders: what is kept, what is refused, and a digest that says which one it is."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reseen import from_pretrained, save_pretrained
from reseen.engine.device import Device
from reseen.errors import CheckpointError, SettingsError
from reseen.kernels.centring import CameraStatistics
from reseen.nets import encoder as encoders
from reseen.nets.backbones import TINY_WEIGHTS
from reseen.nets.encoder import EncoderSettings, build, digest
from reseen.nets.pretrained import digest_of
from reseen.training import load

SMALL = EncoderSettings(
    backbone="resnet18",
    weights="none",
    height=64,
    width=32,
    attention=("cbam",),
    options={"channels": "8, 8, 8, 16", "zero_init_last": "False"},
)
PIXELS = torch.arange(2 * 3 * 64 * 32).reshape(2, 3, 64, 32).remainder(251).to(torch.uint8)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    made = build(SMALL)
    made(PIXELS)  # moves the running statistics
    moments = np.random.default_rng(0).random((3, 2, made.dimensions), np.float32)
    made.camera_statistics = CameraStatistics(("gate", "yard"), moments)
    return made.eval()


@pytest.fixture(scope="module")
def original(encoder, tmp_path_factory):
    return save_pretrained(encoder, tmp_path_factory.mktemp("given") / "e", data="Invented people.")


@pytest.fixture
def folder(original, tmp_path):
    """A copy that a test may spoil."""
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_folder_gives_the_encoder_again(encoder, original):
    exact = Device(name="cpu", precision="float32")
    for again in (from_pretrained(original, device=exact), load(original, device=exact)):
        assert again.settings == encoder.settings
        torch.testing.assert_close(again.eval()(PIXELS), encoder(PIXELS), atol=1e-6, rtol=0)
        for name, value in again.state_dict().items():
            assert torch.equal(value, encoder.state_dict()[name]), name
        cameras = again.camera_statistics
        assert cameras.names == ("gate", "yard")
        assert (cameras.moments == encoder.camera_statistics.moments).all()


@torch.inference_mode()
def test_whitening_is_kept_and_counts_in_the_digest(tmp_path):
    made = build(replace(SMALL, whitening=0.5)).eval()
    before = digest(made)
    made.whiten(made(PIXELS).numpy())
    assert digest(made) != before
    again = from_pretrained(save_pretrained(made, tmp_path / "e"))
    for name, value in made.whitening.state_dict().items():
        assert torch.equal(again.whitening.state_dict()[name], value)


def test_the_card_says_what_it_is(encoder, original):
    card = (original / "README.md").read_text()
    said = ("resnet18", "64 x 32", "cbam", "gate, yard", digest(encoder), "Invented people.")
    assert all(word in card for word in said)
    assert {p.name for p in original.iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_the_digest_is_of_settings_and_weights_alone(encoder, original, tmp_path):
    known = digest(encoder)
    torch.save(encoders.save(encoder), tmp_path / "e.pt")
    moved = load(tmp_path / "e.pt")  # another memory format
    moved.camera_statistics = None
    moved.settings = replace(moved.settings, weights="elsewhere.pt")
    assert digest(moved) == known == json.loads((original / "config.json").read_text())["digest"]
    moved.settings = replace(moved.settings, height=128)
    assert digest(moved) != known
    again = from_pretrained(original)
    again.neck.running_mean[0] += 1e-6
    assert digest(again) != known


def test_the_digest_is_the_same_everywhere():
    weights = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor(1, dtype=torch.int64)}
    found = digest_of({"width": 32, "mean": (0.5, 0.25), "weights": "timm"}, weights)
    assert found == "ad765d129ce7b3ff4b62a0ce3eb00529aad15ab693d9560c93f17f421b9b0d3d"


def test_training_starts_from_a_folder(encoder, original):
    again = encoders.start(EncoderSettings(height=64, width=32, attention=("cbam",)), original)
    assert torch.equal(again.eval()(PIXELS), encoder(PIXELS))
    plain = encoders.start(EncoderSettings(height=64, width=32), original)  # other attention
    weights = plain.backbone.state_dict()
    assert all(torch.equal(v, weights[n]) for n, v in encoder.backbone.state_dict().items())


def test_nothing_is_overwritten_and_what_was_left_unfinished_is_written_again(
    encoder, original, folder
):
    with pytest.raises(SettingsError, match="is not empty"):
        save_pretrained(encoder, folder)
    (folder / "config.json").unlink()
    (folder / "config.json.tmp").write_text("{")
    save_pretrained(encoder, folder)
    assert digest(from_pretrained(folder)) == digest(encoder)
    (folder / "config.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(SettingsError, match="is not empty"):  # a README of somebody
        save_pretrained(encoder, folder)
    with pytest.raises(SettingsError, match="is a file"):
        save_pretrained(encoder, folder / "README.md")


def test_damage_is_refused(folder):
    weights = folder / "model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-4] + b"\0\1\2\3")
    with pytest.raises(CheckpointError, match="SHA-256 is different"):
        load(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load(folder)
    weights.write_bytes(sound)
    config = json.loads((folder / "config.json").read_text())
    for changes, said in (
        ({"format": 2}, "has format 2, and this version reads 1"),
        ({"encoder_settings": {**config["encoder_settings"], "width": 64}}, "was changed"),
        ({"encoder_settings": None}, "is damaged"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(CheckpointError, match=said):
            load(folder)


def test_what_is_no_such_folder_is_refused(original, tmp_path):
    with pytest.raises(CheckpointError, match="no best round"):
        load(original, best=True)
    with pytest.raises(CheckpointError, match=r"was not written by save_pretrained"):
        from_pretrained(tmp_path)


def test_where_weights_came_from_is_told_by_name_alone(encoder, original, tmp_path):
    before = encoder.settings
    encoder.settings = replace(before, weights="/home/ada/secret/start.pt")
    folder = save_pretrained(encoder, tmp_path / "e")
    encoder.settings = before
    assert from_pretrained(folder).settings.weights == "start.pt"
    assert "ada" not in (folder / "config.json").read_text()


def test_others_can_read_the_weights(encoder, original, tmp_path):
    found = load_file(original / "model.safetensors")
    moments = found.pop("camera_statistics")
    assert (moments.numpy() == encoder.camera_statistics.moments).all()
    assert all(torch.equal(value, found[name]) for name, value in encoder.state_dict().items())


def test_the_card_of_the_shipped_encoder_says_what_it_is():
    card, encoder = TINY_WEIGHTS.with_suffix(".md").read_text(), load("reseen-tiny")
    millions = sum(weight.numel() for weight in encoder.parameters()) / 1e6
    assert f"{encoder.settings.height} x {encoder.settings.width} pixels" in card
    assert f"{encoder.dimensions} numbers" in card and f"{millions:.1f} million" in card
    assert f"{TINY_WEIGHTS.stat().st_size / 1e6:.1f} MB" in card
    assert "people who do not exist" in card and "What it cannot do" in card
