"""Maps of what speaks for a class or a pair, held against loops and small steps."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from reseen.engine.cam import class_cam, dropped, main_stages, pair_cam, stages
from reseen.errors import DataError, SettingsError
from reseen.nets.backbones import Backbone
from reseen.nets.encoder import Encoder, EncoderSettings, build

from ..conftest import TINY

SIZE = 24, 16


def smooth(pooling="mean", **changes):
    """Two convolutions without kinks, so that small steps tell the gradient."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, 2), nn.Softplus(), nn.Conv2d(6, 10, 3, 2), nn.Softplus())
    )
    settings = EncoderSettings(height=SIZE[0], width=SIZE[1], pooling=pooling, **changes)
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight, std=0.5)  # places and channels that differ
    encoder = Encoder(settings, Backbone(net, *SIZE))
    encoder.neck.running_mean.uniform_(-1, 1)
    encoder.neck.running_var.uniform_(0.5, 2)
    nn.init.uniform_(encoder.neck.weight, 0.5, 2)
    return encoder


def drawn(count, height=SIZE[0], width=SIZE[1], seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=chance)


def scaled(maps):
    maps = np.maximum(maps, 0)
    return maps / np.maximum(maps.max((1, 2), keepdims=True), 1e-30)


def plain_cam(encoder, pixels, row):
    """Zhou et al., Eq. 2, place by place, through a neck that only scales and shifts."""
    encoder.eval()
    with torch.no_grad():
        maps = encoder.map(pixels).numpy()
    neck = encoder.neck
    slope = (neck.weight / (neck.running_var + neck.eps).sqrt()).detach().numpy()
    cam = np.zeros((len(maps), *maps.shape[2:]))
    for n, c, i, j in np.ndindex(maps.shape):
        cam[n, i, j] += row[c] * slope[c] * maps[n, c, i, j]
    return cam


def by_steps(encoder, pixels, rows, module):
    """Grad-CAM from central differences: a channel is moved at all its places together."""
    encoder.eval()
    neck, maps = deepcopy(encoder.neck).double(), []
    for crop, row in zip(pixels, torch.as_tensor(rows), strict=True):
        kept = []
        with module.register_forward_hook(lambda _m, _x, y, kept=kept: kept.append(y)):
            encoder.map(crop[None])
        channels = kept[0].shape[1]
        step = 3e-3 * torch.eye(channels)[:, :, None, None]
        scores = []
        for move in (step, -step):
            with module.register_forward_hook(lambda _m, _x, y, move=move: y + move):
                pooled = encoder.pool(crop.expand(channels, -1, -1, -1))
                scores.append(neck(pooled.double()) @ row.double())
        slopes = (scores[0] - scores[1]) / kept[0][0, 0].numel()  # mean over places, any scale
        maps.append(torch.einsum("c,chw->hw", slopes, kept[0][0].double()).numpy())
    return scaled(np.stack(maps))


@pytest.mark.parametrize("attention", [(), ("voxel",)], ids=["plain", "voxel"])
def test_is_cam_where_the_head_is_linear(attention):
    encoder = smooth(attention=attention)
    row = np.random.default_rng(1).normal(size=encoder.dimensions).astype(np.float32)
    found = class_cam(encoder, drawn(5), row)
    assert found.dtype == np.float32 and found.shape == (5, 5, 3)
    np.testing.assert_allclose(found, scaled(plain_cam(encoder, drawn(5), row)), atol=1e-5)


def test_the_places_of_cam_add_up_to_the_score():
    """What the twin above draws is the score itself, taken apart."""
    encoder = smooth()
    row = np.random.default_rng(1).normal(size=encoder.dimensions).astype(np.float32)
    shares = plain_cam(encoder, drawn(5), row)
    with torch.no_grad():
        nothing = encoder.neck(torch.zeros(1, encoder.dimensions))
        scores = (encoder.neck(encoder.pool(drawn(5))) - nothing) @ torch.from_numpy(row)
    np.testing.assert_allclose(shares.mean((1, 2)), scores, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("stage", ["0", "1", "2", "before", "after", None])
@pytest.mark.parametrize(
    ("pooling", "attention"), [("mean", ()), ("gem", ()), ("mean+max", ()), ("mean", ("voxel",))]
)
def test_equals_small_steps_of_each_channel(stage, pooling, attention):
    encoder, pixels = smooth(pooling, attention=attention), drawn(3)
    rows = np.random.default_rng(2).normal(size=(3, encoder.dimensions)).astype(np.float32)
    own = {"before": encoder.backbone, "after": encoder.attention, None: encoder.attention}
    module = own.get(stage) or encoder.backbone.net[int(stage)]
    found = class_cam(encoder, pixels, rows, stage)
    expected = by_steps(encoder, pixels, rows, module)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert found.max() == 1 and 0 < np.mean(found > 0) < 1


@torch.no_grad()
def test_a_pair_is_explained_by_each_others_vectors():
    encoder, a, b = smooth("gem"), drawn(3), drawn(3, seed=1)
    encoder.train()
    found = pair_cam(encoder, a, b, "1")
    assert encoder.training and all(module.training for module in encoder.modules())
    encoder.eval()
    for maps, pixels, other in zip(found, (a, b), (b, a), strict=True):
        expected = by_steps(encoder, pixels, encoder(other), encoder.backbone.net[1])
        np.testing.assert_allclose(maps, expected, atol=5e-3)


@torch.no_grad()
def test_a_whitened_vector_is_explained_by_the_whitened_row():
    plain, white = smooth("gem").eval(), smooth("gem", whitening=0.5).eval()
    white.load_state_dict(plain.state_dict(), strict=False)
    white.whiten(plain(drawn(40)).numpy())
    rows = white(drawn(3, seed=1))
    found = class_cam(white, drawn(3), rows, "1")
    expected = class_cam(plain, drawn(3), rows @ white.whitening.matrix, "1")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - class_cam(plain, drawn(3), rows, "1")).max() > 0.01


def test_one_place_moves_the_similarity_as_much_as_the_map_says():
    """Mean pooling: taking a place away changes the product by its part of CAM."""
    encoder, a, b = smooth().eval(), drawn(1), drawn(1, seed=1)
    with torch.no_grad():
        other = encoder(b)[0]
        whole = encoder.neck(encoder.pool(a)) @ other
        change = np.zeros((5, 3))
        for i, j in np.ndindex(change.shape):
            keep = torch.ones(5, 3)
            keep[i, j] = 0
            with encoder.attention.register_forward_hook(lambda _m, _x, y, keep=keep: y * keep):
                change[i, j] = whole - encoder.neck(encoder.pool(a)) @ other
    np.testing.assert_allclose(pair_cam(encoder, a, b)[0], scaled(change[None]), atol=1e-3)


def test_two_of_the_same_crop_have_a_map():
    """The cosine has no slope there; the product with a fixed length has."""
    a, b = pair_cam(smooth(), drawn(2), drawn(2))
    np.testing.assert_array_equal(a, b)
    assert (a.max((1, 2)) == 1).all()


@pytest.mark.parametrize("place", ["after", "in"])
@pytest.mark.parametrize("attention", [(), ("cbam",), ("pixel", "head", "domain")], ids="+".join)
def test_every_stage_of_a_backbone_has_maps(attention, place):
    torch.manual_seed(0)
    size = dict(height=96, width=48)  # last maps of 5 x 2 places
    encoder = build(replace(TINY, attention=attention, attention_place=place, **size))
    names, pixels = stages(encoder), drawn(2, 96, 48)
    row = np.random.default_rng(3).normal(size=encoder.dimensions) * [[1], [-1]]
    assert names[:3] == ["0", "1", "2"] and names[-2:] == ["before", "after"]
    for name in (*names, "3.squeeze"):
        maps = class_cam(encoder, pixels, row, name)
        assert maps.shape[0] == 2 and maps.ndim == 3
        assert (np.isin(maps.max((1, 2)), (0, 1))).all() and (maps >= 0).all()
    before, after = (class_cam(encoder, pixels, row, name) for name in names[-2:])
    assert before.any() and after.any()
    same = not attention or place == "in"
    assert np.array_equal(before, after) == same


@pytest.mark.parametrize(
    ("backbone", "inside"), [("vit_tiny_patch16_224", "norm"), ("swin_tiny_patch4_window7_224", "")]
)
def test_tokens_are_places_too(backbone, inside):
    torch.manual_seed(0)
    encoder = build(replace(TINY, backbone=backbone, height=64, width=64))
    pixels, row = drawn(2, 64, 64), np.random.default_rng(0).normal(size=encoder.dimensions)
    names = stages(encoder)
    for name in (names[0], inside or "norm", "after"):
        assert name in names
        height, width = class_cam(encoder, pixels, row, name).shape[1:]
        assert height == width in (2, 4, 16)
    last = class_cam(encoder, pixels, row)
    np.testing.assert_allclose(class_cam(encoder, pixels, row, "norm"), last, atol=1e-5)
    np.testing.assert_allclose(last, scaled(plain_cam(encoder, pixels, row)), atol=1e-4)


def test_half_precision_is_near():
    encoder, row = smooth("gem"), np.random.default_rng(1).normal(size=10)
    whole = class_cam(encoder, drawn(4), row, "1")
    encoder.precision = "bfloat16"
    half = class_cam(encoder, drawn(4), row, "1")
    assert half.dtype == np.float32 and not np.array_equal(half, whole)
    np.testing.assert_allclose(half, whole, atol=0.1)


def test_leaves_the_encoder_as_it_was():
    encoder, pixels = smooth(attention=("cbam",)), drawn(3)
    encoder.train()
    encoder.neck.eval()
    encoder.backbone.net[0].weight.requires_grad_(False)
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.inference_mode():
        inside = pair_cam(encoder, pixels.clone(), pixels.flip(0))
    for maps, again in zip(inside, pair_cam(encoder, pixels, pixels.flip(0)), strict=True):
        np.testing.assert_array_equal(maps, again)
    assert encoder.training and not encoder.neck.training and encoder.attention.training
    assert all((p.grad == 1).all() for p in encoder.parameters() if p.requires_grad)
    assert all(torch.equal(value, before[n]) for n, value in encoder.state_dict().items())
    assert not any(module._forward_hooks for module in encoder.modules())
    with pytest.raises(SettingsError):
        class_cam(encoder, pixels, np.ones(10), "9")
    assert encoder.training and not encoder.neck.training


def test_batches_do_not_matter(monkeypatch):
    encoder, rows = smooth("gem"), np.random.default_rng(1).normal(size=(7, 10))
    whole = class_cam(encoder, drawn(7), rows)
    monkeypatch.setattr("reseen.engine.cam.default_batch", lambda _: 3)
    np.testing.assert_allclose(class_cam(encoder, drawn(7), rows), whole, atol=1e-5)


def test_where_nothing_speaks_for_a_class_the_map_is_zero():
    """All activations are above 0, and so are the neck's slopes: a row below 0 finds nothing."""
    assert not class_cam(smooth(), drawn(2), -np.ones(10)).any()
    assert class_cam(smooth(), drawn(2), np.ones(10)).any()
    assert not class_cam(smooth(), drawn(2), np.zeros(10)).any()


def test_what_cannot_be_explained_is_refused():
    encoder = build(TINY)
    pixels = drawn(2, 48, 24)
    with pytest.raises(SettingsError, match=r"no stage '3.squeze'.*3.squeeze"):
        class_cam(encoder, pixels, np.ones(512), "3.squeze")
    with pytest.raises(DataError, match=r"\(3, 512\) for 2 crops"):
        class_cam(encoder, pixels, np.ones((3, 512)))
    with pytest.raises(DataError, match="2 and 1 crops"):
        pair_cam(encoder, pixels, pixels[:1])
    vit = build(replace(TINY, backbone="vit_tiny_patch16_224", height=32, width=32))
    with pytest.raises(SettingsError, match=r"'fc_norm' is not a map. Use one of: patch_embed"):
        class_cam(vit, drawn(2, 32, 32), np.ones(192), "fc_norm")


@pytest.mark.parametrize("training", [True, False])
def test_the_same_rectangles_are_dropped_each_time(training):
    encoder = build(TINY).train(training)
    pixels = drawn(3, 48, 24)
    with dropped(encoder, (0, 2), 0.4, 0.3, seed=1) as found:
        one = class_cam(encoder, pixels, np.ones(512))
        first = {stage: of.copy() for stage, of in found.items()}
        again = class_cam(encoder, pixels, np.ones(512))
    assert {stage: of.shape[1:] for stage, of in first.items()} == {0: (48, 24), 2: (5, 2)}
    for stage, of in first.items():
        high, wide = round(0.4 * of.shape[1]), round(0.3 * of.shape[2])
        assert (of.sum((1, 2)) == high * wide).all()
        np.testing.assert_array_equal(found[stage], of)
    np.testing.assert_array_equal(one, again)
    with dropped(encoder, (0, 2), 0.4, 0.3, seed=2) as other:
        assert not np.array_equal(class_cam(encoder, pixels, np.ones(512)), one)
    assert not np.array_equal(other[0], first[0])
    assert not np.array_equal(class_cam(encoder, pixels, np.ones(512)), one)


def test_what_is_dropped_is_what_the_hooked_map_loses():
    """By hand: a picture whose rectangle was painted with the mean gives the same map."""
    encoder = smooth()
    pixels = drawn(2)
    with dropped(encoder, (0,), 0.5, 0.5) as found:
        one = class_cam(encoder, pixels, np.ones(10))
    mean = encoder.mean.expand(2, 3, *SIZE)
    painted = torch.where(torch.from_numpy(found[0])[:, None], mean, pixels.float())
    np.testing.assert_allclose(class_cam(encoder, painted, np.ones(10)), one, atol=1e-5)


def test_the_main_stages():
    assert main_stages(build(TINY)) == ["3", "6", "after"]
    attends = replace(TINY, attention=("pixel",))
    assert main_stages(build(attends)) == ["3", "6", "before", "after"]
    assert main_stages(build(replace(attends, attention_place="in"))) == ["3", "6", "after"]
