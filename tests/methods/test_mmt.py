import pytest
import torch

from reseen.engine.folder import checkpoint, read_metrics
from reseen.errors import SettingsError
from reseen.records import Dataset
from tests.conftest import settings_of, small
from tests.methods.test_methods import learn, weights

QUICK = dict(epochs=1, iterations=2)


@pytest.fixture
def crops(town):
    """Nothing to search: only training takes time."""
    return Dataset("crops", town.root, town.train)


@pytest.fixture(scope="module")
def plain(town, tmp_path_factory):
    """The method as it is, trained once."""
    crops = Dataset("crops", town.root, town.train)
    return learn(small("mmt", **QUICK), crops, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "changes",
    [
        {"labelling": "k-means", "clusters": 10},
        {"soft_ce_weight": 0.0},
        {"soft_triplet_weight": 0.0},
        {"smoothing": 0.0},
        {"mean_momentum": 0.0},
    ],
    ids=str,
)
def test_every_part_runs_and_counts(crops, plain, tmp_path, quick, changes):
    other = learn(quick("mmt", **QUICK | changes), crops, tmp_path)
    assert not torch.equal(weights(plain), weights(other))


def test_two_networks_learn_apart_and_a_mean_network_is_the_result(crops, tmp_path, quick):
    encoder = learn(quick("mmt", **QUICK), crops, tmp_path)
    kept = torch.load(checkpoint(tmp_path, "last"), weights_only=True)
    names = [name for name, _ in encoder.named_parameters()]
    flat = {
        part: torch.cat([kept[part][name].flatten() for name in names])
        for part in ("encoder", "network", "peer", "peer_mean")
    }
    parts = list(flat.values())
    assert not any(torch.equal(a, b) for i, a in enumerate(parts) for b in parts[:i])
    assert all(torch.equal(value, kept["encoder"][k]) for k, value in encoder.state_dict().items())
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_the_other_mean_network_teaches(crops, tmp_path, quick, monkeypatch):
    """And nothing but it: with all weight on soft labels, labels choose triplets alone."""
    from reseen.methods import mmt

    seen = []

    def look(network, head, pixels):
        found = looked(network, head, pixels)
        seen.append(found)
        return found

    def ask(scores, said):
        asked.append((scores, said))
        return said_of(scores, said)

    looked, said_of, asked = mmt._look, mmt.soft_cross_entropy, []
    monkeypatch.setattr(mmt, "_look", look)
    monkeypatch.setattr(mmt, "soft_cross_entropy", ask)
    learn(quick("mmt", **QUICK | {"iterations": 1}), crops, tmp_path)
    (_, first), (_, second), (_, first_mean), (_, second_mean) = seen
    assert asked[0][0] is first and asked[0][1] is second_mean
    assert asked[1][0] is second and asked[1][1] is first_mean
    assert first.requires_grad and not first_mean.requires_grad


def test_more_clusters_than_images_are_refused(crops, tmp_path, quick):
    method = quick("mmt", labelling="k-means", clusters=500, **QUICK)
    with pytest.raises(SettingsError, match=r"clusters is 500 for 72 images\. Use 72 or fewer"):
        learn(method, crops, tmp_path)


def test_k_means_makes_as_many_clusters_without_noise(crops, tmp_path, quick):
    learn(quick("mmt", labelling="k-means", clusters=10, **QUICK), crops, tmp_path)
    row = read_metrics(tmp_path)[-1]
    assert (row["clusters"], row["noise"]) == (10, 0)


def test_the_defaults_are_the_paper():
    method = settings_of("mmt")
    assert (method.soft_ce_weight, method.soft_triplet_weight) == (0.5, 0.8)
    assert (method.mean_momentum, method.rate, method.rate_step) == (0.999, 3.5e-4, 0)
    assert method.encoder.ghost_group == method.people
    assert (method.people, method.views, method.iterations, method.epochs) == (16, 4, 400, 40)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"labelling": "two-stage"}, "labelling is 'two-stage'"),
        ({"soft_ce_weight": 1.5}, "soft_ce_weight is 1.5"),
        ({"mean_momentum": 1.0}, "mean_momentum is 1.0"),
        ({"clusters": 1}, "clusters is 1"),
        ({"people": 1}, "people is 1"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("mmt", **wrong)
