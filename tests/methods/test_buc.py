from itertools import pairwise

import numpy as np
import pytest
import torch

from reseen.checks import AUTO
from reseen.engine.folder import checkpoint, read_facts, read_metrics, worked_out
from reseen.engine.run import Run
from reseen.errors import SettingsError
from tests.conftest import settings_of
from tests.methods.test_methods import learn, weights


def labels(folder):
    return [np.load(path) for path in sorted((folder / "labels").glob("*.npy"))]


def test_clusters_only_grow_together_a_share_of_all_images_each_round(town, tmp_path, quick):
    learn(quick("buc", first=2, merge_rate=0.2), town, tmp_path)
    n, found = len(town.train), labels(tmp_path)
    assert [len(set(ids)) for ids in found] == [n, n, *(n - i * int(n * 0.2) for i in (1, 2, 3))]
    for before, after in pairwise(found):
        assert all(len(set(after[before == c])) == 1 for c in set(before))


def test_it_ends_when_strangers_would_be_merged_and_stays_so(town, tmp_path, quick, monkeypatch):
    """The rule needs no people; the round that would merge them leaves the encoder alone."""
    method = quick("buc", merge_rate=0.1, stop=0.001)
    encoder = learn(method, town, tmp_path)
    rows = read_metrics(tmp_path)
    assert 1 < rows[-1]["round"] < 9 and "loss" not in rows[-1] and "mAP" in rows[-1]
    state = torch.load(checkpoint(tmp_path, "last"), weights_only=True)
    assert state["ended"] and len(labels(tmp_path)) == rows[-1]["round"] - 1

    def never(*_):
        raise AssertionError("a run that has ended went on")

    monkeypatch.setattr(Run, "_finish", never)
    assert torch.equal(weights(learn(method, town, tmp_path)), weights(encoder))


@pytest.mark.parametrize(("name", "setting"), [("buc", "merge_rate"), ("ssl", "k")])
def test_what_follows_from_the_data_is_settled_and_scored(town, tmp_path, quick, name, setting):
    method = quick(name, **{"first": 1, setting: AUTO})
    learn(method, town, tmp_path, images_per_person=2)
    assert worked_out(read_facts(tmp_path)) == {setting: {"buc": 0.25, "ssl": 1}[name]}
    rows = read_metrics(tmp_path)
    assert len(rows) > 2 and all("shared_neighbours" in row for row in rows)
    left = 2 * (len(town.train) // 4) + len(town.train) % 4  # of two rounds of merging
    assert name == "ssl" or rows[-1]["clusters"] == left


def test_the_defaults_are_its_authors():
    method = settings_of("buc")
    assert (method.merge_rate, method.size_weight, method.first, method.epochs) == (
        *(0.05, 0.005, 20, 2),
    )
    assert (method.part_weight, method.camera_weight) == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(merge_rate=0.0), "merge_rate is 0.0"),
        (dict(merge_rate=0.6), "merge_rate is 0.6"),
        (dict(size_weight=-1.0), "size_weight is -1.0"),
        (dict(stop=1.0), "stop is 1.0"),
        (dict(first=0), "first is 0"),
        (dict(part_weight=2.0), "part_weight is 2.0"),
        (dict(batch=1), "batch is 1"),
        (dict(rate=0.0), "rate is 0.0"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("buc", **wrong)


def test_clusters_to_merge_are_compared_by_features_centred_by_camera(
    town, tmp_path, quick, monkeypatch
):
    monkeypatch.setattr("reseen.kernels.centring.LEAST", 5)
    for how in ("off", "mean"):
        learn(quick("buc", merge_rate=0.3, centring=how), town, tmp_path / how, evaluate_every=0)
    before, after = (labels(tmp_path / how) for how in ("off", "mean"))
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[1], after[1])
