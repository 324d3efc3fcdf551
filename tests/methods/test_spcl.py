from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen.engine.folder import checkpoint, read_facts, read_metrics
from reseen.errors import DataError, SettingsError
from reseen.records import Dataset
from reseen.training import load
from tests.conftest import settings_of, small
from tests.methods.test_methods import CPU, learn, same, state, stopped_in_round_two, weights

QUICK = dict(epochs=1, iterations=2)
PARTS = dict(epochs=2, iterations=1, eps=0.5, eps_gap=0.05)
"""Settings under which every part changes something."""


@pytest.fixture
def crops(town):
    """Nothing to search: only training takes time."""
    return Dataset("crops", town.root, town.train)


@pytest.fixture(scope="module")
def plain(town, tmp_path_factory):
    """The method as it is, trained once."""
    crops = Dataset("crops", town.root, town.train)
    return learn(small("spcl", **PARTS), crops, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "changes",
    [
        {"outliers": False},
        {"independence": False},
        {"compactness": False},
        {"eps_gap": 0.1},
        {"independent_share": 0.3},
        {"memory_momentum": 0.9},
    ],
    ids=str,
)
def test_every_part_runs_and_counts(crops, plain, tmp_path, quick, changes):
    other = learn(quick("spcl", **PARTS | changes), crops, tmp_path)
    assert not torch.equal(weights(plain), weights(other))


def test_a_source_is_learnt_beside_and_resumes(crops, other_town, tmp_path, quick, monkeypatch):
    """Bit by bit; its batch norms and its rows of the memory are kept too."""
    method = quick("spcl", iterations=2)
    learn(method, crops, tmp_path / "whole", source=other_town)
    with stopped_in_round_two(monkeypatch):
        learn(method, crops, tmp_path / "parts", source=other_town)
    encoder = learn(method, crops, tmp_path / "parts", source=other_town)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert same(whole, parts) and whole["source_norms"]
    people = {image.person for image in other_town.train}
    assert len(whole["memory"]["rows"]) == len(people) + len(crops.train)
    assert torch.equal(weights(load(tmp_path / "parts", device=CPU)), weights(encoder))
    told = (tmp_path / "parts" / "source.txt").read_text().splitlines()
    assert set(told) == {image.path.as_posix() for image in other_town.train}
    assert read_facts(tmp_path / "parts")["source"]["images"] == len(other_town.train)


def test_the_source_counts_its_people_too_and_so_do_norms_of_its_own(
    crops, other_town, tmp_path, quick
):
    people = np.roll([image.person for image in other_town.train], 1)
    turned = tuple(
        replace(image, person=int(p)) for image, p in zip(other_town.train, people, strict=True)
    )
    wrong = replace(other_town, train=turned)
    runs = {
        "alone": learn(quick("spcl", **QUICK), crops, tmp_path / "alone"),
        "source": learn(quick("spcl", **QUICK), crops, tmp_path / "source", source=other_town),
        "turned": learn(quick("spcl", **QUICK), crops, tmp_path / "turned", source=wrong),
        "one norm": learn(
            quick("spcl", **QUICK, source_norm=False), crops, tmp_path / "norm", source=other_town
        ),
    }
    found = list(map(weights, runs.values()))
    assert not any(torch.equal(a, b) for i, a in enumerate(found) for b in found[:i])
    kept = torch.load(checkpoint(tmp_path / "norm", "last"), weights_only=True)
    assert "source_norms" not in kept


def test_a_source_of_nobody_is_refused(crops, other_town, tmp_path, quick):
    alone = replace(other_town, train=tuple(other_town.unlabelled(0)))
    with pytest.raises(DataError, match="The source shows 0 people who are known"):
        learn(quick("spcl", **QUICK), crops, tmp_path / "run", source=alone)


def test_the_memory_is_what_is_clustered(crops, tmp_path, quick):
    """Images that no batch holds keep their first features, and all keep their place."""
    learn(quick("spcl", **QUICK), crops, tmp_path)
    rows = torch.load(checkpoint(tmp_path, "last"), weights_only=True)["memory"]["rows"]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(crops.train)))
    assert "extracting_seconds" in read_metrics(tmp_path)[0]
    learn(quick("spcl", **QUICK | {"epochs": 2}), crops, tmp_path / "two")
    assert "extracting_seconds" not in read_metrics(tmp_path / "two")[1]


def test_the_defaults_are_the_paper():
    method = settings_of("spcl")
    assert (method.memory_momentum, method.temperature, method.eps, method.eps_gap) == (
        *(0.2, 0.05),
        *(0.6, 0.02),
    )
    assert method.encoder.ghost_group == method.people
    assert (method.people, method.views, method.iterations, method.epochs) == (16, 4, 400, 50)
    assert (method.rate, method.rate_step, method.encoder.pooling) == (3.5e-4, 20, "mean")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"memory_momentum": 1.0}, "memory_momentum is 1.0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"eps_gap": 0.0}, "eps_gap is 0.0"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("spcl", **wrong)
