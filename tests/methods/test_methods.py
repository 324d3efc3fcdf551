"""What a method without labels owes: it learns, its numbers stay, it resumes, it sees no people."""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from reseen.data.augment import AugmentSettings
from reseen.engine.device import Device
from reseen.engine.folder import checkpoint, read_metrics
from reseen.engine.run import Run
from reseen.engine.settings import flat
from reseen.errors import ClusteringError
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings
from reseen.records import Dataset
from reseen.training import load, train
from tests.conftest import TINY, small, sources

CPU = Device(name="cpu", precision="float32")
BLIND = [name for name, method in METHODS.items() if not getattr(method, "needs_people", False)]
everyone = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BLIND]
)


def learn(method, data, folder, **options):
    return train(method, data, folder, device=CPU, quiet=True, **options)


def weights(encoder):
    return torch.cat([value.flatten().float() for value in encoder.state_dict().values()])


START = EncoderSettings(backbone="reseen-tiny", height=32, width=16, last_stride=2)
LEARNS = {
    "cluster-contrast": dict(epochs=8, iterations=10, eps=0.5),
    "adtc": dict(rounds=6, iterations=8, people=8, clusters=32, p=5, gate=True, rate=2e-4),
    "conslearn": dict(epochs=6, iterations=10, eps=0.5, stages=(0,), rate=2e-4),
    "mla": dict(epochs=6, iterations=10, eps=0.5),
    "mmt": dict(epochs=6, iterations=10, people=8, eps=0.5, rate=2e-4),
    "spcl": dict(epochs=8, iterations=10, eps=0.5, people=16, views=4),
    "house": dict(epochs=8, iterations=10, eps=0.5, instance_weight=0.0),
    "ssl": dict(first=2, rounds=5, batch=16, k=4, rate=0.01, rate_hold=2),
    "buc": dict(first=2, merge_rate=0.2, batch=16, rate=0.01, rate_hold=2),
}
TRUTH = {"ssl": "reliable_right", "buc": "pairwise_f"}
"""What tells how right a method's labels are, where not NMI: BUC starts with one cluster an image,
which NMI rates high."""
CLUSTERED = [name for name in BLIND if name not in ("ssl", "buc")]
"""Methods whose rounds can fail to find clusters."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNS)  # daal: in its own file
def test_it_learns(easy_town, tmp_path, quick, name, given):
    """What learns nothing keeps its mAP; each seed that was tried gains half of it or more."""
    method = quick(name, encoder=START, augment=AugmentSettings(pad=3), **LEARNS[name])
    learn(method, easy_town, tmp_path, evaluate_every=0, **given)
    rows = read_metrics(tmp_path)
    assert rows[-1]["mAP"] > 1.2 * rows[0]["mAP"]
    truth = [row[TRUTH.get(name, "nmi")] for row in rows if TRUTH.get(name, "nmi") in row]
    assert truth[-1] > truth[0]
    falls = "loss_clusters" if name == "house" else "loss"  # a weight of house's rises by schedule
    assert rows[-1][falls] < rows[1][falls]


FIVE = {
    "adtc": dict(rounds=5, epochs=1, iterations=1),
    "ssl": dict(first=2, rounds=3, rate_hold=2),
    "buc": dict(first=2, merge_rate=0.2, rate_hold=2),
    "daal": dict(rounds=5, epochs=1, iterations=1, head_rate=1e-5),
}


def five_losses(town, folder, quick, name, given):
    small = dict(rate=1e-5) | FIVE.get(name, dict(epochs=5, iterations=1))
    learn(quick(name, **small), town, folder, evaluate_every=0, **given)
    return [row["loss"] for row in read_metrics(folder)[1:6]]


@everyone
def test_golden_losses(town, tmp_path, quick, name, given):
    """Five rounds of one seed: a change of any part that changes the numbers shows here."""
    losses = five_losses(town, tmp_path, quick, name, given)
    np.testing.assert_allclose(losses, GOLDEN[name], rtol=1e-3)


@pytest.mark.slow
@everyone
def test_golden_losses_do_not_hang_on_rounding(town, tmp_path, quick, name, given, monkeypatch):
    """Processors round apart by some 1e-7; moving every weight by 1e-6 of itself may not show."""
    build = Run.build

    def moved(run, settings):
        encoder, chance = build(run, settings), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in encoder.parameters():
                weight *= 1 + 1e-6 * torch.randn(weight.shape, generator=chance)
        return encoder

    monkeypatch.setattr(Run, "build", moved)
    losses = five_losses(town, tmp_path, quick, name, given)
    np.testing.assert_allclose(losses, GOLDEN[name], rtol=5e-4)


GOLDEN = {
    "cluster-contrast": [2.292274, 2.417439, 2.668317, 2.097206, 2.041506],
    "adtc": [0.886984, 1.079329, 0.798414, 0.786001, 0.94398],
    "conslearn": [9.193851, 11.301701, 10.559637, 9.197918, 10.003117],
    "mla": [2.36123, 2.381502, 2.298091, 2.205347, 2.511276],
    "mmt": [6.720899, 7.303992, 6.796038, 6.12765, 7.483869],
    "spcl": [3.112451, 6.8719, 9.112768, 7.215782, 4.693917],
    "ssl": [4.456656, 3.324748, 3.115854, 3.090962, 2.911577],
    "buc": [4.563823, 3.764211, 3.116271, 2.54602, 2.09504],
    "daal": [5.148713, 7.031543, 7.384509, 5.45877, 6.540586],
    "house": [6.793525, 7.362378, 6.942073, 10.445356, 13.099155],
}


@contextmanager
def stopped_in_round_two(monkeypatch):
    """Stop a run at the end of its second round, before anything of it is kept."""
    finish = Run._finish

    def stop_in_two(run, parts, last):
        if run.round == 2:
            raise KeyboardInterrupt
        finish(run, parts, last)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_finish", stop_in_two)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.fixture(scope="session")
def whole_run(town, other_town, tmp_path_factory):
    """Give the folder of an uninterrupted run of a method, trained once for all tests."""

    @cache
    def run(name):
        folder = tmp_path_factory.mktemp(name) / "whole"
        learn(small(name), town, folder, evaluate_every=1, **sources(name, other_town))
        return folder

    return run


def state(folder):
    """Give all that is kept but the metrics, which hold times."""
    kept = torch.load(checkpoint(folder, "last"), weights_only=True)
    return {name: part for name, part in kept.items() if name != "metrics"}


@everyone
def test_stopped_and_resumed_equals_uninterrupted(
    town, tmp_path, quick, monkeypatch, whole_run, name, given
):
    """All that is kept, bit by bit: encoder, optimiser, mean network and its head."""
    with stopped_in_round_two(monkeypatch):
        learn(quick(name), town, tmp_path, evaluate_every=1, **given)
    learn(quick(name), town, tmp_path, evaluate_every=1, **given)
    states = state(whole_run(name)), state(tmp_path)
    assert same(*states) and states[0]["round"] == 3
    rows = [
        [{k: v for k, v in row.items() if "seconds" not in k} for row in read_metrics(folder)]
        for folder in (whole_run(name), tmp_path)
    ]
    assert rows[0] == rows[1]


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


@everyone
def test_scrambled_people_and_shuffled_files_change_nothing(
    town, tmp_path, quick, whole_run, name, given
):
    """The identity barrier: neither who is who nor the order of files may reach the method."""
    people = np.random.default_rng(0).permutation([image.person for image in town.train])
    order = np.random.default_rng(1).permutation(len(town.train))
    train = tuple(replace(town.train[i], person=int(people[i])) for i in order)
    other = replace(town, train=train)
    encoder = learn(quick(name), other, tmp_path, evaluate_every=0, **given)
    assert torch.equal(weights(encoder), weights(load(whole_run(name), device=CPU)))
    folders = (whole_run(name), tmp_path)
    nmi = [read_metrics(folder)[-1][TRUTH.get(name, "nmi")] for folder in folders]
    assert nmi[0] != nmi[1]  # the judge does see the difference


@everyone
def test_what_it_learnt_loads_again(town, quick, whole_run, name, given):
    encoder = learn(quick(name), town, whole_run(name), evaluate_every=1, **given)  # only read
    assert torch.equal(weights(load(whole_run(name), device=CPU)), weights(encoder))
    row = max(read_metrics(whole_run(name))[1:], key=lambda row: row["mAP"])
    best = load(whole_run(name), best=True, device=CPU)
    assert torch.equal(weights(best), weights(encoder)) == (row["round"] == 3)


@everyone
def test_it_learns_in_bfloat16(town, tmp_path, quick, name, given):
    rough = Device(name="cpu", precision="bfloat16")
    wide = replace(TINY, height=64, width=64)  # maps wider than one pixel
    method = quick(name, encoder=wide, epochs=1)
    encoder = train(method, town, tmp_path, device=rough, quiet=True, **given)
    assert encoder.precision == "bfloat16" and weights(encoder).isfinite().all()


@pytest.mark.parametrize("name", [name for name in BLIND if "teacher" in flat(METHODS[name]())])
def test_a_teacher_is_the_result_and_resumes(town, tmp_path, quick, monkeypatch, name, given):
    """ConsLearn has a mean network of its own."""
    method = quick(name, teacher=True, teacher_momentum=0.5, eps=0.4)
    whole = learn(method, town, tmp_path / "whole", evaluate_every=0, **given)
    student = torch.load(checkpoint(tmp_path / "whole", "last"), weights_only=True)["student"]
    assert not torch.equal(student["neck.weight"], whole.neck.weight)
    with stopped_in_round_two(monkeypatch):
        learn(method, town, tmp_path / "again", evaluate_every=0, **given)
    learn(method, town, tmp_path / "again", evaluate_every=0, **given)
    assert same(state(tmp_path / "whole"), state(tmp_path / "again"))


@pytest.mark.parametrize("name", CLUSTERED)
def test_no_clusters_explain_themselves(town, tmp_path, quick, name, given):
    few = dict(clusters=1) if name == "adtc" else dict(eps=0.01, min_samples=6)
    with pytest.raises(ClusteringError, match=r"found [01] clusters?.*(raise eps|fewer clusters)"):
        learn(quick(name, **few), town, tmp_path, **given)


@everyone
def test_images_alone_are_enough(town, tmp_path, quick, name, given):
    """No people, no cameras, no queries: the practitioner's folder."""
    crops = tuple(replace(image, camera=None) for image in town.unlabelled(5))
    learn(quick(name), Dataset("crops", town.root, crops), tmp_path, **given)
    rows = read_metrics(tmp_path)
    assert [row["round"] for row in rows] == [1, 2, 3]
    assert name == "ssl" or "stability" in rows[1]
    assert "mAP" not in rows[-1] and "nmi" not in rows[-1]


class Begun(Exception):  # noqa: N818 (no error)
    """The first round is about to begin."""


@pytest.mark.parametrize("name", METHODS)
def test_every_method_begins_with_adapted_batch_norm(
    town, tmp_path, quick, monkeypatch, name, given
):
    def rounds(_run, _total, *, encoder, **_):
        raise Begun(encoder)

    monkeypatch.setattr(Run, "rounds", rounds)
    with pytest.raises(Begun) as begun:
        learn(quick(name), town, tmp_path, adapt_norm=True, **given)
    assert begun.value.args[0].neck.running_mean.any()
