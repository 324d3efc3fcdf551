import pytest
import torch

from reseen.engine.folder import checkpoint, read_metrics
from reseen.engine.settings import varied
from reseen.errors import SettingsError
from reseen.losses.consistency import consistency
from reseen.methods.conslearn import ConsLearn
from reseen.nets.heads import ProjectionHead
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
    """What two steps with the defaults learn."""
    crops = Dataset("crops", town.root, town.train)
    return learn(small("conslearn", **QUICK), crops, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.0},
        {"stages": (1, 3)},
        {"rescale": True},
        {"both_views": False},
        {"classifier": "memory"},
        {"triplet_weight": 0.0},
        {"consistency_weight": 0.0},
        {"projection": "none"},
        {"projection": "linear"},
        {"projection_init": "normal"},
        {"projection_unit": True},
        {"projection_temperature": 0.1},
        {"mean_momentum": 0.0},
        {"mean_ages": (1,)},
        {"mean_ages": (0, 1)},
    ],
    ids=str,
)
def test_every_part_runs_and_counts(crops, tmp_path, quick, plain, changes):
    other = learn(quick("conslearn", **QUICK | changes), crops, tmp_path)
    assert not torch.equal(weights(plain), weights(other))


def test_the_mean_network_is_the_result_and_follows(crops, tmp_path, quick):
    encoder = learn(quick("conslearn", **QUICK, mean_momentum=0.9), crops, tmp_path)
    state = torch.load(checkpoint(tmp_path, "last"), weights_only=True)
    assert all(torch.equal(value, state["encoder"][k]) for k, value in encoder.state_dict().items())
    torch.manual_seed(0)
    from reseen.nets.encoder import build

    start = torch.cat([weight.flatten() for weight in build(encoder.settings).parameters()])
    mean = torch.cat([weight.flatten() for weight in encoder.parameters()])
    names = [name for name, _ in encoder.named_parameters()]
    learnt = torch.cat([state["network"][name].flatten() for name in names])
    # after two steps 0.81 of the start is left, and the rest lies on the way to what was learnt
    assert 0 < (mean - start).norm() < 0.2 * (learnt - start).norm()
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_without_momentum_it_is_the_network(crops, tmp_path, quick):
    learn(quick("conslearn", **QUICK, mean_momentum=0.0), crops, tmp_path)
    state = torch.load(checkpoint(tmp_path, "last"), weights_only=True)
    for name, value in state["network"].items():
        torch.testing.assert_close(state["encoder"][name], value)
    for name, value in state["head"].items():
        torch.testing.assert_close(state["mean_head"][name], value)


def test_the_head_learns_by_each_loss_that_reaches_it(crops, tmp_path, quick):
    """Shared: both; linear: its first part by consistency alone."""
    off = dict(consistency_weight=0.0)
    for projection, changes, moves in [
        ("shared", off, ["project.weight"]),
        ("linear", off, ["_own.weight"]),
        ("linear", {}, ["_own.weight", "project.weight"]),
    ]:
        heads = []
        for iterations in (1, 2):
            folder = tmp_path / f"{projection}{len(changes)}{iterations}"
            method = dict(projection=projection, epochs=1, iterations=iterations) | changes
            learn(quick("conslearn", **method), crops, folder)
            heads.append(torch.load(checkpoint(folder, "last"), weights_only=True)["head"])
        moved = [name for name in heads[0] if not torch.equal(heads[0][name], heads[1][name])]
        assert sorted(moved) == moves


def test_the_defaults_are_the_paper():
    method = settings_of("conslearn")
    said = (method.ce_weight, method.triplet_weight, method.consistency_weight)
    assert said == (0.2, 0.35, 0.1) and method.people * method.views == 256
    assert (method.alpha, method.beta, method.stages) == (0.4, 0.3, (0, 1, 2))
    assert (method.mean_momentum, method.projected, method.augment.erase) == (0.999, 2048, 0.0)
    assert method.encoder.ghost_group == 64  # "256 in 4 GPUs"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"projection": "deep"}, "projection is 'deep'"),
        ({"classifier": "cosine"}, "classifier is 'cosine'"),
        ({"mean_ages": (-1,)}, "mean_ages"),
        ({"ce_weight": -1.0}, "ce_weight is -1.0"),
        ({"projected": 0}, "projected is 0"),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(quick, wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick("conslearn", **wrong)


def test_each_term_is_logged_and_together_they_are_the_loss(crops, tmp_path, quick):
    method = quick("conslearn", **QUICK)
    learn(method, crops, tmp_path)
    (row,) = [row for row in read_metrics(tmp_path) if row["round"] == 1]
    weights = dict(ce=0.2, triplet=0.35, consistency=0.1)  # the paper's
    told = sum(weight * row[f"loss_{name}"] for name, weight in weights.items())
    assert row["loss"] == pytest.approx(told, rel=1e-4)
    assert row["rate"] == pytest.approx(method.schedule.rate)


def test_a_small_temperature_over_unit_vectors_makes_consistency_act():
    """Over 2048 numbers the printed softmax is all but uniform, and asks next to nothing."""
    torch.manual_seed(0)
    vectors, wanted = torch.randn(2, 8, 64, requires_grad=True), torch.randn(2, 8, 64)
    head = ProjectionHead(64, 2048, "shared")

    def pull(**changes):
        method = varied(ConsLearn(), changes)
        views, told = ([method._project(head, v) for v in of] for of in (vectors, wanted))
        return torch.autograd.grad(consistency(views, told), vectors)[0].norm()

    sharp = pull(projection_unit=True, projection_temperature=0.01)
    assert sharp > 10 * pull() and sharp > 10 * pull(projection_unit=True)
