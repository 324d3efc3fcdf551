from dataclasses import replace
from pathlib import Path

import pytest

import reseen
from reseen.checks import AUTO
from reseen.cli.bench import _bound
from reseen.data.reading import PLAIN, READERS
from reseen.engine.folder import read_facts
from reseen.engine.settings import automatic
from reseen.errors import SettingsError
from reseen.methods import METHODS
from reseen.presets import PRESETS, method, preset, suited
from reseen.training import train
from tests.conftest import TINY


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_every_preset(name):
    published, gpu, cpu = (method(name, which) for which in PRESETS)
    assert published == METHODS[name]() and not automatic(published)
    assert gpu.encoder == replace(published.encoder, ghost_group=0)
    assert automatic(gpu) == automatic(cpu) and cpu.encoder.ghost_group == 0
    seen = cpu.encoder.backbone, cpu.encoder.height, cpu.encoder.width, cpu.encoder.last_stride
    assert seen == ("reseen-tiny", 128, 64, 1)
    assert cpu.encoder.pooling == published.encoder.pooling


ROOT = Path(__file__).parents[1]
FILES = [path for place in ("benchmarks", "examples") for path in (ROOT / place).rglob("*.toml")]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_settings_files_run_the_shipped_encoder_at_last_stride_1(file, name, tmp_path):
    """Untouched it has 18.0 mAP on Market-half there, and 11.0 at 2."""
    found = _bound(name, tmp_path / "data", tmp_path / "out", [], f"--config {file}")["settings"]
    assert isinstance(found, METHODS[name]) and found != METHODS[name]()
    assert found.encoder.backbone != "reseen-tiny" or found.encoder.last_stride == 1


def test_there_are_settings_files():
    assert FILES


def test_what_depends_on_the_data_is_auto():
    density = {"k1", "k2", "eps", "min_samples"}
    batches = {"people", "views", "iterations", "epochs"}
    assert set(automatic(method("cluster-contrast", "cpu"))) == density | batches
    assert {"clusters", "p", "rounds"} <= set(automatic(method("adtc", "cpu")))
    assert "share" in automatic(method("daal", "gpu"))
    assert automatic(method("buc", "cpu")) == ["merge_rate"]
    assert automatic(method("ssl", "cpu")) == ["k"]


def test_what_is_given_wins():
    made = method("cluster-contrast", "cpu", eps=0.5, **{"encoder.height": 64})
    assert (made.density.eps, made.density.k1, made.encoder.height) == (0.5, AUTO, 64)


def test_what_is_not_there_is_refused_with_what_is():
    with pytest.raises(
        SettingsError, match=r"preset is 'tpu'\. Use auto, or one of: published, the"
    ):
        preset("ssl", "tpu")
    with pytest.raises(SettingsError, match=r"No method is called 'abc'\. Use one of: clu"):
        method("abc")
    with pytest.raises(SettingsError, match="ClusterContrast has no setting 'epz'"):
        method("cluster-contrast", epz=0.5)


def test_benchmarks_are_as_published_and_own_pictures_are_not():
    for format in (*READERS, ""):
        own = format in (*PLAIN, "")
        assert suited(format, accelerated=False) == ("cpu" if own else "published")
        assert suited(format, accelerated=True) == ("gpu" if own else "published")


def test_train_takes_the_name_of_a_method(town, tmp_path, monkeypatch, capsys):
    """The presets themselves are too slow for a test."""
    tiny = {"encoder": TINY, "epochs": 1, "iterations": 2, "people": 4, "views": 2, "k1": AUTO}
    monkeypatch.setattr(
        "reseen.presets.preset", lambda name, which, start: tiny if which == "cpu" else {}
    )
    crops = reseen.Dataset("crops", town.root, town.train)
    train("cluster-contrast", crops, tmp_path / "run", device=reseen.Device(name="cpu"))
    facts = read_facts(tmp_path / "run")
    assert facts["settings"]["k1"] == AUTO and facts["automatic"]["settings"]["k1"]["value"] >= 2
    assert "preset cpu: reseen-tiny, with a schedule" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["gpu", "cpu"])
def test_a_start_brings_the_network_and_its_size(which):
    start = reseen.EncoderSettings(backbone="resnet18", height=192, width=96)
    made = method("cluster-contrast", which, start=start)
    assert made.encoder == reseen.EncoderSettings(height=192, width=96)
    assert automatic(made) == automatic(method("cluster-contrast", which))
