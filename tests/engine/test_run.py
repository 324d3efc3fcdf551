import errno
import json
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from reseen.checks import AUTO, Auto
from reseen.cluster.density import DensitySettings
from reseen.engine import extract as extraction
from reseen.engine.folder import read_metrics
from reseen.engine.progress import Screen
from reseen.engine.run import Run
from reseen.errors import CheckpointError, ClusteringError, ReseenError, SettingsError
from reseen.kernels import centring
from reseen.kernels.whitening import whitened
from reseen.nets import encoder as encoders
from reseen.records import Image, PseudoLabels, cameras_of
from reseen.training import extract, load, train
from tests.conftest import TINY
from tests.engine.runs import CPU, Growing, grow, grown, new_run


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    whole, counted = grow(new_run(tmp_path / "whole"), 5)
    with pytest.raises(KeyboardInterrupt):
        grow(new_run(tmp_path / "parts"), 5, stop_in=3)
    assert [row["round"] for row in read_metrics(tmp_path / "parts")] == [1, 2]
    resumed, recounted = grow(new_run(tmp_path / "parts"), 5)
    assert torch.equal(whole.neck.weight, resumed.neck.weight)
    assert torch.equal(counted.weight, recounted.weight)
    weights = [
        [row["weight"] for row in read_metrics(tmp_path / name)] for name in ("whole", "parts")
    ]
    assert weights[0] == weights[1] and len(weights[0]) == 5


def test_a_finished_run_is_only_read(tmp_path):
    first, _ = grow(new_run(tmp_path), 2)
    stamp = (tmp_path / "checkpoints" / "last.pt").stat().st_mtime_ns
    again, _ = grow(new_run(tmp_path), 2)
    assert torch.equal(first.neck.weight, again.neck.weight)
    assert (tmp_path / "checkpoints" / "last.pt").stat().st_mtime_ns == stamp


def test_seeds_differ_and_purposes_differ(tmp_path):
    runs = [new_run(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    draws = {float(run.rng(purpose).random()) for run in runs for purpose in ("a", "b")}
    assert len(draws) == 4
    again = new_run(tmp_path / "0", seed=0)
    assert again.rng("a").random() == runs[0].rng("a").random()
    again.round = 1
    assert again.rng("a").random() != runs[0].rng("a").random()


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    grow(new_run(tmp_path), 1)
    run = new_run(tmp_path)
    with pytest.raises(CheckpointError, match="has no teacher"):
        next(run.rounds(2, encoder=run.build(TINY), teacher=nn.Linear(1, 1)))


def test_the_checkpoint_opens_as_weights_only(tmp_path):
    encoder, _ = grow(new_run(tmp_path), 1)
    again = encoders.load(tmp_path / "checkpoints" / "last.pt")
    assert torch.equal(encoder.neck.weight, again.neck.weight)


def test_too_few_clusters_explain_themselves_and_keep_everything(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(ClusteringError) as error:
        for _ in run.rounds(3, encoder=run.build(TINY)):
            ids = [0, 0, 1, 1] if run.round == 1 else [0, 0, 0, -1]
            run.label(PseudoLabels(np.array(ids)), lambda: "Far apart.")
    assert "Round 2 found 1 cluster in 4 images (25% noise)" in str(error.value)
    assert "Far apart. Everything up to round 1 is saved" in str(error.value)
    assert np.load(tmp_path / "labels" / "0002.npy").tolist() == [0, 0, 0, -1]
    assert [row["clusters"] for row in read_metrics(tmp_path)] == [2, 1]
    assert (tmp_path / "checkpoints" / "last.pt").exists()


def test_too_few_clusters_are_told_without_an_explanation_too(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(ClusteringError, match=r"too few to learn from\. \w.*\. Everything up to"):
        for _ in run.rounds(1, encoder=run.build(TINY)):
            run.label(PseudoLabels(np.array([0, 0, 0, -1])))


def test_how_many_of_the_approximate_neighbours_were_found_is_said(tmp_path, capsys):
    run = new_run(tmp_path, screen=Screen())
    for _ in run.rounds(2, encoder=run.build(TINY)):
        run.label(PseudoLabels(np.array([0, 0, 1, 1]), recall=0.987 if run.round == 1 else None))
    first, second = read_metrics(tmp_path)
    assert first["neighbour_recall"] == 0.987 and "neighbour_recall" not in second
    assert capsys.readouterr().err.count("neighbour recall 98.7%") == 1


def test_numbers_that_are_none_are_left_out(tmp_path):
    run = new_run(tmp_path)
    for _ in run.rounds(1, encoder=run.build(TINY)):
        run.log(a=float("nan"), b=np.float32(0.5), c=3)
    (row,) = read_metrics(tmp_path)
    assert "a" not in row and row["b"] == 0.5 and row["c"] == 3


def test_the_start_is_read_at_the_start_only(tmp_path):
    weights = tmp_path / "start.pth"
    torch.save(encoders.build(TINY).backbone.net.state_dict(), weights)
    settings = replace(TINY, weights=str(weights))
    run = new_run(tmp_path / "run")
    for _ in run.rounds(1, encoder=run.build(settings)):
        pass
    weights.unlink()
    assert new_run(tmp_path / "run").build(settings).settings == settings


def test_batch_norm_is_adapted_before_the_first_round_only(town, tmp_path, capsys):
    small = replace(town, train=town.train[:9])
    plain = grown(small, tmp_path / "plain", quiet=True)
    adapted = grown(small, tmp_path / "run", adapt_norm=True)
    assert "recomputed on 9 pictures" in " ".join(capsys.readouterr().err.split())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["adapt_norm"] is True
    assert not plain.neck.running_mean.any() and adapted.neck.running_mean.any()
    again = grown(small, tmp_path / "run", adapt_norm=True)
    assert "recomputed" not in capsys.readouterr().err
    assert torch.equal(again.neck.running_mean, adapted.neck.running_mean)
    with pytest.raises(SettingsError, match="adapt_norm: False there, True now"):
        grown(small, tmp_path / "plain", adapt_norm=True)


class Falling:
    """A judge whose marks fall from round to round."""

    can_search = True

    def __init__(self):
        self.marks = iter([0.1, 0.9, 0.5, 0.4])

    def labels(self, images, labels):
        return {}

    def search(self, encoder):
        mark = next(self.marks)
        return SimpleNamespace(summary=lambda: {"mAP": mark})


def test_last_and_best_are_kept_apart_and_a_lost_best_is_made_again(tmp_path):
    run = new_run(tmp_path, judge=Falling(), evaluate_every=1)
    grow(run, 3)
    rounds = {
        which: encoders.read_checkpoint(tmp_path / "checkpoints" / f"{which}.pt")["round"]
        for which in ("last", "best")
    }
    assert rounds == {"last": 3, "best": 1}

    with pytest.raises(KeyboardInterrupt):
        grow(new_run(tmp_path / "b", judge=Falling(), evaluate_every=1), 3, stop_in=2)
    (tmp_path / "b" / "checkpoints" / "best.pt").unlink()  # killed between last and best
    grow(new_run(tmp_path / "b"), 3)
    assert encoders.read_checkpoint(tmp_path / "b" / "checkpoints" / "best.pt")["round"] == 1


@pytest.mark.parametrize(("every", "searches"), [(0, [1, 1, 1]), (2, [2, 2, 1]), (1, [3, 2, 1])])
def test_the_time_of_searches_that_are_to_come_is_known(tmp_path, every, searches, monkeypatch):
    """It is told to whoever estimates the time of the run, by what the last search took."""
    run, told = new_run(tmp_path, judge=Falling(), evaluate_every=every, screen=Screen(True)), []
    search = run._search
    monkeypatch.setattr(run, "_search", lambda *of: search(*of) | {"searching_seconds": 7.0})
    monkeypatch.setattr(run.screen, "begin_round", lambda *told_now: told.append(told_now))
    grow(run, 3)
    assert told == [(number + 1, 3, 7.0 * left) for number, left in enumerate(searches)]


def test_weights_that_became_infinite_are_not_kept(tmp_path):
    run = new_run(tmp_path)
    encoder = run.build(TINY)
    with pytest.raises(ReseenError, match="infinite in round 2"):
        for epoch in run.rounds(3, encoder=encoder):
            if epoch == 1:
                encoder.neck.weight.data.fill_(float("inf"))
    assert encoders.read_checkpoint(tmp_path / "checkpoints" / "last.pt")["round"] == 1


@pytest.mark.parametrize("seed", [-1, 10**22, 1.5, "3", True])
def test_seeds_that_cannot_be_are_refused_at_once(pictures, tmp_path, seed):
    with pytest.raises(SettingsError, match=r"seed is .* Use a whole number from 0"):
        grown(pictures, tmp_path / "run", seed=seed)
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_says_which_round_is_kept(pictures, tmp_path):
    class Stopped(Growing):
        def fit(self, images, run):
            encoder = run.build(TINY)
            for _ in run.rounds(3, encoder=encoder):
                if run.round == self.epochs:
                    raise KeyboardInterrupt
            return encoder

    for epochs, says in ((1, "before a round was finished"), (3, "after round 2. Run the same")):
        with pytest.raises(KeyboardInterrupt, match=says):
            train(Stopped(epochs=epochs), pictures, tmp_path / f"{epochs}", quiet=True, device=CPU)


def test_people_without_a_match_are_said(pictures, tmp_path, capsys):
    alone = replace(pictures, query=(Image(pictures.train[0].path, 1, 1),), gallery=())
    grown(alone, tmp_path / "run")
    said = capsys.readouterr().err
    assert "no mAP in this run: " in said and "no query has a match" in said


def test_a_full_disk_is_an_error_of_the_system_and_leaves_no_rest(tmp_path, monkeypatch):
    def full(_state, file):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos")  # noqa: B904

    grow(new_run(tmp_path), 1)
    whole = (tmp_path / "checkpoints" / "last.pt").read_bytes()
    run = new_run(tmp_path)
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"No space left on device: .*last\.pt"):
        grow(run, 2)
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == whole
    assert not list(tmp_path.rglob("*.tmp"))


@dataclass(frozen=True, kw_only=True)
class Asking(Growing):
    """The same, but it leaves the number of rounds and k1 to the data."""

    epochs: int | Auto = AUTO
    density: DensitySettings = field(default_factory=lambda: DensitySettings(k1=AUTO))

    def fit(self, images, run):
        encoder = run.build(TINY)
        settled = run.settle(self, encoder, run.load(images, encoder))
        asked.append(settled)
        return Growing.fit(settled, images, run)


asked = []


def test_automatic_settings_are_worked_out_said_and_kept(town, tmp_path, capsys):
    learn = partial(train, Asking(), town, tmp_path / "run", device=CPU, evaluate_every=0)
    with pytest.raises(ZeroDivisionError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_finish", lambda *_, **__: 1 / 0)
        learn()
    first, said = asked.pop(), capsys.readouterr().err
    assert isinstance(first.epochs, int) and 4 <= first.density.k1 <= len(town.train)
    assert f"--k1 {first.density.k1}: about" in said and f"--epochs {first.epochs}: " in said
    learn()
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["settings"]["k1"] == "auto"
    assert told["automatic"]["settings"]["k1"]["value"] == first.density.k1
    assert len(read_metrics(tmp_path / "run")) == 1 + first.epochs
    told["automatic"]["settings"]["k1"]["value"] = 5  # what is kept counts, not what is found anew
    (tmp_path / "run" / "run.json").write_text(json.dumps(told))
    learn()
    assert [settled.density.k1 for settled in asked] == [first.density.k1, 5]
    asked.clear()


def test_images_per_person_decide_and_a_resume_takes_the_same(town, tmp_path):
    learn = partial(train, Asking(epochs=1), town, device=CPU, evaluate_every=0, quiet=True)
    for number in (5, 10):
        learn(tmp_path / str(number), images_per_person=number)
        told = json.loads((tmp_path / str(number) / "run.json").read_text())
        assert told["images_per_person"] == told["automatic"]["survey"]["per_person"] == number
        learn(tmp_path / str(number), images_per_person=number)
    assert [settled.density.k1 for settled in asked] == [10, 10, 15, 15]
    asked.clear()
    for other in (6, None):
        with pytest.raises(SettingsError, match=f"images_per_person: 5 there, {other} now"):
            learn(tmp_path / "5", images_per_person=other)
    for wrong in (0.5, len(town.train) + 1):
        with pytest.raises(SettingsError, match=r"images_per_person is .* Use a number from 1 to"):
            learn(tmp_path / "wrong", images_per_person=wrong)
    assert not (tmp_path / "wrong").exists()


def test_images_per_person_that_nothing_uses_are_named(town, tmp_path, capsys):
    train(Growing(epochs=1), town, tmp_path, device=CPU, images_per_person=5)
    said = capsys.readouterr().err
    assert "images_per_person 5 is not used, because no setting of Growing is auto" in said


def test_what_nothing_works_out_is_refused(town, tmp_path):
    @dataclass(frozen=True)
    class Odd(Asking):
        gate: str = AUTO

    with pytest.raises(SettingsError, match="gate is auto, but no rule computes it"):
        train(Odd(), town, tmp_path, device=CPU, quiet=True)


@pytest.mark.parametrize(
    ("scores", "result"), [([0.4, 0.5, 0.6], 2), ([0.4, 0.6, 0.5], 1), ([0.4, 0.3, 0.2], 0)]
)
def test_where_training_does_harm_the_best_round_is_the_result(
    town, tmp_path, monkeypatch, capsys, scores, result
):
    given = iter(scores)
    monkeypatch.setattr("reseen.engine.run.shared_neighbours", lambda *_: next(given))
    method = Asking(epochs=2)
    encoder = train(method, town, tmp_path, device=CPU, evaluate_every=0)
    kept = load(tmp_path, device=CPU)
    assert torch.equal(encoder.neck.weight, kept.neck.weight)
    last = encoders.load(tmp_path / "checkpoints" / "last.pt")
    assert torch.equal(last.neck.weight, kept.neck.weight) == (result == 2)
    said = capsys.readouterr().err
    assert ("Training did harm" in said) == (result != 2)
    if result == 0:
        start = torch.ones_like(kept.neck.weight)
        assert torch.equal(kept.neck.weight, start) and "the encoder before training" in said
    again = train(method, town, tmp_path, device=CPU, evaluate_every=0, quiet=True)
    assert torch.equal(again.neck.weight, kept.neck.weight)
    asked.clear()


@pytest.fixture
def few_are_enough(monkeypatch):
    """Cameras count from few crops on, as towns of tests have."""
    monkeypatch.setattr(centring, "LEAST", 5)


@dataclass(frozen=True)
class Turning:
    """A method whose every round turns all features."""

    epochs: int = 3

    def fit(self, images, run, stop_in=0):
        encoder = run.build(TINY)
        run.load(images, encoder)
        for _ in run.rounds(self.epochs, encoder=encoder):
            with torch.no_grad():
                encoder.neck.weight += torch.randn(encoder.dimensions)
            if run.round == stop_in:
                raise KeyboardInterrupt
        return encoder


def test_camera_statistics_are_of_the_weights_beside_them(town, tmp_path, few_are_enough):
    named = replace(town, cameras={1: "gate"})
    train(Turning(), named, tmp_path, device=CPU, evaluate_every=2, quiet=True)
    rows = read_metrics(tmp_path)
    assert ["mAP_centred" in row for row in rows] == [True, False, True, True]
    assert all(("mAP" in row) == ("rank1_centred" in row) for row in rows)
    for best in (False, True):
        encoder = load(tmp_path, best=best, device=CPU)
        features, images = extract(encoder, town.train, quiet=True)
        known = encoder.camera_statistics
        assert known.names == ("gate", "2", "3")
        at = cameras_of(images)
        groups = [features, *(features[at == number] for number in (1, 2, 3))]
        wanted = np.array([(group.mean(0), group.std(0)) for group in groups])
        np.testing.assert_allclose(known.moments, wanted, atol=1e-5)


def test_a_run_whitens_what_it_gives_and_nothing_that_it_learns_from(town, tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Whitened(Turning):
        def fit(self, images, run):
            encoder = run.build(replace(TINY, whitening=0.5))
            crops = run.load(images, encoder)
            for _ in run.rounds(2, encoder=encoder):
                assert torch.equal(encoder.whitening.matrix, torch.eye(encoder.dimensions))
                with torch.no_grad():
                    encoder.neck.weight += torch.randn(encoder.dimensions)
                raw.append(extraction.extract(encoder, crops))
            return encoder

    raw: list[np.ndarray] = []
    encoder = train(Whitened(), town, tmp_path, device=CPU, quiet=True)
    for given in (encoder, load(tmp_path, device=CPU)):
        features, _ = extract(given, town.unlabelled(0), quiet=True)
        np.testing.assert_allclose(features, whitened(raw[-1], 0.5), atol=1e-5)


def test_no_checkpoint_holds_camera_statistics_of_other_weights(town, tmp_path, few_are_enough):
    def states(folder):
        return encoders.read_checkpoint(folder / "checkpoints" / "last.pt")

    unsearched = replace(town, query=(), gallery=())
    stop = partial(Turning.fit, stop_in=3)
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Turning, "fit", lambda self, *a: stop(self, *a))
        train(Turning(), unsearched, tmp_path / "a", device=CPU, quiet=True)
    assert states(tmp_path / "a")["round"] == 2  # not the last, nothing to judge: no pass for it
    assert "camera_statistics" not in states(tmp_path / "a")
    for folder in ("a", "b"):
        train(Turning(), unsearched, tmp_path / folder, device=CPU, quiet=True)
    resumed, whole = (states(tmp_path / folder)["camera_statistics"] for folder in ("a", "b"))
    assert resumed["names"] == whole["names"] == ["1", "2", "3"]
    assert torch.equal(resumed["moments"], whole["moments"])
    known = replace(unsearched, train=tuple(replace(i, camera=None) for i in town.train))
    train(Turning(1), known, tmp_path / "c", device=CPU, quiet=True)
    assert "camera_statistics" not in states(tmp_path / "c")


def test_automatic_settings_look_at_the_features_that_are_clustered(
    town, tmp_path, few_are_enough, monkeypatch
):
    seen = []
    monkeypatch.setattr("reseen.engine.run.survey", lambda rows, *_: seen.append(rows) or 1 / 0)
    for how in ("off", "mean"):
        method = Asking(density=DensitySettings(k1=AUTO, centring=how))
        with pytest.raises(ZeroDivisionError):
            train(method, town, tmp_path / how, device=CPU, quiet=True)
    cameras = cameras_of(town.unlabelled(0))
    np.testing.assert_array_equal(seen[1], centring.centre(seen[0], cameras, "mean"))


def test_a_run_says_what_settings_mean_for_its_data(town, tmp_path, capsys, quick):
    method = quick(camera_aware=True)
    blind = replace(town, train=tuple(replace(image, camera=None) for image in town.train))
    for data, said in ((town, False), (blind, True)):
        run = new_run(tmp_path / str(said), screen=Screen())
        encoder = run.build(TINY)
        run.settle(method, encoder, run.load(data.unlabelled(0), encoder))
        assert ("No two cameras are known" in capsys.readouterr().err) == said
