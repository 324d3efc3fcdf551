from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseen.engine.extract import extract, extract_of, extract_parts, load
from reseen.engine.folder import read_metrics
from reseen.engine.processes import once
from reseen.engine.progress import UNTRACKED
from reseen.errors import SettingsError
from reseen.kernels.dissimilarity import least_dissimilar
from reseen.nets.encoder import build
from tests.conftest import TINY, settings_of
from tests.methods.test_methods import learn


def test_the_first_stage_sees_no_neighbours_and_later_rounds_do(town, tmp_path, quick):
    learn(quick("ssl", first=2, rounds=1), town, tmp_path, evaluate_every=0)
    rows = read_metrics(tmp_path)[1:]
    assert ["reliable_right" in row for row in rows] == [False, False, True]


@pytest.mark.parametrize("rounds", [0, 2])
def test_cameras_and_parts_change_what_is_learnt_only_after_the_first_stage(
    town, tmp_path, quick, rounds
):
    """The rows of Table 1 are different runs, and the baseline is one."""
    variants = {"full": {}, "parts": dict(camera_weight=0.0), "cce": dict(part_weight=0.0)}
    losses = {}
    for name, changes in variants.items():
        method = quick("ssl", **(dict(rounds=rounds, camera_weight=0.5) | changes))
        learn(method, town, tmp_path / name, evaluate_every=0)
        losses[name] = read_metrics(tmp_path / name)[-1]["loss"]
    assert len(set(losses.values())) == (3 if rounds else 1)


def test_no_reliable_images_leave_the_hard_target(town, tmp_path, quick):
    """Where Fig. 4 (c) begins: as if all of the target lay on the own class."""
    losses = []
    for changes in (dict(k=0), dict(own=1.0)):
        folder = tmp_path / str(changes)
        learn(quick("ssl", first=1, rounds=2, **changes), town, folder, evaluate_every=0)
        losses.append([row["loss"] for row in read_metrics(folder)[1:]])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert "reliable_right" not in read_metrics(tmp_path / str(dict(k=0)))[-1]


@pytest.mark.parametrize("vector", ["pooled", "neck"])
def test_images_are_mined_before_the_neck_and_the_table_stays_behind_it(town, quick, vector):
    method = quick("ssl", mining_vector=vector)
    torch.manual_seed(0)
    encoder = build(TINY)
    with torch.no_grad():  # a neck that tells pictures apart by other numbers
        encoder.neck.weight[:256] = 0
        encoder.neck.running_mean.uniform_()
    crops = load(town.train, encoder)
    table = method.memory.begin(extract(encoder, crops), "cpu")
    run = SimpleNamespace(track=lambda _: UNTRACKED, neighbours=lambda _: None, once=once)
    found = method._mine(encoder, crops, table, run)
    torch.testing.assert_close(table.rows, torch.from_numpy(extract(encoder, crops)))

    def pooled(pixels):
        return F.normalize(encoder.pool_parts(pixels, 2), dim=-1)

    features = {"pooled": extract_of(encoder, crops, pooled)}
    features["neck"] = extract_parts(encoder, crops, 2)
    cost = method.stripes.cost(crops.cameras)
    near = {
        name: least_dissimilar(of, method.stripes.weights, method.k, **cost)[0]
        for name, of in features.items()
    }
    np.testing.assert_array_equal(found, near[vector])
    assert (near["pooled"] != near["neck"]).any()


def test_the_defaults_are_the_paper():
    method = settings_of("ssl")
    assert method.mining_vector == "pooled"
    assert (method.own, method.k, method.parts) == (0.6, 4, 8)
    assert (method.part_weight, method.camera_weight, method.temperature) == (0.5, 0.02, 0.1)
    assert (method.first, method.rate, method.rate_hold) == (25, 0.1, 15)
    assert (method.batch, method.dropout) == (16, 0.5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(k=-1), "k is -1"),
        (dict(own=1.1), "own is 1.1"),
        (dict(part_weight=-0.1), "part_weight is -0.1"),
        (dict(camera_weight=-1.0), "camera_weight is -1.0"),
        (dict(parts=0), "parts is 0"),
        (dict(temperature=0.0), "temperature is 0.0"),
        (dict(dropout=1.0), "dropout is 1.0"),
        (dict(batch=1), "batch is 1"),
        (dict(mining_vector="map"), "mining_vector is 'map'"),
        (dict(first=0, rounds=0), "first 0 and rounds 0"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("ssl", **wrong)


def test_more_neighbours_than_images_are_refused(town, tmp_path, quick):
    with pytest.raises(SettingsError, match="k is 999 for"):
        learn(quick("ssl", k=999), town, tmp_path)


@pytest.mark.parametrize("rounds", [0, 1])
def test_reliable_images_are_found_by_features_centred_by_camera(
    town, tmp_path, quick, monkeypatch, rounds
):
    monkeypatch.setattr("reseen.kernels.centring.LEAST", 5)
    losses = set()
    for how in ("off", "deviation"):
        method = quick("ssl", rounds=rounds, centring=how)
        learn(method, town, tmp_path / how, evaluate_every=0)
        losses.add(read_metrics(tmp_path / how)[-1]["loss"])
    assert len(losses) == 1 + rounds
