import numpy as np
import pytest

from reseen.engine.folder import read_metrics
from reseen.errors import SettingsError
from tests.conftest import settings_of
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


def test_the_defaults_are_the_paper():
    method = settings_of("ssl")
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
