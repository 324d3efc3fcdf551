"""Attention in the encoder: after the last map, or in the place of a convolution."""

from dataclasses import replace

import pytest
import torch

from reseen.errors import SettingsError
from reseen.nets import encoder as encoders
from reseen.nets.encoder import EncoderSettings, build

SMALL = EncoderSettings(backbone="resnet18", weights="none", height=64, width=32)
LEVELS = ("pixel", "head", "domain")
PLACES = {
    "resnet18": "layer4.1.conv2",
    "resnet14t": "layer4.0.conv2",
    "mobilenetv2_100": "blocks.6.0.conv_dw",
    "squeezenet1_1": "12.expand3x3",
}


def pixels(count=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 64, 32), dtype=torch.uint8, generator=generator)


def made(backbone="resnet18", **changes):
    torch.manual_seed(0)
    stride = 2 if backbone in ("squeezenet1_1", "resnet14t") else 1
    if backbone == "resnet18":  # else its last blocks begin as nothing
        changes = {"options": {"zero_init_last": "False"}, **changes}
    return build(replace(SMALL, backbone=backbone, last_stride=stride, **changes)).eval()


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("place", ["after", "in"])
@pytest.mark.parametrize("backbone", PLACES)
def test_any_backbone_saves_and_loads(tmp_path, backbone, place, gate):
    settings = dict(attention=LEVELS, attention_place=place, attention_gate=gate)
    encoder = made(backbone, **settings, attention_options={"heads": 2, "keys": 8, "groups": 16})
    vectors = encoder(pixels())
    assert vectors.shape == (4, encoder.dimensions)
    names = [name for name, _ in encoder.named_parameters() if name.endswith("columns")]
    where = f"backbone.net.{PLACES[backbone]}" if place == "in" else "attention"
    assert len(names) == 1 and names[0].startswith(f"{where}.{'new.' * gate}1.")
    torch.save(encoders.save(encoder), tmp_path / "e.pt")
    again = encoders.load(tmp_path / "e.pt").eval()
    assert again.settings == encoder.settings and torch.equal(again(pixels()), vectors)


@pytest.mark.parametrize("place", ["after", "in"])
def test_a_closed_gate_is_the_network_without(place):
    plain = made()
    gated = made(attention=LEVELS, attention_place=place, attention_gate=True)
    torch.testing.assert_close(gated(pixels()), plain(pixels()))
    ungated = made(attention=LEVELS, attention_place=place)
    assert not torch.allclose(ungated(pixels()), plain(pixels()), atol=1e-2)


@pytest.mark.parametrize("place", ["after", "in"])
def test_gradients_reach_everything_new_once_the_gate_is_open(place):
    encoder = made(attention=LEVELS, attention_place=place, attention_gate=True).train()
    (gate,) = (w for name, w in encoder.named_parameters() if name.endswith("gate"))
    encoder(pixels())[:, :9].sum().backward()
    assert gate.grad.abs() > 0
    gate.data.fill_(0.5)
    encoder.zero_grad()
    encoder(pixels())[:, :9].sum().backward()
    for name, weight in encoder.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_bfloat16_is_close_and_its_output_is_float32():
    encoder = made(attention=("voxel", "cbam", *LEVELS), attention_gate=True)
    exact = encoder(pixels())
    encoder.precision = "bfloat16"
    fast = encoder(pixels())
    assert fast.dtype == torch.float32 and ((fast * exact).sum(1) > 0.99).all()


def test_a_reduction_shortens_the_vectors():
    encoder = made(attention=("reduction", "voxel"), attention_options={"reduced": 24})
    assert encoder.dimensions == 24 and encoder(pixels()).shape == (4, 24)
    with pytest.raises(SettingsError, match="attention_gate needs attention that keeps"):
        made(attention=("reduction",), attention_gate=True)


def test_pooled_vectors_and_the_neck_are_what_forward_brings_to_unit_length():
    encoder = made()
    vectors = encoder.neck(encoder.pool(pixels()))
    torch.testing.assert_close(vectors / vectors.norm(dim=1, keepdim=True), encoder(pixels()))
    assert not torch.allclose(vectors.norm(dim=1), torch.ones(4))


def test_a_transformer_has_no_convolution_to_replace():
    settings = replace(SMALL, backbone="vit_tiny_patch16_224", last_stride=2)
    with pytest.raises(SettingsError, match="attention_place is 'in', but the last stage"):
        build(replace(settings, attention=("pixel",), attention_place="in"))
    with pytest.raises(SettingsError, match="attention_place is 'under'"):
        replace(settings, attention_place="under")
