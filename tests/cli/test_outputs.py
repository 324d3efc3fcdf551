"""Where commands write, and where they refuse to."""

import json

import numpy as np
import pytest

from reseen.cli import use
from tests.cli.test_cli import reseen as reseen


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["extract", "run", ".", "--out", "f.txt"], "f.txt does not end in .npz"),
        (["extract", "run", ".", "--out", "some/new/f.npz"], "neither some/new nor some is"),
        (["data", "invent", "--out", "some/new/town"], "neither some/new nor some is"),
        (["data", "invent", "--out", "file"], "file is a file. Give a folder"),
        (["report", "run", "--out", "some/new/a.html"], "neither some/new nor some is"),
        (["bench", "sweep", "adtc", "margin", "1", ".", "--plot", "a.txt"], "end in .png"),
        (
            ["bench", "sweep", "adtc", "margin", "1", ".", "--plot", "a/b/c.png"],
            "neither a/b nor a",
        ),
        (["bench", "all", ".", "--write", "folder.md"], "folder.md is a folder"),
        (["bench", "sweep", "adtc", "margin", "1", ".", "--settings", "--name 'a"], "Close every"),
    ],
)
def test_bad_places_and_words_are_said_in_a_line(reseen, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.md").mkdir()
    code, _, err = reseen(*words, *(() if "--out" in words else ("--out", "runs")))
    assert code == 1 and says in err and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.md"]


def test_people_are_not_invented_among_pictures(reseen, town_folder):
    for name in ("town", "new/town"):
        out = town_folder / "query" / name
        code, _, err = reseen("data", "invent", "--people", 1, "--views", 1, "--out", out)
        assert code == 1 and "query, a folder of pictures" in err and not out.exists()


def test_features_have_absolute_paths(reseen, town_folder, tmp_path, monkeypatch):
    def extract(encoder, data, **options):
        return np.eye(len(data.train), dtype=np.float32), data.train

    monkeypatch.setattr(use.training, "load", lambda *args, **options: None)
    monkeypatch.setattr(use.training, "extract", extract)
    monkeypatch.chdir(town_folder)
    out = tmp_path / "new" / "f.npz"
    code, _, err = reseen("extract", "run", "query", "--out", out)
    assert code == 0 and f"{out.parent} does not exist and will be created" in err
    with np.load(out) as file:
        assert set(file["paths"]) == set(map(str, (town_folder / "query").iterdir()))
    code, _, err = reseen("extract", "run", "query", "--out", "query/f.npz")
    assert code == 1 and "query, a folder of pictures" in err


def test_runs_of_a_sweep_over_paths_lie_below_its_folder(
    reseen, town_folder, tmp_path, monkeypatch
):
    def train(method, data, folder, **options):
        (folder / "checkpoints").mkdir(parents=True)
        row = {"round": 0, "mAP": 0.5, "rank1": 0.5}
        (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")

    monkeypatch.setattr("reseen.tables.train", train)
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    values = "../c.pt,c.pt,../../c.pt,/c.pt"
    words = ["bench", "sweep", "cluster-contrast", "encoder.weights", values, town_folder]
    code, _, err = reseen(*words, "--out", "w")
    assert code == 0, err
    assert len(list((tmp_path / "a" / "b" / "w").glob("*/0/table.json"))) == 4
    assert len(list(tmp_path.rglob("table.json"))) == 4


@pytest.mark.parametrize("words", ["train supervised", "bench table adtc-2", "bench all"])
def test_folders_of_runs_are_made_only_below_one_that_exists(reseen, town_folder, tmp_path, words):
    out = tmp_path / "some" / "new" / "run"
    code, _, err = reseen(*words.split(), town_folder, "--out", out)
    assert code == 1 and f"neither {out.parent} nor {out.parent.parent} is a folder" in err
    assert list(tmp_path.iterdir()) == []
