from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.errors import SettingsError
from reseen.nets.dropblock import DropBlock, drop_before, dropping
from reseen.nets.encoder import EncoderSettings, build

SMALL = EncoderSettings(backbone="resnet18", weights="none", height=64, width=32)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.99), st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_one_rectangle_of_the_right_size(height, width, alpha, beta):
    x = torch.rand(5, 2, height, width) + 1
    y = DropBlock(alpha, beta)(x)
    h, w = max(1, round(alpha * height)), max(1, round(beta * width))
    if not alpha * beta:
        h = w = 0
    for before, after in zip(x, y, strict=True):
        gone = (after == 0).all(0)
        assert int(gone.sum()) == h * w and torch.equal(after[:, ~gone], before[:, ~gone])
        if h * w:
            rows, columns = gone.any(1).nonzero(), gone.any(0).nonzero()
            assert int(rows.max() - rows.min()) + 1 == h
            assert int(columns.max() - columns.min()) + 1 == w


def test_on_a_small_map_one_place_at_least_is_dropped():
    """Of `high-size-2-1`, before the last stage at 128 x 64: a tenth of four columns is none."""
    y = DropBlock(0.2, 0.1)(torch.ones(2, 1, 8, 4))
    assert ((y == 0).sum((1, 2, 3)) == 2).all()
    assert (DropBlock(0.1, 0.1, rescale=True)(torch.ones(2, 1, 1, 1)) == 0).all()
    assert (DropBlock(0.2, 0.0)(torch.ones(2, 1, 8, 4)) == 1).all()


def test_every_place_is_hit_and_images_differ():
    torch.manual_seed(0)
    y = DropBlock(0.4, 0.3)(torch.ones(400, 1, 10, 10))
    corners = {tuple(map(int, (image[0] == 0).nonzero()[0])) for image in y}
    assert corners == {(i, j) for i in range(7) for j in range(8)}


def test_rescaling_keeps_the_mean_and_evaluation_keeps_all():
    block, x = DropBlock(0.5, 0.5, rescale=True), torch.ones(3, 2, 8, 4)
    torch.testing.assert_close(block(x).mean((1, 2, 3)), torch.ones(3))
    assert block.eval()(x) is x


def test_stages_of_backbones():
    stages = {
        "resnet18": ["layer1", "layer2", "layer3", "layer4"],
        "mobilenetv2_100": ["blocks.1", "blocks.2", "blocks.3", "blocks.5"],
        "squeezenet1_1": ["3", "6", "9"],
    }
    for name, expected in stages.items():
        for stride in (1, 2):
            encoder = build(replace(SMALL, backbone=name, last_stride=stride))
            assert encoder.backbone.stages == expected


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "squeezenet1_1"])
@pytest.mark.parametrize("stage", [0, 1, 3])
def test_the_input_of_the_stage_is_dropped_and_only_in_training(name, stage):
    encoder = build(replace(SMALL, backbone=name, last_stride=2, height=128, width=64))
    weights = set(encoder.state_dict())
    drop_before(encoder.backbone, (stage,), 0.5, 0.5)
    assert set(encoder.state_dict()) == weights
    seen = []
    at = encoder.backbone.net
    if stage:
        at = at.get_submodule(encoder.backbone.stages[stage - 1])
    elif name != "squeezenet1_1":
        at = at.get_submodule("conv1" if name == "resnet18" else "conv_stem")
    at.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    pixels = torch.randint(1, 256, (4, 3, 128, 64))
    encoder(pixels)
    encoder.eval()(pixels)
    h, w = (round(size / 2) for size in seen[0].shape[2:])
    assert ((seen[0] == 0).all(1).sum((1, 2)) >= h * w).all()
    assert ((seen[1] == 0).all(1).sum((1, 2)) < h * w).all()


def test_a_copy_has_its_own_dropblocks():
    encoder = build(SMALL)
    drop_before(encoder.backbone, (0, 2), 0.5, 0.5)
    copy = deepcopy(encoder).eval()
    encoder.train()
    pixels = torch.randint(0, 256, (2, 3, 64, 32))
    assert torch.equal(copy(pixels), copy(pixels))  # though the original is training
    dropping(copy)
    assert not torch.equal(copy(pixels), copy(pixels))
    assert not copy.neck.training


def test_a_stage_that_is_not_there():
    with pytest.raises(SettingsError, match="this backbone has the stages 0 to 4"):
        drop_before(build(SMALL).backbone, (1, 5), 0.4, 0.3)
