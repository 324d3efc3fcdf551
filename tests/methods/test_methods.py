"""What a method without labels owes: it learns, its numbers stay, it resumes, it sees no people."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen.data.augment import AugmentSettings
from reseen.engine.device import Device
from reseen.engine.run import Run, checkpoint, read_metrics
from reseen.errors import ClusteringError
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings
from reseen.records import Dataset
from reseen.training import load, train
from tests.conftest import TINY

CPU = Device(name="cpu", precision="float32")
BLIND = [name for name, method in METHODS.items() if not getattr(method, "needs_people", False)]
everyone = pytest.mark.parametrize("name", BLIND)


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
    "ssl": dict(first=2, rounds=5, batch=16, k=4, rate=0.01, rate_hold=2),
    "buc": dict(first=2, merge_rate=0.2, batch=16, rate=0.01, rate_hold=2),
}
TRUTH = {"ssl": "reliable_right", "buc": "pairwise_f"}
"""What tells how right a method's labels are, where not NMI: BUC starts with one cluster an image,
which NMI rates high."""
CLUSTERED = [name for name in BLIND if name not in ("ssl", "buc")]
"""Methods whose rounds can fail to find clusters."""


@pytest.mark.parametrize("name", LEARNS)  # daal: in its own file
def test_it_learns(easy_town, tmp_path, quick, name, given):
    method = quick(name, encoder=START, augment=AugmentSettings(pad=3), **LEARNS[name])
    learn(method, easy_town, tmp_path, evaluate_every=0, **given)
    rows = read_metrics(tmp_path)
    assert rows[-1]["mAP"] > 1.4 * rows[0]["mAP"]
    truth = [row[TRUTH.get(name, "nmi")] for row in rows if TRUTH.get(name, "nmi") in row]
    assert truth[-1] > truth[0]
    assert rows[-1]["loss"] < rows[1]["loss"]


TEN = {
    "adtc": dict(rounds=10, epochs=1, iterations=1),
    "ssl": dict(first=4, rounds=6, rate_hold=4),
    "buc": dict(first=4, merge_rate=0.125, rate_hold=4),
    "daal": dict(rounds=10, epochs=1, iterations=1, head_rate=1e-5),
}


@everyone
def test_golden_losses(town, tmp_path, quick, name, given):
    """Ten rounds of one seed: a change of any part that changes the numbers shows here."""
    small = dict(rate=1e-5) | TEN.get(name, dict(epochs=10, iterations=1))
    learn(quick(name, **small), town, tmp_path, evaluate_every=0, **given)
    losses = [row["loss"] for row in read_metrics(tmp_path)[1:]]
    np.testing.assert_allclose(losses, GOLDEN[name], rtol=1e-3)


GOLDEN = {
    "cluster-contrast": [
        *(2.292275, 2.417438, 2.66831, 2.097203, 2.041491),
        *(1.760751, 6.917804, 6.545095, 7.148927, 5.283639),
    ],
    "adtc": [
        *(0.886984, 1.07933, 0.798414, 0.786002, 0.94398),
        *(0.731961, 0.604045, 0.491552, 1.457626, 0.693578),
    ],
    "conslearn": [
        *(9.193849, 11.301701, 10.559638, 9.197912, 10.003179),
        *(10.150149, 9.818249, 9.022987, 8.969541, 10.707136),
    ],
    "mla": [
        *(2.36123, 2.381502, 2.298091, 2.205347, 2.511289),
        *(1.165858, 6.221455, 5.161112, 7.726286, 7.437426),
    ],
    "ssl": [
        *(4.456656, 3.324748, 2.686043, 2.335873, 2.590541),
        *(2.405304, 2.55189, 2.640779, 2.59873, 2.246857),
    ],
    "buc": [
        *(4.456656, 3.324748, 2.686043, 2.335873, 2.113933),
        *(1.790556, 1.823767, 1.829683, 1.35095, 1.076462),
    ],
    "daal": [
        *(5.148713, 7.031545, 7.384507, 5.458769, 6.540583),
        *(4.671094, 7.302483, 9.424762, 7.113324, 6.846939),
    ],
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


@everyone
def test_stopped_and_resumed_equals_uninterrupted(town, tmp_path, quick, monkeypatch, name, given):
    """All that is kept, bit by bit: encoder, optimiser, mean network and its head."""
    learn(quick(name), town, tmp_path / "whole", **given)
    with stopped_in_round_two(monkeypatch):
        learn(quick(name), town, tmp_path / "parts", **given)
    learn(quick(name), town, tmp_path / "parts", **given)
    states = [
        torch.load(checkpoint(tmp_path / run, "last"), weights_only=True)
        for run in ("whole", "parts")
    ]
    assert same(*states) and states[0]["round"] == 3
    rows = [
        [{k: v for k, v in row.items() if "seconds" not in k} for row in read_metrics(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
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
def test_scrambled_people_change_nothing(town, tmp_path, quick, name, given):
    """The identity barrier: who is who must not reach the method."""
    people = np.random.default_rng(0).permutation([image.person for image in town.train])
    scrambled = replace(
        town,
        train=tuple(
            replace(image, person=int(p)) for image, p in zip(town.train, people, strict=True)
        ),
    )
    one = learn(quick(name), town, tmp_path / "one", **given)
    two = learn(quick(name), scrambled, tmp_path / "two", **given)
    assert torch.equal(weights(one), weights(two))
    nmi = [read_metrics(tmp_path / folder)[-1][TRUTH.get(name, "nmi")] for folder in ("one", "two")]
    assert nmi[0] != nmi[1]  # the judge does see the difference


@everyone
def test_shuffled_files_change_nothing(town, tmp_path, quick, name, given):
    order = np.random.default_rng(1).permutation(len(town.train))
    shuffled = replace(town, train=tuple(town.train[i] for i in order))
    one = learn(quick(name), town, tmp_path / "one", **given)
    two = learn(quick(name), shuffled, tmp_path / "two", **given)
    assert torch.equal(weights(one), weights(two))


@everyone
def test_what_it_learnt_loads_again(town, tmp_path, quick, name, given):
    encoder = learn(quick(name), town, tmp_path, evaluate_every=1, **given)
    assert torch.equal(weights(load(tmp_path, device=CPU)), weights(encoder))
    row = max(read_metrics(tmp_path)[1:], key=lambda row: row["mAP"])
    best = load(tmp_path, best=True, device=CPU)
    assert torch.equal(weights(best), weights(encoder)) == (row["round"] == 3)


@everyone
def test_it_learns_in_bfloat16(town, tmp_path, quick, name, given):
    rough = Device(name="cpu", precision="bfloat16")
    method = quick(name, encoder=replace(TINY, height=64, width=64))  # maps wider than one pixel
    encoder = train(method, town, tmp_path, device=rough, quiet=True, **given)
    assert encoder.precision == "bfloat16" and weights(encoder).isfinite().all()


@pytest.mark.parametrize("name", CLUSTERED)
def test_no_clusters_explain_themselves(town, tmp_path, quick, name, given):
    few = dict(clusters=1) if name == "adtc" else dict(eps=0.01, min_samples=6)
    with pytest.raises(ClusteringError, match=r"found [01] clusters.*(raise eps|fewer clusters)"):
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
