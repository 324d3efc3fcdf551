import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reseen.cli.bench import _bound
from reseen.engine.settings import varied
from reseen.errors import SettingsError
from reseen.kernels.centring import centre
from reseen.methods.adtc import ADTC
from reseen.nets import encoder as encoders
from reseen.nets.encoder import build
from reseen.records import Dataset
from tests.conftest import settings_of, small
from tests.methods.test_methods import learn, weights

QUICK = dict(rounds=1, epochs=1, iterations=2)


@pytest.fixture
def crops(town):
    """Nothing to search: only training takes time."""
    return Dataset("crops", town.root, town.train)


@pytest.fixture(scope="module")
def plain(town, tmp_path_factory):
    """What a short run with the defaults learns."""
    crops = Dataset("crops", town.root, town.train)
    return learn(small("adtc", **QUICK), crops, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "none"},
        {"attention": "voxel-channel"},
        {"attention": "voxel-spatial"},
        {"attention": "harmonious"},
        {"attention": "cbam"},
        {"reduction": 24},
        {"gate": True},
        {"labelling": "k-means"},
        {"labelling": "dbscan"},
        {"weighted": True},
        {"loss": "memory"},
        {"unit": False},
        {"rate_hold": 0, "epochs": 2},
    ],
    ids=str,
)
def test_every_part_runs_and_counts(crops, tmp_path, quick, plain, changes):
    other = learn(quick("adtc", **QUICK | changes), crops, tmp_path)
    assert weights(plain).shape != weights(other).shape or not torch.equal(
        weights(plain), weights(other)
    )


def test_attention_learns(crops, tmp_path, quick):
    encoder = learn(quick("adtc", **QUICK | {"rounds": 2}), crops, tmp_path / "run")
    torch.manual_seed(0)
    from reseen.nets.encoder import build

    start = dict(build(encoder.settings).named_parameters())
    new = {n: w for n, w in encoder.named_parameters() if n.startswith("attention")}
    assert {name.split(".")[-2] for name in new} == {"squeeze", "excite"}
    assert all(not torch.equal(weight, start[name]) for name, weight in new.items())


def test_the_rate_holds_then_falls_then_begins_again():
    method = varied(ADTC(), {"rate": 1.0})
    first = [method._rate(0, epoch) for epoch in range(10)]
    assert first[:6] == [1.0] * 6
    assert first[6] == pytest.approx(0.001**0.2) and first[9] == pytest.approx(0.001**0.8)
    assert method._rate(7, 0) == 1.0
    assert varied(ADTC(), {"rate": 1.0, "rate_step": 5})._rate(12, 0) == pytest.approx(0.01)


def test_the_defaults_are_the_paper():
    method = settings_of("adtc")
    said = (method.clusters, method.p, method.margin, method.rounds, method.epochs, method.rate)
    assert said == (1000, 20, 0.3, 20, 10, 1e-4)
    assert (method.people, method.views, method.encoder.pooling) == (32, 4, "max")
    assert (method.augment.flip, method.augment.pad, method.augment.erase) == (0.5, 0, 0.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"attention": "voxl"}, "attention is 'voxl'"),
        ({"labelling": "kmeans"}, "labelling is 'kmeans'"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"people": 1}, "people is 1"),
        ({"clusters": 0}, "clusters is 0"),
        ({"rate": 0.0}, "rate is 0.0"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("adtc", **wrong)


@pytest.mark.parametrize("labelling", ["two-stage", "k-means"])
def test_more_centroids_than_images(crops, tmp_path, quick, labelling):
    with pytest.raises(SettingsError, match="clusters is 500 for 72 images"):
        learn(quick("adtc", clusters=500, labelling=labelling), crops, tmp_path)


def test_a_start_with_the_documented_options_is_taken_whole(tmp_path):
    """The line of docs/methods/adtc.md: attention and neck go on from the source's."""
    page = (Path(__file__).parents[2] / "docs" / "methods" / "adtc.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^reseen train supervised SOURCE --out source (.*)$", page, re.MULTILINE)
    small = "--encoder.backbone squeezenet1_1 --encoder.weights none --encoder.height 48 "
    small += "--encoder.width 24 --encoder.last-stride 2"
    bound = _bound("supervised", tmp_path, tmp_path / "run", [], f"{line} {small}")
    torch.manual_seed(0)
    source = build(bound["settings"].encoder)
    with torch.no_grad():
        for weight in source.state_dict().values():
            weight += 1
    torch.save(encoders.save(source), tmp_path / "start.pt")
    target = encoders.start(
        varied(ADTC(), {"encoder.height": 48, "encoder.width": 24})._attended(),
        tmp_path / "start.pt",
    )
    assert target.state_dict().keys() == source.state_dict().keys()
    for name, weight in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], weight), name


@pytest.mark.parametrize("labelling", ["two-stage", "k-means", "dbscan"])
def test_every_labelling_groups_features_centred_by_camera(labelling):
    rows, cameras = np.random.default_rng(0).normal(size=(120, 16)), np.arange(120) % 2
    rows = rows[np.arange(120) // 10 * 10] + 0.4 * rows + cameras[:, None]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    run = SimpleNamespace(rng=lambda _: np.random.default_rng(0))
    plain = varied(ADTC(), dict(labelling=labelling, clusters=12, p=6, k1=8, k2=2))
    found = varied(plain, {"centring": "mean"})._label(rows, cameras, run)
    assert np.array_equal(found.ids, plain._label(centre(rows, cameras, "mean"), cameras, run).ids)
    assert not np.array_equal(found.ids, plain._label(rows, cameras, run).ids)
