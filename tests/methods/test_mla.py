import pytest
import torch

from reseen.errors import SettingsError
from reseen.nets.attention.head import HeadAttention
from reseen.nets.encoder import build
from reseen.records import Dataset
from tests.conftest import settings_of
from tests.methods.test_methods import learn, weights

QUICK = dict(epochs=1, iterations=2)


@pytest.fixture
def crops(town):
    """Nothing to search: only training takes time."""
    return Dataset("crops", town.root, town.train)


@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("place", ["in", "after"])
@pytest.mark.parametrize("levels", ["head", "pixel", "pixel+head", "domain"])
def test_every_level_learns(crops, tmp_path, quick, levels, place, gate):
    changes = dict(levels=levels, place=place, gate=gate, heads=2, keys=8)
    encoder = learn(quick("mla", **QUICK, **changes), crops, tmp_path)
    torch.manual_seed(0)
    start = dict(build(encoder.settings).named_parameters())
    new = {
        name: weight
        for name, weight in encoder.named_parameters()
        if (".expand3x3." in name if place == "in" else name.startswith("attention."))
    }
    assert len(new) > 1 and encoder.settings.attention == tuple(levels.split("+"))
    assert any(name.endswith("gate") for name in new) == gate
    assert all(not torch.equal(weight, start[name]) for name, weight in new.items())


def test_without_levels_it_is_cluster_contrast(crops, tmp_path, quick):
    """The paper's baseline, number by number."""
    base = dict(memory_start="random", memory_update="hard", memory_momentum=0.2, rate=1.6e-4)
    mla = learn(quick("mla", **QUICK, levels="none"), crops, tmp_path / "mla")
    contrast = learn(quick(**QUICK, **base), crops, tmp_path / "contrast")
    assert torch.equal(weights(mla), weights(contrast))


def test_the_defaults_are_the_paper():
    method, base = settings_of("mla"), settings_of("cluster-contrast")
    assert (method.eps, method.min_samples, method.rate, method.rate_step) == (0.4, 4, 1.6e-4, 20)
    assert (method.people, method.views, method.epochs) == (8, 8, 50)
    assert (method.encoder.pooling, method.encoder.ghost_group) == ("gem", 32)
    assert (method.memory_start, method.memory_update) == ("random", "hard")
    assert method.memory_momentum == 0.2
    for name in ("temperature", "k1", "k2", "weight_decay", "iterations"):
        assert getattr(method, name) == getattr(base, name)


@pytest.mark.parametrize("scale", [True, False])
def test_the_scale_of_the_head_level_is_a_switch(quick, scale):
    encoder = build(quick("mla", heads=2, head_scale=scale, place="after")._attended())
    (head,) = (module for module in encoder.modules() if isinstance(module, HeadAttention))
    assert head.scale == pytest.approx((encoder.dimensions / 2) ** -0.5 if scale else 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"levels": "pixel+heads"}, r"levels is 'pixel\+heads'"),
        ({"place": "under"}, "attention_place is 'under'"),
        ({"heads": 0}, "heads is 0"),
        ({"rate": 0.0}, "rate is 0.0"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("mla", **wrong)
