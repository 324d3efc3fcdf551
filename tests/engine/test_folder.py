import json
import pickle
import random
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reseen.engine.folder import damaged_metrics, digest, read_labels, read_metrics, read_paths
from reseen.engine.progress import Screen
from reseen.errors import CheckpointError, DataError
from reseen.nets import encoder as encoders
from reseen.report.evidence import Evidence
from reseen.report.report import notes, write_report
from reseen.training import load
from tests.conftest import TINY
from tests.engine.runs import grown, new_run


def test_digest_knows_files_not_their_order(town):
    assert digest(town.train) == digest(town.train[::-1]) != digest(town.train[1:])


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
            with pytest.raises(CheckpointError, match=r"best\.pt is intact"):
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
    damaged = re.compile(r"(\d+) damaged lines? in metrics\.jsonl of run (is|are) left out")
    said = [int(found[1]) for n in notes([evidence], tmp_path) if (found := damaged.match(n))]
    assert said == [n for n in [damaged_metrics(copy)] if n]
    grown(data, copy)
    assert read_metrics(copy) == whole
    harmless = damage in ("no line end", "blank lines", "turned round")
    assert ("restored from last.pt" in capsys.readouterr().err) != harmless
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
    with pytest.raises((CheckpointError, DataError), match=r"images\.txt is damaged|are missing"):
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
        with pytest.raises(CheckpointError, match=r"run\.json is damaged or does not belong"):
            use(copy)
    assert load(copy / "checkpoints" / "last.pt").settings == TINY
    grown(finished[1], copy)
    assert path.read_text() == whole
    assert "run.json was damaged and has been restored" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", '"a"', "[" * 10**5, "\0", "{}"])
def test_a_spoilt_run_json_is_a_sentence(finished, copy, text):
    (copy / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json is damaged or does not belong"):
        load(copy)
    grown(finished[1], copy, quiet=True)
    assert (copy / "run.json").read_text() == (finished[0] / "run.json").read_text()
    path = copy / "checkpoints" / "last.pt"  # as versions before this one wrote it
    state = torch.load(path, weights_only=True)
    del state["facts"]
    torch.save(state, path)
    (copy / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json is damaged or does not belong"):
        grown(finished[1], copy, quiet=True)
