import json

import numpy as np
import pytest
import torch

from reseen.engine.device import Device
from reseen.errors import ClusteringError, SettingsError
from reseen.training import train
from tests.conftest import small

CPU = Device(name="cpu", precision="float32")


def learn(method, data, folder, **options):
    return train(method, data, folder, device=CPU, quiet=True, **options)


def weights(encoder):
    return torch.cat([value.flatten().float() for value in encoder.state_dict().values()])


@pytest.fixture(scope="module")
def plain(town, tmp_path_factory):
    """What one round with the defaults learns."""
    return learn(small(epochs=1), town, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("start", ["mean", "random", "hard"])
@pytest.mark.parametrize("update", ["momentum", "hard"])
def test_every_memory_runs_and_differs(town, tmp_path, quick, plain, start, update):
    other = learn(quick(epochs=1, memory_start=start, memory_update=update), town, tmp_path)
    same = torch.equal(weights(plain), weights(other))
    assert same == ((start, update) == ("mean", "momentum"))


def test_people_do_not_stand_next_to_each_other_in_training(town):
    person = {image.path: image.person for image in town.train}
    order = [person[image.path] for image in town.unlabelled(0)]
    files = [image.person for image in sorted(town.train, key=lambda image: image.path)]
    neighbours = [np.mean(np.diff(ids) == 0) for ids in (order, files)]
    assert neighbours[0] < 0.4 < neighbours[1]
    assert all(image.person is None for image in town.unlabelled(0))


def test_neither_workers_nor_memory_change_anything(town, tmp_path, quick):
    from reseen.data.loading import Loading

    ways = [Loading(), Loading(memory=0, workers=1), Loading(memory=0, workers=3)]
    results = [
        weights(learn(quick(epochs=2), town, tmp_path / str(i), loading=way))
        for i, way in enumerate(ways)
    ]
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_no_clusters_explain_themselves(town, tmp_path, quick):
    with pytest.raises(ClusteringError, match=r"found 0 clusters.*eps 0\.01.*raise eps to about"):
        learn(quick(eps=0.01, min_samples=6), town, tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["eps"] == 0.01


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"eps": 1.5}, "eps is 1.5"),
        ({"people": 0}, "people is 0"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"memory_start": "first"}, "memory_start is 'first'"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick(**wrong)
