import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from reseen.engine.device import Device
from reseen.engine.run import Run, _paths, digest, read_metrics, read_paths
from reseen.errors import (
    CheckpointError,
    ClusteringError,
    DataError,
    ReseenError,
    SettingsError,
)
from reseen.nets import encoder as encoders
from reseen.records import PseudoLabels
from tests.conftest import TINY

CPU = Device(name="cpu", precision="float32")


def new_run(folder, **options):
    return Run(folder, {"method": "Nothing", "settings": {"a": 1}}, device=CPU, **options)


def grow(run, rounds, stop_in=None):
    """A method that only adds chance to one weight; its optimiser counts the rounds."""
    encoder = run.build(TINY)
    counter = nn.Linear(1, 1)
    for epoch in run.rounds(rounds, encoder=encoder, counter=counter):
        assert run.round == epoch + 1
        with torch.no_grad():
            encoder.neck.weight += torch.randn(1)
            counter.weight += float(run.rng("weight").normal())
        if run.round == stop_in:
            raise KeyboardInterrupt
        run.log(weight=counter.weight.item())
    return encoder, counter


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


def test_another_run_in_the_folder_is_refused_with_what_differs(tmp_path):
    grow(new_run(tmp_path), 1)
    with pytest.raises(SettingsError, match=r"settings\.a: 1 there, 2 now"):
        Run(tmp_path, {"method": "Nothing", "settings": {"a": 2}}, device=CPU)
    with pytest.raises(SettingsError, match=r"seed: 0 there, 7 now"):
        new_run(tmp_path, seed=7)


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty and holds no run"):
        new_run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_the_folder_says_what_was_run_where(tmp_path):
    new_run(tmp_path)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["settings"] == {"a": 1} and facts["device"]["name"] == "cpu"
    assert {"torch", "python", "threads", "reseen"} <= set(facts["environment"])


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    grow(new_run(tmp_path), 1)
    run = new_run(tmp_path)
    with pytest.raises(CheckpointError, match="holds no teacher"):
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
    assert "Round 2 found 1 cluster among 4 images (25% noise)" in str(error.value)
    assert "Far apart. Everything up to round 1 is kept" in str(error.value)
    assert np.load(tmp_path / "labels" / "0002.npy").tolist() == [0, 0, 0, -1]
    assert [row["clusters"] for row in read_metrics(tmp_path)] == [2, 1]
    assert (tmp_path / "checkpoints" / "last.pt").exists()


def test_numbers_that_are_none_are_left_out(tmp_path):
    run = new_run(tmp_path)
    for _ in run.rounds(1, encoder=run.build(TINY)):
        run.log(a=float("nan"), b=np.float32(0.5), c=3)
    (row,) = read_metrics(tmp_path)
    assert "a" not in row and row["b"] == 0.5 and row["c"] == 3


def test_digest_knows_files_not_their_order(town):
    assert digest(town.train) == digest(town.train[::-1]) != digest(town.train[1:])


def test_other_images_than_before_are_refused(town, tmp_path):
    def go_on(images):
        run = new_run(tmp_path)
        encoder = run.build(TINY)
        run.load(images, encoder)
        return list(run.rounds(2, encoder=encoder))

    assert go_on(town.train[:9]) == [0, 1]
    with pytest.raises(DataError, match="learnt from other images than those"):
        go_on(town.train[:8])
    assert go_on(town.train[:9]) == []


def test_the_start_is_read_at_the_start_only(tmp_path):
    weights = tmp_path / "start.pth"
    torch.save(encoders.build(TINY).backbone.net.state_dict(), weights)
    settings = replace(TINY, weights=str(weights))
    run = new_run(tmp_path / "run")
    for _ in run.rounds(1, encoder=run.build(settings)):
        pass
    weights.unlink()
    assert new_run(tmp_path / "run").build(settings).settings == settings


def test_a_run_that_learnt_nothing_yet_may_change_its_settings(tmp_path):
    """So that the advice of an error can be followed in the same folder."""
    new_run(tmp_path)
    Run(tmp_path, {"method": "Nothing", "settings": {"a": 2}}, device=CPU)
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == {"a": 2}


def test_a_kill_while_the_folder_is_claimed_leaves_it_usable(tmp_path):
    (tmp_path / "run.json.tmp").write_text("{")
    new_run(tmp_path)


def test_a_damaged_or_occupied_place_is_said(tmp_path):
    grow(new_run(tmp_path / "run"), 1)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"run\.json is damaged"):
        new_run(tmp_path / "run")
    with pytest.raises(SettingsError, match="seed is -1"):
        new_run(tmp_path / "new", seed=-1)


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


def test_weights_that_became_infinite_are_not_kept(tmp_path):
    run = new_run(tmp_path)
    encoder = run.build(TINY)
    with pytest.raises(ReseenError, match="infinite in round 2"):
        for epoch in run.rounds(3, encoder=encoder):
            if epoch == 1:
                encoder.neck.weight.data.fill_(float("inf"))
    assert encoders.read_checkpoint(tmp_path / "checkpoints" / "last.pt")["round"] == 1


def test_what_a_run_learns_from_is_pinned(town):
    moved = tuple(replace(i, path=Path("/else/where") / i.path.name) for i in town.train)
    assert digest(moved) == digest(town.train)
    seen = tuple(replace(i, camera=None) for i in town.train)
    assert digest(seen) != digest(town.train)
    odd = (replace(town.train[0], path=Path("caf\udce9.jpg")),)
    assert digest(odd) != digest(())


def test_names_of_images_are_what_the_file_system_makes_of_them(tmp_path, monkeypatch):
    """In a locale of ASCII, the bytes of a name are another text than in one of UTF-8."""
    monkeypatch.setattr("os.fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    monkeypatch.setattr("os.fsdecode", lambda name: name.decode("ascii", "surrogateescape"))
    listed = "相机/人.jpg".encode()
    (tmp_path / "images.txt").write_bytes(listed + b"\n")
    assert read_paths(tmp_path) == [Path(listed.decode("ascii", "surrogateescape"))]


def test_names_with_line_ends_have_a_line_each(tmp_path):
    names = ["a.jpg", "a\r1.jpg", "b\nc.jpg", "\r\n", '"d".jpg', "\udce9.jpg", "\u2028\x0b.jpg"]
    crops = SimpleNamespace(images=[SimpleNamespace(path=Path(name)) for name in names])
    text = _paths(crops).encode(errors="surrogateescape")
    (tmp_path / "images.txt").write_bytes(text)
    assert text.count(b"\n") == len(names) and text.startswith(b"a.jpg\n")
    assert read_paths(tmp_path) == list(map(Path, names))
    (tmp_path / "images.txt").write_text('"as written before.jpg\n')
    assert read_paths(tmp_path) == [Path('"as written before.jpg')]
