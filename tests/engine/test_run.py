import errno
import json
import pickle
import random
import re
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from reseen.data.loading import Loading
from reseen.engine.device import Device
from reseen.engine.progress import Screen
from reseen.engine.run import (
    Run,
    damaged_metrics,
    digest,
    read_labels,
    read_metrics,
    read_paths,
)
from reseen.errors import (
    CheckpointError,
    ClusteringError,
    DataError,
    ReseenError,
    SettingsError,
)
from reseen.nets import encoder as encoders
from reseen.records import Dataset, Image, PseudoLabels
from reseen.report.evidence import Evidence
from reseen.report.report import notes, write_report
from reseen.training import load, train
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


def test_too_few_clusters_are_told_without_an_explanation_too(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(ClusteringError, match=r"too few to learn from\. \w.*\. Everything up to"):
        for _ in run.rounds(1, encoder=run.build(TINY)):
            run.label(PseudoLabels(np.array([0, 0, 0, -1])))


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
    new_run(tmp_path / "run")
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


@pytest.mark.parametrize(("every", "searches"), [(0, [1, 1, 1]), (2, [2, 2, 1]), (1, [3, 2, 1])])
def test_the_time_of_searches_that_are_to_come_is_known(tmp_path, every, searches, monkeypatch):
    """It is told to whoever estimates the time of the run, by what the last search took."""
    run, told = new_run(tmp_path, judge=Falling(), evaluate_every=every, screen=Screen(True)), []
    search = run._search
    monkeypatch.setattr(run, "_search", lambda e: search(e) | {"searching_seconds": 7.0})
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


@dataclass(frozen=True, kw_only=True)
class Growing:
    """A method whose every round adds chance to one weight."""

    epochs: int = 3

    def fit(self, images, run):
        encoder = run.build(TINY)
        run.load(images, encoder)
        for _ in run.rounds(self.epochs, encoder=encoder):
            run.label(PseudoLabels(np.arange(len(images)) % 3), str)
            with torch.no_grad():
                encoder.neck.weight += float(run.rng("weight").normal())
        return encoder


def grown(town, folder, **options):
    return train(Growing(), town, folder, device=CPU, evaluate_every=1, **options)


@pytest.fixture(scope="module")
def finished(town, tmp_path_factory):
    """A finished run, its data, and its encoder."""
    small = replace(town, train=town.train[:9])
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, small, grown(small, folder, quiet=True)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


def flipped(data, place, size=1):
    return data[:place] + bytes(b ^ 64 for b in data[place : place + size]) + data[place + size :]


def zeroed(data, place, size=4096):
    return data[:place] + bytes(size) + data[place + size :]


WEIGHTS = {
    "empty": lambda d: b"",
    "cut": lambda d: d[: len(d) // 2],
    "end cut": lambda d: d[:-1],
    "page": lambda d: zeroed(d, len(d) // 2),
    "first page": lambda d: zeroed(d, 0),
    "last page": lambda d: zeroed(d, len(d) - 4096),
    "letter": lambda d: b"Dear reader",
    "pickle": lambda d: pickle.dumps({"round": 1}),
} | {
    f"bits at {share:.0%}": lambda d, share=share: flipped(d, int(share * len(d)), 128)
    for share in (0.03, 0.2, 0.5, 0.9)
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_a_damaged_checkpoint_is_never_used(finished, copy, damage, tmp_path):
    _, data, _ = finished
    for which in ("last", "best"):
        path = copy / "checkpoints" / f"{which}.pt"
        path.write_bytes(WEIGHTS[damage](path.read_bytes()))
        with pytest.raises(CheckpointError, match=rf"{which}\.pt is damaged"):
            load(copy, best=which == "best")
        if which == "last":
            with pytest.raises(CheckpointError, match=r"best\.pt is sound"):
                grown(data, copy, quiet=True)
            with pytest.raises(CheckpointError, match=r"last\.pt is damaged"):
                grown(data, tmp_path / "new", quiet=True, start=copy)
    with pytest.raises(CheckpointError, match="in a new folder"):
        grown(data, copy, quiet=True)


def test_no_flip_anywhere_in_a_checkpoint_changes_what_is_read(copy):
    """Those that are not noticed are in places that say nothing, such as dates and padding."""
    path = copy / "checkpoints" / "best.pt"
    data, whole = path.read_bytes(), encoders.read_checkpoint(path)
    draw = random.Random(0)
    heads = [info.header_offset + i for info in zipfile.ZipFile(path).infolist() for i in (9, 27)]
    places = [draw.randrange(len(data)) for _ in range(30)] + draw.sample(heads, 10)
    noticed = 0
    for place in places:
        path.write_bytes(flipped(data, place))
        try:
            state = encoders.read_checkpoint(path)
        except CheckpointError:
            noticed += 1
        else:
            assert state["round"] == whole["round"]
            for name, weight in whole["encoder"].items():
                assert torch.equal(weight, state["encoder"][name])
    assert noticed >= 25


@pytest.mark.parametrize("number", [99, 1, 0, -1, "3", None, 2.5, True])
def test_a_round_that_cannot_be_is_refused(finished, copy, number):
    path = copy / "checkpoints" / "last.pt"
    torch.save({**torch.load(path, weights_only=True), "round": number}, path)
    for use in (load, lambda run: grown(finished[1], run, quiet=True)):
        with pytest.raises(CheckpointError, match=r"is damaged .its round is"):
            use(copy)


LINES = {
    "half a line": lambda t: t[:-30],
    "no line end": lambda t: t[:-1],
    "blank lines": lambda t: t.replace("\n", "\n\n"),
    "nul": lambda t: t.replace("round", "ro\0nd", 1),
    "no round": lambda t: t + "{}\n",
    "text": lambda t: t.replace('"noise": ', '"noise": "much", "n": '),
    "null": lambda t: t + "null\n",
    "list": lambda t: t + "[1]\n",
    "negative round": lambda t: t + '{"round": -3}\n',
    "half a round": lambda t: t + '{"round": 1.5}\n',
    "infinite": lambda t: t + '{"round": 2, "loss": Infinity}\n',
    "deep": lambda t: t + "[" * 10**5 + "\n",
    "long number": lambda t: t + '{"round": ' + "9" * 5000 + "}\n",
    "turned round": lambda t: "\n".join(t.split("\n")[::-1]),
    "latin-1": lambda t: t + "é\n",
    "empty": lambda t: "",
    "gone": None,
}


@pytest.mark.parametrize("damage", LINES)
def test_metrics_are_written_again_from_the_checkpoint(finished, copy, damage, tmp_path, capsys):
    folder, data, _ = finished
    path, whole = copy / "metrics.jsonl", read_metrics(folder)
    text = path.read_text()
    path.unlink()
    if LINES[damage]:
        path.write_bytes(LINES[damage](text).encode("latin-1"))
    evidence = Evidence(copy)
    assert all(row in whole for row in evidence.rows)
    said = any("damaged lines of run's metrics.jsonl" in n for n in notes([evidence], tmp_path))
    assert said == (damaged_metrics(copy) > 0)
    grown(data, copy)
    assert read_metrics(copy) == whole
    harmless = damage in ("no line end", "blank lines", "turned round")
    assert ("written again from last.pt" in capsys.readouterr().err) != harmless
    assert harmless or path.read_text() == text


def array(ids):
    def write(path):
        np.save(path, ids)

    return write


LABELS = {
    "empty": lambda p: p.write_bytes(b""),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-9]),
    "cut head": lambda p: p.write_bytes(p.read_bytes()[:40]),
    "zeros": lambda p: p.write_bytes(bytes(200)),
    "objects": array(np.array([print, {}], dtype=object)),
    "pickle": lambda p: p.write_bytes(pickle.dumps(print)),
    "letter": lambda p: p.write_text("Dear reader"),
    "archive": lambda p: np.savez(p.open("wb"), a=np.arange(3)),
    "square": array(np.zeros((3, 3), np.int64)),
    "single": array(np.int64(3)),
    "floats": array(np.zeros(9)),
    "gaps": array(np.full(9, 7)),
    "below noise": array(np.full(9, -2)),
    "too few": array(np.arange(4)),
    "too many": array(np.arange(12)),
}


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
@pytest.mark.parametrize("damage", LABELS)
def test_damaged_labels_are_said_and_do_not_stop_a_run(finished, copy, damage, tmp_path, capsys):
    _, data, encoder = finished
    LABELS[damage](copy / "labels" / "0003.npy")
    if damage not in ("too few", "too many"):
        with pytest.raises(CheckpointError, match=r"0003\.npy is damaged"):
            read_labels(copy, 3)
    with pytest.raises(CheckpointError, match="is damaged"):
        _ = Evidence(copy).learnt
    assert torch.equal(grown(data, copy).neck.weight, encoder.neck.weight)
    run = new_run(tmp_path / "again", screen=Screen())
    run.folder, run.round, run._images = copy, 4, data.train
    assert run._labels_before() is None
    assert ("not compared" in capsys.readouterr().err) != damage.startswith("too ")


@pytest.mark.parametrize("text", [None, "", "a.jpg\n", "\n" * 9, "\0\n" * 9, "\xe9\n" * 20])
def test_a_lost_list_of_images_is_said_and_written_again(finished, copy, text, tmp_path):
    folder, data, _ = finished
    path = copy / "images.txt"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises((CheckpointError, DataError), match=r"images\.txt is damaged|not where"):
        _ = Evidence(copy).learnt
    grown(data, copy, quiet=True)
    assert path.read_bytes() == (folder / "images.txt").read_bytes()


FACTS = {f"no {name}": {name: ...} for name in ("method", "settings", "seed", "precision")} | {
    f"{name} {value!r}": {name: value}
    for name in ("method", "settings", "seed", "precision", "data", "device", "environment")
    for value in (None, [1], 1.5)
}


@pytest.mark.parametrize("change", FACTS)
def test_damaged_facts_are_a_sentence_and_written_again(finished, copy, change, tmp_path, capsys):
    path = copy / "run.json"
    whole = path.read_text()
    facts = json.loads(whole) | FACTS[change]
    path.write_text(json.dumps({k: v for k, v in facts.items() if v is not ...}))
    for use in (load, lambda run: write_report([run], tmp_path / "r.html", quiet=True)):
        with pytest.raises(CheckpointError, match=r"run\.json is damaged or not of a run"):
            use(copy)
    assert load(copy / "checkpoints" / "last.pt").settings == TINY
    grown(finished[1], copy)
    assert path.read_text() == whole
    assert "run.json was damaged: it is written again" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", '"a"', "[" * 10**5, "\0", "{}"])
def test_a_spoilt_run_json_is_a_sentence(finished, copy, text):
    (copy / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json is damaged or not of a run"):
        load(copy)
    grown(finished[1], copy, quiet=True)
    assert (copy / "run.json").read_text() == (finished[0] / "run.json").read_text()
    path = copy / "checkpoints" / "last.pt"  # as versions before this one wrote it
    state = torch.load(path, weights_only=True)
    del state["facts"]
    torch.save(state, path)
    (copy / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json is damaged or not of a run"):
        grown(finished[1], copy, quiet=True)


def begun(folder):
    """A run without a finished round."""
    new_run(folder)
    return folder


def test_nothing_of_an_older_run_survives_in_a_new_one(finished, copy, capsys):
    """Who removes last.pt to begin anew would get the older best.pt and labels as the new ones."""
    (copy / "checkpoints" / "last.pt").unlink()
    (copy / "labels" / "0009.npy.tmp").write_bytes(b"")
    run = Run(copy, {"method": "Nothing", "settings": {}}, device=CPU, screen=Screen())
    assert sorted(p.name for p in copy.rglob("*") if p.is_file()) == ["lock", "run.json"]
    assert "begins anew, and 7 files that it had written are removed" in capsys.readouterr().err
    assert run.round == 0


def test_a_run_json_of_something_else_is_left_alone(tmp_path):
    for text in ('{"mine": 1}', '{"method": "SGD", "settings": {}, "seed": 1, "precision": "x"}'):
        files = {"run.json": text, "metrics.jsonl": "mine", "checkpoints/last.ckpt": "mine"}
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        with pytest.raises((CheckpointError, SettingsError), match=r"another folder|new folder"):
            new_run(tmp_path)
        assert {name: (tmp_path / name).read_text() for name in files} == files
        assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == len(files)


@pytest.mark.parametrize("name", ["notes.txt", "labels/mine.npy", "checkpoints/epoch_3.pt", "a/b"])
def test_files_of_something_else_in_an_unfinished_run_are_named(tmp_path, name):
    begun(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(SettingsError, match=rf"files of something else .{name}.. Move them away"):
        new_run(tmp_path)
    assert (tmp_path / name).read_text() == "mine" and (tmp_path / "metrics.jsonl").exists()


def test_files_that_say_nothing_do_not_stop_an_unfinished_run(tmp_path):
    begun(tmp_path)
    for name in ("lock", "table.json", ".DS_Store"):
        (tmp_path / name).write_text("")
        new_run(tmp_path)
        assert (tmp_path / name).exists()


@pytest.fixture
def pictures(town, tmp_path):
    """A few pictures of two cameras that a test may change, as a data set."""
    paths = []
    for i, image in enumerate(town.train[:6]):
        paths.append(tmp_path / "data" / f"cam{i % 2}" / f"{i}{image.path.suffix}")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, paths[-1])
    images = tuple(Image(path) for path in paths)
    return Dataset("pictures", tmp_path / "data", images)


def test_other_pictures_under_the_same_names_are_refused(pictures, town, tmp_path):
    grown(pictures, tmp_path / "run", quiet=True)
    kept = (tmp_path / "run" / "images.txt").read_text()
    paths = [image.path for image in pictures.train]
    for path in paths:
        path.touch()
    grown(pictures, tmp_path / "run", quiet=True)
    for path in paths[:2]:
        shutil.copy(town.train[9].path, path)
    with pytest.raises(DataError, match=r"2 have other contents under the same names .*cam0/0\."):
        grown(pictures, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "images.txt").read_text() == kept


@pytest.mark.parametrize("skip_broken", [False, True])
def test_pictures_that_come_or_go_are_named(pictures, tmp_path, skip_broken):
    loading = Loading(skip_broken=skip_broken)
    grown(pictures, tmp_path / "run", quiet=True, loading=loading)
    first, *rest = pictures.train
    more = replace(first, path=first.path.with_name("more.jpg"))
    shutil.copy(first.path, more.path)
    for images, says in (
        ((first, *rest, more), r"pictures: 1 new .*cam0/more\.jpg"),
        (tuple(rest), r"pictures: 1 missing .*cam0/0\."),
        ((replace(first, camera=3), *rest), "same names, with other cameras"),
    ):
        with pytest.raises(SettingsError, match=says) as error:
            grown(replace(pictures, train=tuple(images)), tmp_path / "run", quiet=True)
        assert not re.search(r"[0-9a-f]{16} there", str(error.value))
    if skip_broken:
        first.path.write_bytes(b"")
        with pytest.raises(DataError, match=r"1 missing .*cam0/0\."):
            grown(pictures, tmp_path / "run", quiet=True, loading=loading)


def test_a_moved_tree_and_a_run_of_before_go_on(pictures, tmp_path):
    grown(pictures, tmp_path / "run", quiet=True)
    moved = shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    images = tuple(
        replace(i, path=Path(moved) / i.path.relative_to(pictures.root)) for i in pictures.train
    )
    grown(replace(pictures, root=Path(moved), train=images), tmp_path / "run", quiet=True)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    torch.save({k: v for k, v in state.items() if k not in ("checksums", "metrics")}, path)
    grown(replace(pictures, root=Path(moved), train=images), tmp_path / "run", quiet=True)


def test_a_start_is_the_same_however_its_path_is_written(finished, pictures, tmp_path, monkeypatch):
    start = finished[0]
    monkeypatch.chdir(start.parent)
    grown(pictures, tmp_path / "run", quiet=True, start=start.name)
    grown(pictures, tmp_path / "run", quiet=True, start=start)
    with pytest.raises(SettingsError, match="start: run there, elsewhere now"):
        grown(pictures, tmp_path / "run", quiet=True, start="elsewhere")


def test_only_what_differs_is_named(tmp_path):
    settings = {"encoder": {"pooling": "gem", "options": {"a": 1}}, "eps": 0.5}
    run = Run(tmp_path, {"method": "Nothing", "settings": settings}, device=CPU)
    grow(run, 1)
    other = {"encoder": {"pooling": "gem", "options": {"a": 2, "b": 3}}, "eps": 0.5}
    half = Device(name="cpu", precision="bfloat16")
    with pytest.raises(SettingsError) as error:
        Run(tmp_path, {"method": "Nothing", "settings": other}, device=half)
    assert str(error.value).splitlines()[1:-1] == [
        "  settings.encoder.options.a: 1 there, 2 now",
        "  settings.encoder.options.b: None there, 3 now",
        "  precision: float32 there, bfloat16 now (--device.precision float32 keeps it)",
    ]


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

    for epochs, says in ((1, "before a round was finished"), (3, "after round 2. The same")):
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
