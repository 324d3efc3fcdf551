"""Every method without labels learns from tracklets as it does from pictures, unchanged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen.data.loading import Loading
from reseen.engine.folder import read_facts, read_metrics
from reseen.errors import SettingsError
from tests.methods.test_methods import BLIND, CLUSTERED, learn, stopped_in_round_two, weights

slow = pytest.mark.slow

FEW = dict(k1=4, eps=0.5)
"""Twenty-four tracklets have few neighbours."""


@pytest.mark.parametrize(
    "name",
    [name if name == "cluster-contrast" else pytest.param(name, marks=slow) for name in BLIND],
)
def test_it_learns_from_tracklets_and_resumes(video, tmp_path, quick, monkeypatch, name, given):
    """Bit by bit, so the frames that are drawn come from seed and round alone."""
    method = quick(name, **(FEW if name in CLUSTERED else {}))
    whole = learn(method, video, tmp_path / "whole", **given)
    with stopped_in_round_two(monkeypatch):
        learn(method, video, tmp_path / "parts", **given)
    parts = learn(method, video, tmp_path / "parts", loading=Loading(memory=0), **given)
    assert torch.equal(weights(whole), weights(parts))
    row = read_metrics(tmp_path / "whole")[-1]
    assert 0 < row["mAP"] < 1 and np.isfinite(row["loss"])
    assert len((tmp_path / "whole" / "images.txt").read_text().splitlines()) == len(video.train)


def test_a_source_of_tracklets_teaches_and_resumes(video, other_town, tmp_path, quick, monkeypatch):
    method = quick("daal", **FEW)
    whole = learn(method, other_town, tmp_path / "whole", source=video)
    with stopped_in_round_two(monkeypatch):
        learn(method, other_town, tmp_path / "parts", source=video)
    parts = learn(method, other_town, tmp_path / "parts", source=video)
    assert torch.equal(weights(whole), weights(parts))
    assert len((tmp_path / "whole" / "source.txt").read_text().splitlines()) == len(video.train)


def test_scrambled_people_and_shuffled_tracklets_change_nothing(video, tmp_path, quick):
    rng = np.random.default_rng(0)
    order, people = rng.permutation(24), rng.permutation([i.person for i in video.train])
    train = (replace(video.train[i], person=int(people[i])) for i in order)
    one = learn(quick(**FEW), video, tmp_path / "one")
    two = learn(quick(**FEW), replace(video, train=tuple(train)), tmp_path / "two")
    assert torch.equal(weights(one), weights(two))


def test_other_frames_give_another_run(video, tmp_path, quick):
    """Every frame is drawn from, and the bound on those of a feature belongs to the run."""
    first = tuple(replace(image, frames=image.frames[:1]) for image in video.train)
    stills = replace(video, train=first)
    one = learn(quick(epochs=1, **FEW), video, tmp_path / "one", evaluate_every=0)
    two = learn(quick(epochs=1, **FEW), stills, tmp_path / "two", evaluate_every=0)
    assert not torch.equal(weights(one), weights(two))
    data = [read_facts(tmp_path / run)["data"] for run in ("one", "two")]
    assert data[0]["frames"] == 0 and data[0]["train"] != data[1]["train"]
    with pytest.raises(SettingsError, match="frames"):
        learn(quick(epochs=1, **FEW), video, tmp_path / "one", loading=Loading(frames=2))
