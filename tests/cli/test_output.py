import contextlib
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from rich.table import Table

from reseen.cli import main
from reseen.cli.bench import _same
from reseen.cli.output import give, show
from reseen.cli.train import _results, _verdict
from reseen.methods import METHODS
from reseen.published import VARIANTS
from reseen.records import Ranking
from reseen.tables import Row
from tests.cli.test_cli import reseen as reseen


def test_no_number_is_cut_off_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "12")
    table = Table(title="a title that is longer than the terminal is wide", box=None)
    for name in ("method", "last", "best on test"):
        table.add_column(name, no_wrap=True)
    table.add_row("cluster-contrast", "20.4 / 36.5", "20.5 / 36.4")
    show(table)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == [
        ["method", "last", "best", "on", "test"],
        ["cluster-contrast", "20.4", "/", "36.5", "20.5", "/", "36.4"],
    ]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_is_for_a_reader_or_for_a_program(capsys, as_json):
    numbers = {"mAP": np.float32(0.5), "file": Path("f.npz"), "seeds": (0, np.int64(1))}
    give(numbers, "one [sentence]", as_json=as_json)
    printed = capsys.readouterr()
    wanted = '{"mAP": 0.5, "file": "f.npz", "seeds": [0, 1]}\n' if as_json else "one [sentence]\n"
    assert (printed.out, printed.err) == (wanted, "")


ROWS = [
    {"round": 0, "mAP": 0.771, "rank1": 0.888},
    {"round": 5, "mAP": 0.70, "rank1": 0.8, "clusters": 9},
    {"round": 10, "mAP": 0.65, "rank1": 0.7, "clusters": 8},
]


@pytest.mark.parametrize(
    ("best", "last", "says"),
    [
        (0.70, 0.65, "from 77.1% to 65.0%; no round was better than the encoder before training."),
        (0.80, 0.65, "Training lowered mAP from 77.1% to 65.0%."),
        (0.80, 0.78, None),
    ],
)
def test_training_that_did_harm_is_said(best, last, says):
    measured = _results([ROWS[0], ROWS[1] | {"mAP": best}, ROWS[2] | {"mAP": last}])
    assert [row["mAP"] for row in measured.values()] == [0.771, last, max(0.771, best, last)]
    said = _verdict(measured)
    assert len(said) == (says is not None) and all(says in sentence for sentence in said)
    assert _verdict(_results([{"round": 1, "clusters": 3}])) == []


def test_the_result_is_named_where_it_is_not_the_last_round():
    rows = [{"round": n, "shared_neighbours": s} for n, s in enumerate((0.4, 0.6, 0.5))]
    assert _results(rows) == {"last": rows[2], "result": rows[1]}
    assert _results(rows[:2]) == {"last": rows[1]}
    judged = [row | {"mAP": 0.3} for row in rows]
    assert list(_results(judged)) == ["untrained", "last", "result", "best on test"]


def test_train_prints_one_line_of_json(reseen, town_folder, monkeypatch):
    monkeypatch.setattr("reseen.cli.train.train", lambda *_, **__: print("hello", file=sys.stderr))
    monkeypatch.setattr("reseen.cli.train.read_metrics", lambda _: ROWS)
    words = ["train", "cluster-contrast", town_folder, "-o", "x"]
    code, out, err = reseen(*words, "--json")
    assert (code, err) == (0, "hello\n") and out.count("\n") == 1
    told = json.loads(out)
    assert told == {"untrained": ROWS[0], "last": ROWS[2], "best_on_test": ROWS[0]}
    code, out, _ = reseen(*words)
    assert code == 0 and out.splitlines()[-1].startswith("Training lowered mAP from 77.1% to 65.0%")


def test_evaluate_and_extract_print_one_line_of_json(reseen, town_folder, monkeypatch, tmp_path):
    asked = []
    ranking = Ranking(np.arange(2), 1, *[np.array([0.5, 1.0])] * 3, np.zeros((2, 1)), np.ones(2))

    def compare(_, data, centrings, *, quiet, **__):
        asked.append(quiet)
        return dict.fromkeys(centrings, ranking)

    def extract(_, data, *, quiet, **__):
        asked.append(quiet)
        return np.ones((len(data.train), 4), np.float32), data.train

    encoder = SimpleNamespace(camera_statistics=None)
    monkeypatch.setattr("reseen.cli.use.training.load", lambda *_, **__: encoder)
    monkeypatch.setattr("reseen.cli.use.training.compare", compare)
    monkeypatch.setattr("reseen.cli.use.training.extract", extract)
    code, out, _ = reseen("evaluate", "run", town_folder, "--json", "-q")
    assert code == 0 and json.loads(out) == {**ranking.summary(), "skipped": 1}
    code, out, _ = reseen("evaluate", "run", town_folder)
    assert code == 0 and "1 query has no match in the gallery and did not count." in out
    file = tmp_path / "f.npz"
    code, out, _ = reseen("extract", "run", town_folder / "query", "-o", file, "--json", "--quiet")
    count = len(list((town_folder / "query").iterdir()))
    assert code == 0 and json.loads(out) == {"features": count, "size": 4, "file": str(file)}
    assert asked == [True, False, True]

    encoder.camera_statistics = SimpleNamespace(names=("2", "9"))
    code, out, _ = reseen("evaluate", "run", town_folder, "--json")
    rows = {how: ranking.summary() for how in ("off", "mean", "deviation")}
    assert json.loads(out) == {**ranking.summary(), "skipped": 1, "centring": rows}
    code, out, _ = reseen("evaluate", "run", town_folder, "--centring", "mean")
    assert code == 0 and "deviation" not in out and "for these cameras: 2. It is" in out
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["centring", "off", "mean"]
    code, out, _ = reseen("evaluate", "run", town_folder, "--centring", "off", "--json")
    assert json.loads(out) == {**ranking.summary(), "skipped": 1}

    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    np.savez(file, features=rows / np.linalg.norm(rows, axis=1, keepdims=True))
    code, out, err = reseen("choose-eps", file, "--at", 0.3, "--at", 0.6, "--k1", 8, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [row["eps"] for row in told["tried"]] == [0.3, 0.6]
    assert told["suggested"] in (0.3, 0.6) and set(told["tried"][0]) == {
        *("eps", "clusters", "noise", "largest", "stability")
    }


def row(variant):
    pairs = ((0.1, 0.2), (0.3, 0.4))
    return Row(variant, pairs, pairs, pairs, (1.0, 2.0), ("", "no clusters"))


@pytest.mark.parametrize("same", [True, False])
def test_a_table_says_whose_numbers_the_published_ones_are(reseen, town_folder, monkeypatch, same):
    monkeypatch.setattr("reseen.cli.bench.run_table", lambda methods, *_, **__: map(row, methods))
    words = ["bench", "table", "ssl-1", town_folder, "-o", "x", "--only", "full", "--seeds", 0, 1]
    code, out, _ = reseen(*words, *(["--settings=--format market1501"] if same else []))
    assert code == 0 and "37.8 / 71.7" in out
    assert ("cannot be compared" in out) != same
    if not same:
        assert f"(Market-1501, DukeMTMC) than {town_folder.name}" in out
    code, out, _ = reseen(*words, "--json")
    told = json.loads(out)
    assert code == 0 and [record["seed"] for record in told] == [0, 1]
    assert told[1] == {
        "variant": "full",
        "seed": 1,
        **{part: {"mAP": 0.3, "rank1": 0.4} for part in ("untrained", "last", "best_on_test")},
        "minutes": 2.0,
        "ended_early": "no clusters",
        "published": {"Market-1501": [37.8, 71.7], "DukeMTMC": [28.6, 52.5]},
    }


def test_a_table_of_gains_has_a_column_of_them(reseen, town_folder, monkeypatch):
    """G of DAAL's Table 2: what learning without labels adds to direct transfer."""

    def row(variant):
        last = ((0.45, 0.5), (0.55, 0.7)) if variant == "full" else ((0.2, 0.3), (0.3, 0.5))
        return Row(variant, last, last, last, (1.0, 1.0), ("", ""))

    monkeypatch.setattr("reseen.cli.bench.run_table", lambda methods, *_, **__: map(row, methods))
    words = ["bench", "table", "daal-2", town_folder, "--source", town_folder, "-o", "x"]
    words += ["--seeds", 0, 1]
    code, out, _ = reseen(*words)
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert code == 0 and "gain over direct" in lines["variant"]
    assert "25.0 ± 0.0 / 20.0" in lines["full"] and "67.8 / 86.4 (+44.4 / +34.9)" in lines["full"]
    assert "63.9 / 77.6 (+41.0 / +37.0)" in lines["full"] and "(" not in lines["direct"]
    code, out, _ = reseen(*words, "--only", "full")
    assert code == 0 and "gain" not in out and "+" not in out


@pytest.mark.parametrize(
    ("where", "name", "same"),
    [
        ("Market-1501", "Market-1501-v15.09.15", True),
        ("DukeMTMC-reID to Market-1501", "market1501", True),
        ("Market-1501 to DukeMTMC-reID", "market1501", False),
        ("DukeMTMC", "DukeMTMC-reID", True),
        ("MARS", "crops", False),
        ("MARS", "Market-1501", False),
    ],
)
def test_a_published_data_set_is_known_by_its_name(where, name, same):
    assert _same(where, name, "auto") is same


def test_a_sweep_and_all_methods_print_json(reseen, town_folder, monkeypatch):
    monkeypatch.setattr("reseen.cli.bench.run_table", lambda methods, *_, **__: map(row, methods))
    rest = [town_folder, "-o", "x", "--seeds", 0, 1, "--json"]
    code, out, err = reseen("bench", "sweep", "cluster-contrast", "eps", "0.4,0.5", *rest)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [(r["value"], r["seed"]) for r in told] == [
        (v, s) for v in ("0.4", "0.5") for s in (0, 1)
    ]
    code, out, _ = reseen("bench", "all", *rest, "--only", "buc", "ssl")
    told = json.loads(out)
    assert code == 0 and [r["variant"] for r in told] == ["ssl", "ssl", "buc", "buc"]
    assert {r["data"] for r in told} == {town_folder.name}


def test_methods_say_their_variants_or_that_there_are_none(reseen):
    code, out, _ = reseen("methods", "supervised")
    assert code == 0 and out.startswith("supervised has no variants. `reseen train")
    assert json.loads(reseen("methods", "--json")[1]).keys() == METHODS.keys()
    told = json.loads(reseen("methods", "adtc", "--json")[1])
    assert told["only-tc"]["settings"] == {"attention": "none"}


@pytest.mark.parametrize("method", VARIANTS)
def test_methods_are_as_wide_as_the_terminal_and_say_a_note_once(monkeypatch, capsys, method):
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.suppress(SystemExit):
        main(["methods", method])
    out = capsys.readouterr().out
    tables = out.count("published mAP / rank-1")
    assert tables > 0 and out.count("from a model trained on the other data set") <= tables
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_that_a_console_cannot_show_are_shown_in_another_way(monkeypatch, tmp_path, encoding):
    """Of Windows, where output goes into a file or a pipe."""
    folder = tmp_path / "人物"
    folder.mkdir()
    PIL.Image.new("RGB", (8, 16)).save(folder / "相机é.png")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    for words in (["data", "check", str(folder)], ["data", "check", "不在"]):
        with pytest.raises(SystemExit) as end:
            main(words)
    give({}, "特征.npz", as_json=False)
    assert end.value.code == 1
    out, err = (stream.buffer.getvalue() for stream in streams if not stream.flush())
    shown = {"cp1252": b"\\u7279\\u5f81.npz", "ascii": b"\\u7279\\u5f81.npz"}
    assert shown.get(encoding, "特征.npz".encode()) in out
    assert ("不在".encode() if encoding == "utf-8" else b"\\u4e0d\\u5728") in err


def test_quiet_is_handed_on_to_what_takes_long(reseen, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "reseen.cli.report.write_report", lambda *_, quiet, **__: asked.append(quiet)
    )
    page = tmp_path / "page.html"
    assert reseen("report", "run", "-o", page, "-q")[0] == reseen("report", "run", "-o", page)[0]
    monkeypatch.setattr("reseen.cli.bench._bound", lambda *words: asked.append(words[-1]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reseen("bench", "sweep", "buc", "rate", "0.1", ".", "-o", "x", "--quiet")
    assert asked == [True, False, " --quiet"]
    sizes = ["--people", 1, "--cameras", 2, "--views", 1, "--height", 32, "--width", 16, "-q"]
    code, out, err = reseen("data", "invent", "-o", tmp_path / "town", *sizes)
    assert (code, err) == (0, "") and out.startswith("2 training crops of 1 person, ")


def test_cameras_are_learnt_from_training_crops_that_are_named(reseen, town_folder, monkeypatch):
    words = "evaluate", "reseen-tiny", town_folder, "--json", "-q"
    asked = (*words, "--centring-from", town_folder)
    code, _, err = reseen(*asked)
    assert code == 1 and "no two cameras with at least 50 training crops" in err
    code, _, err = reseen(*words, "--centring", "mean")
    assert code == 1 and "but this encoder has no camera statistics" in err
    monkeypatch.setattr("reseen.kernels.centring.LEAST", 5)
    told = json.loads(reseen(*asked, "--centring", "deviation")[1])
    rows = told.pop("centring")
    assert told == {**rows["deviation"], "skipped": told["skipped"]} and set(rows) > {"off"}
    plain = json.loads(reseen(*words)[1])
    assert plain == {**rows["off"], "skipped": told["skipped"]} and plain["mAP"] != told["mAP"]
    picture = next((town_folder / "query").iterdir())
    words = "search", "reseen-tiny", picture, "--in", town_folder, "--json", "-q"
    by_name = "--centring", "mean", "--centring-from", town_folder
    assert reseen(*words)[1] != reseen(*words, *by_name)[1] != ""
