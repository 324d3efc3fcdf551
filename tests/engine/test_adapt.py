"""Recomputed batch-norm statistics: exact where the input of a layer is known; weights stay."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reseen.engine import adapt
from reseen.engine.adapt import adapt_norm
from reseen.engine.extract import load
from reseen.engine.progress import Screen
from reseen.errors import DataError
from reseen.nets.encoder import Encoder, EncoderSettings, build
from tests.conftest import TINY


class TwoLayers(nn.Module):
    """A backbone of two convolutions, each with a batch norm, and dropout, which must not act."""

    channels, map_width = 5, 8

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 5, 3, 2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(5)])
        self.unused = nn.BatchNorm2d(2)

    def forward(self, x):
        x = F.dropout(F.relu(self.norms[0](self.one(x))), training=self.training)
        return F.relu(self.norms[1](self.two(x)))


def two_layers(**settings):
    return Encoder(EncoderSettings(height=48, width=24, pooling="mean", **settings), TwoLayers())


def pixels_of(crops):
    return torch.cat([pixels for _, pixels in crops.frames([np.arange(len(crops.owners))])])


def moments(x):
    """Mean and unbiased variance of each channel (B, C, ...), in float64."""
    x = x.double().transpose(0, 1).flatten(1)
    return x.mean(1), x.var(1)


def normed(x):
    """What a fresh batch norm makes of a whole batch."""
    return F.batch_norm(x, None, None, training=True)


def held(norm, mean, variance, **close):
    torch.testing.assert_close(norm.running_mean.double(), mean, **close)
    torch.testing.assert_close(norm.running_var.double(), variance, **close)


@torch.no_grad()
def test_statistics_are_those_of_the_maps_of_all_pictures_layer_by_layer(town, monkeypatch):
    """In one batch, which is where one pass and layer by layer are the same."""
    encoder = two_layers()
    crops = load(town.train, encoder)
    monkeypatch.setattr(adapt, "BATCH", 1000)
    adapt_norm(encoder, crops)
    net, x = encoder.backbone, encoder.normalise(pixels_of(crops))
    close = dict(rtol=1e-4, atol=1e-5)
    for layer, norm in zip((net.one, net.two), net.norms, strict=True):
        x = layer(x)
        held(norm, *moments(x), **close)
        x = F.relu(normed(x))
    held(encoder.neck, *moments(x.mean((2, 3))), **close)
    held(net.unused, torch.zeros(2).double(), torch.ones(2).double())


@torch.no_grad()
@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("batch", [7, 32])
def test_the_batches_do_not_matter_for_the_first_layer_and_hardly_for_others(
    town, monkeypatch, batch, group
):
    """Ghost batch norm normalises smaller groups and changes no more than the batches do."""
    encoder = two_layers(ghost_group=group)
    crops = load(town.train, encoder)
    monkeypatch.setattr(adapt, "BATCH", batch)
    adapt_norm(encoder, crops)
    net, x = encoder.backbone, encoder.normalise(pixels_of(crops))
    first = net.one(x)
    held(net.norms[0], *moments(first), rtol=1e-4, atol=1e-5)
    held(net.norms[1], *moments(net.two(F.relu(normed(first)))), rtol=0.2, atol=0.1)


def test_no_weight_changes_and_the_mode_stays(town):
    encoder = two_layers().train()
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    again = two_layers()
    crops = load(town.train, encoder)
    adapt_norm(encoder, crops)
    adapt_norm(again, crops)
    assert encoder.training and encoder.neck.training and not encoder.neck._forward_pre_hooks
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
        assert torch.equal(weight, before[name]) != name.endswith(
            ("_mean", "_var", "_tracked")
        ) or ("unused" in name)


def test_bfloat16_gives_nearly_the_same(town):
    exact, rough = two_layers(), two_layers()
    rough.precision = "bfloat16"
    crops = load(town.train, exact)
    for encoder in (exact, rough):
        adapt_norm(encoder, crops)
    for norm, other in zip(exact.backbone.norms, rough.backbone.norms, strict=True):
        assert other.running_mean.dtype == torch.float32
        held(other, norm.running_mean.double(), norm.running_var.double(), rtol=0.02, atol=0.02)


def test_frames_of_tracklets_count(video):
    encoder = two_layers()
    crops = load(video.train, encoder)
    adapt_norm(encoder, crops)
    first = encoder.backbone.one(encoder.normalise(pixels_of(crops)))
    assert len(crops.owners) > len(crops)
    held(encoder.backbone.norms[0], *moments(first.detach()), rtol=1e-4, atol=1e-5)


def test_a_network_without_batch_norm_is_told_and_its_neck_is_taken(town, capsys):
    encoder = build(TINY)
    crops = load(town.train, encoder)
    adapt_norm(encoder, crops, Screen())
    said = " ".join(capsys.readouterr().err.split())
    assert "of the neck only: squeezenet1_1 has no batch norm of its own" in said
    with torch.no_grad():
        pooled = encoder.eval().pool(pixels_of(crops))
    held(encoder.neck, *moments(pooled), rtol=1e-3, atol=1e-4)


def test_one_picture_is_too_few(town):
    encoder = two_layers()
    with pytest.raises(DataError, match="cannot be computed from 1 picture"):
        adapt_norm(encoder, load(town.train[:1], encoder))


@pytest.mark.slow
def test_a_compiled_backbone_keeps_no_hooks(town):
    plain, compiled = two_layers(), two_layers()
    compiled.backbone.compile(backend="eager")
    crops = load(town.train, plain)
    for encoder in (plain, compiled):
        adapt_norm(encoder, crops)
    pixels = pixels_of(crops)[:8]
    with torch.no_grad():
        torch.testing.assert_close(compiled.eval()(pixels), plain.eval()(pixels))
