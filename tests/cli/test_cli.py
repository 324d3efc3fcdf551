import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from reseen.cli import app, main, settings_of
from reseen.cli.bench import _bound
from reseen.cli.data import Knobs
from reseen.data import invented
from reseen.engine.device import Device
from reseen.methods import METHODS
from reseen.tables import rows_of

SMALL = """
--encoder.backbone squeezenet1_1 --encoder.weights none --encoder.height 48 --encoder.width 24
--encoder.last-stride 2 --people 4 --views 4 --k1 8 --k2 2 --eps 0.7 --min-samples 2
--iterations 3 --epochs 2 --device.name cpu
""".split()  # noqa: SIM905


@pytest.fixture
def reseen(monkeypatch, capsys):
    """Run the command line in this process; give exit code and what it printed."""

    def run(*words: object):
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main([str(word) for word in words])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_train_evaluate_extract(reseen, town_folder, tmp_path):
    run = tmp_path / "run"
    code, out, err = reseen("train", "cluster-contrast", town_folder, "--out", run, *SMALL)
    assert code == 0
    assert "untrained" in out and "last" in out and "best on test" in out
    assert "round 2/2" in err and "0.00 GB at 48 x 24, kept in memory" in err

    code, again, err = reseen("train", "cluster-contrast", town_folder, "--out", run, *SMALL)
    assert code == 0 and again == out and "resuming after round 2" in err

    code, out, err = reseen("evaluate", run, town_folder)
    assert code == 0 and "mAP" in out and "rank10" in out and "%" in out
    assert reseen("evaluate", run, town_folder, "--rerank", "--best")[1] != out

    code, out, err = reseen("extract", run, town_folder / "query", "--out", tmp_path / "f.npz")
    assert "read from names such as 0" in err
    with np.load(tmp_path / "f.npz") as written:
        features, paths = written["features"], written["paths"]
    assert len(features) == len(paths) == len(list((town_folder / "query").iterdir()))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert f"wrote {len(paths)} features with 512 dimensions each" in out

    code, out, _ = reseen("attention-share", run, town_folder)
    shares = [float(word.rstrip("%")) for word in out.splitlines()[2].split()[1:]]
    assert code == 0 and len(shares) == 3 and all(0 < share < 100 for share in shares)
    assert "no attention" in out
    assert "has no masks" in reseen("attention-share", run, town_folder / "query")[2]

    code, out, _ = reseen("choose-eps", tmp_path / "f.npz", "--at", 0.3, "--at", 0.6, "--k1", 8)
    assert code == 0 and "Suggested: eps 0." in out
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["eps", "0.3", "0.6"]


def test_a_start_is_adapted_before_it_is_used(reseen, town_folder, tmp_path):
    adapt = ("--adapt-norm", town_folder)
    found = []
    for words in ((), adapt):
        out = tmp_path / f"{len(words)}.npz"
        code, _, err = reseen("extract", "reseen-tiny", town_folder / "query", "-o", out, *words)
        assert code == 0 and ("recomputed" in err) == bool(words)
        with np.load(out) as written:
            found.append(written["features"])
    assert np.abs(found[1] - found[0]).max() > 0.01
    code, _, err = reseen("evaluate", "reseen-tiny", town_folder, *adapt)
    assert code == 0 and "recomputed" in err
    picture = next((town_folder / "query").iterdir())
    code, _, err = reseen("search", "reseen-tiny", picture, "--in", town_folder / "query", *adapt)
    assert code == 0 and "recomputed" in err


@pytest.mark.parametrize("suffix", [".toml", ".yaml", ".json"])
def test_settings_from_a_file_and_the_command_line_wins(reseen, town_folder, tmp_path, suffix):
    import json

    text = {
        ".toml": 'eps = 0.31\nk1 = 3\n[encoder]\nbackbone = "squeezenet1_1"\n',
        ".yaml": "eps: 0.31\nk1: 3\nencoder:\n  backbone: squeezenet1_1\n",
        ".json": '{"eps": 0.31, "k1": 3, "encoder": {"backbone": "squeezenet1_1"}}',
    }[suffix]
    path = tmp_path / f"settings{suffix}"
    path.write_text(text)
    words = [word for word in SMALL if word not in ("--encoder.backbone", "squeezenet1_1")]
    cut = words.index("--eps")
    reseen(
        *("train", "cluster-contrast", town_folder, "--out", tmp_path / "run"),
        *((f"--config={path}",) if suffix == ".json" else ("--config", path)),
        *words[:cut],
        *words[cut + 2 :],
    )
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["eps"], settings["k1"]) == (0.31, 8)
    assert settings["encoder"]["backbone"] == "squeezenet1_1"


def test_data_check(reseen, town_folder):
    code, out, _ = reseen("data", "check", town_folder)
    assert code == 2 and "3 cameras" in out and "only 72 training images" in out


def test_data_check_in_json_and_its_exit_codes(reseen, town_folder, tmp_path, monkeypatch):
    code, out, _ = reseen("data", "check", town_folder, "--json")
    told = json.loads(out)
    assert code == 2 and told["problems"][0].keys() == {"what", "fix", "where"}
    assert any("72 images" in line for line in told["found"])
    monkeypatch.setattr("reseen.data.check.FEW", 0)
    monkeypatch.setattr("reseen.data.check.HUNDREDS", 0)
    code, out, _ = reseen("data", "check", town_folder, "--json")
    assert code == 0 and json.loads(out)["problems"] == []
    (tmp_path / "x.mp4").touch()
    code, _, err = reseen("data", "check", tmp_path / "x.mp4", "--json")
    assert code == 1 and "is a video" in err


def test_what_was_passed_over_is_said(reseen, town_folder, tmp_path):
    (tmp_path / "crops").symlink_to(town_folder / "bounding_box_train")
    code, out, _ = reseen("data", "check", tmp_path / "crops", "--folders", "camera")
    assert code == 2 and "no camera is known" in out
    code, _, err = reseen("data", "check", town_folder, "--folders", "people")
    assert code == 1 and "folders is 'people'. Use one of: auto, camera, person." in err


def test_data_invent(reseen, tmp_path):
    words = [
        "data",
        "invent",
        "--people",
        "2",
        "--cameras",
        "2",
        "--seed",
        "1",
        "--views",
        "2",
        "--height",
        "48",
        "--width",
        "24",
    ]
    words += ["--tracklets", "2", "--out"]
    code, out, _ = reseen(*words, tmp_path / "a")
    assert code == 0 and "8 training crops of 2 people, 4 queries, 11 in the gallery" in out
    assert f"16 frames of tracklets; masks and manifest.csv are in {tmp_path / 'a'}" in out
    assert len(list((tmp_path / "a" / "tracklets").rglob("*.jpg"))) == 16
    hard = ("--town", "town-b", "--difficulty.occlusion", "1")
    code, _, _ = reseen(*words, tmp_path / "b", *hard)
    hidden = [
        sum(float(line.split(",")[-1]) for line in path.read_text().splitlines()[1:])
        for path in (tmp_path / "a" / "manifest.csv", tmp_path / "b" / "manifest.csv")
    ]
    assert code == 0 and hidden[1] > hidden[0]
    assert reseen(*words, tmp_path / "b")[0] == 1  # not empty
    code, _, err = reseen(*words, tmp_path / "c", "--difficulty.box-error", "2")
    assert code == 1 and "box_error is 2" in err


def test_the_knobs_are_those_of_a_difficulty():
    knobs, names = ([field.name for field in fields(kind)] for kind in (Knobs, invented.Difficulty))
    assert knobs == names


def test_methods(reseen):
    code, out, _ = reseen("methods")
    assert code == 0 and out.startswith("cluster-contrast") and "\nadtc  " in out


def test_methods_lists_variants_with_what_was_published(reseen):
    code, out, _ = reseen("methods", "adtc")
    assert code == 0 and "adtc-2: published mAP / rank-1 in percent" in out
    (row,) = [line for line in out.splitlines() if line.split()[0] == "only-tc"]
    assert "attention none; DukeMTMC to Market-1501 41.1 / 66.2; Market-1501 to DukeMTMC" in row
    code, _, err = reseen("methods", "adct")
    assert code == 1 and "No method is called 'adct'. Use one of: cluster-contrast, adtc" in err


ADTC = """
--encoder.backbone squeezenet1_1 --encoder.weights none --encoder.height 48 --encoder.width 24
--encoder.last-stride 2 --people 4 --views 2 --k1 8 --clusters 12 --p 6 --width 16 --rounds 1
--epochs 1 --iterations 1 --device.name cpu
""".split()  # noqa: SIM905


def test_a_variant_gives_way_to_file_and_command_line(reseen, town_folder, tmp_path):
    import json

    (tmp_path / "s.toml").write_text('margin = 0.4\nloss = "triplet"\n')
    run = tmp_path / "run"
    words = "--variant=modern-tc", "--config", tmp_path / "s.toml", "--augment.pad", 4
    code, _, err = reseen("train", "adtc", town_folder, "--out", run, *ADTC, *words)
    assert code == 0, err
    told = json.loads((run / "run.json").read_text())["settings"]
    assert (told["margin"], told["loss"], told["attention"]) == (0.4, "triplet", "none")
    assert told["people"] == 4 and told["weighted"] and told["rate"] == 3.5e-4
    assert told["encoder"]["pooling"] == "gem" and told["encoder"]["backbone"] == "squeezenet1_1"
    assert told["augment"]["pad"] == 4 and told["augment"]["erase"] == 0.5


def test_parts_keep_what_the_method_makes_of_them(reseen, town_folder, tmp_path):
    """Naming one field of the encoder must not forget the pooling that the method asks for."""
    import json

    code, _, err = reseen("train", "adtc", town_folder, "--out", tmp_path / "run", *ADTC)
    assert code == 0, err
    told = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert told["encoder"]["pooling"] == "max" and told["augment"]["erase"] == 0.0


def test_a_table_beside_the_published_one(reseen, town_folder, tmp_path):
    out = tmp_path / "table"
    words = ["bench", "table", "adtc-2", town_folder, "--out", out, "--only", "only-tc", "full"]
    words += ["--seeds", 0, 1, "--settings", " ".join(ADTC)]
    code, printed, err = reseen(*words)
    assert code == 0, err
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "41.1 / 66.2" in rows["only-tc"] and "59.7 / 79.3" in rows["full"]
    assert "±" in rows["full"] and "tc-cbam" not in rows
    found = sorted(path.parent.relative_to(out) for path in out.glob("*/*/run.json"))
    assert [str(path) for path in found] == ["full/0", "full/1", "only-tc/0", "only-tc/1"]
    code, again, err = reseen(*words)
    assert code == 0 and again == printed and "round" not in err


def test_tables_and_sweeps_on_the_pages_are_known():
    pages = Path(__file__).parents[2] / "docs"
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages.rglob("*.md"))
    swept = set(re.findall(r"^reseen bench sweep (\S+) (\S+) (\S+) ", text, re.MULTILINE))
    for method, setting, values in swept:
        for value in values.split(",")[:: values.count(",") or 1]:  # the first and the last
            assert _bound(method, pages, pages, [f"--{setting.replace('_', '-')}={value}"], "")
    adtc = {("adtc", setting) for setting in ("clusters", "margin", "epochs")}
    assert {of[:2] for of in swept} >= adtc | {("conslearn", "projected"), ("ssl", "k")}
    for table in re.findall(r"bench table\s+(\w+-[\w-]+)", text):
        rows_of(table)


def test_a_sweep_prints_its_values_resumes_and_draws(reseen, town_folder, tmp_path):
    out, plot = tmp_path / "sweep", tmp_path / "margin.png"
    words = ["bench", "sweep", "adtc", "margin", "0.1,0.3", town_folder, "--out", out]
    words += ["--plot", plot, "--settings", " ".join(ADTC)]
    code, printed, err = reseen(*words)
    assert code == 0, err
    assert [line.split()[0] for line in printed.splitlines()[2:]] == ["0.1", "0.3"]
    found = sorted(path.parent.relative_to(out) for path in out.glob("*/*/run.json"))
    assert [str(path) for path in found] == ["margin=0.1/0", "margin=0.3/0"] and plot.exists()
    code, again, err = reseen(*words)
    assert code == 0 and again == printed and "round" not in err


DAAL = """
--encoder.backbone squeezenet1_1 --encoder.weights none --encoder.height 48 --encoder.width 24
--encoder.last-stride 2 --people 2 --views 2 --k1 8 --k2 2 --eps 0.7 --min-samples 2 --pretrain 1
--epochs 1 --iterations 1 --device.name cpu
""".split()  # noqa: SIM905


def test_the_table_of_two_domains(reseen, town_folder, other_folder, tmp_path):
    import json

    out = tmp_path / "table"
    words = ["bench", "table", "daal-4", town_folder, "--out", out, "--settings", " ".join(DAAL)]
    words += ["--only", "supervised", "direct", "full"]
    code, printed, err = reseen(*words, "--source", other_folder)
    assert code == 0, err
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "77.2 / 90.8" in rows["supervised"] and "23.4 / 51.5" in rows["direct"]
    assert "21.6 / 46.7" in rows["full"]
    told = {
        name: json.loads((out / name / "0" / "run.json").read_text())["source"]["images"]
        for name in ("supervised", "direct", "full")
    }
    assert told == {"supervised": 72, "direct": told["full"], "full": told["full"]}
    assert 0 < told["full"] < 72
    code, _, err = reseen(*words[:4], "--out", tmp_path / "none", *words[6:], "--only", "full")
    assert code == 1 and "--source DATA" in err


ALL = """
[encoder]
backbone = "squeezenet1_1"
weights = "none"
height = 48
width = 24
last_stride = 2
[device]
name = "cpu"
[buc]
first = 1
merge_rate = 0.4
stop = 0.0
epochs = 1
[supervised]
epochs = 1
views = 2
[daal]
people = 2
views = 2
k1 = 8
k2 = 2
eps = 0.7
min_samples = 2
pretrain = 1
rounds = 1
epochs = 1
iterations = 1
"""


@pytest.mark.slow
def test_all_methods_on_all_data_go_into_a_page(reseen, town_folder, other_folder, tmp_path):
    (tmp_path / "all.toml").write_text(ALL)
    page, out = tmp_path / "page.md", tmp_path / "runs"
    page.write_text("# Page\n")
    words = ["bench", "all", town_folder, other_folder, "--out", out, "--write", page]
    words += ["--settings", f"--config {tmp_path / 'all.toml'}", "--seeds", 0, 1]
    words += ["--only", "buc", "daal", "supervised"]
    code, _, err = reseen(*words)
    assert code == 1 and "has no place for the table" in err and not out.exists()
    marks = "<!-- reseen bench all -->\n", "<!-- end of reseen bench all -->\n"
    page.write_text("before\n" + marks[0] + "old\n" + marks[1] + "after\n")
    code, printed, err = reseen(*words)
    assert code == 0, err
    text = page.read_text()
    assert text.startswith("before\n" + marks[0] + "| method | ") and "old" not in text
    assert text.endswith(marks[1] + "after\n") and "seeds 0 1" in text and "no GPU" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    name, other = town_folder.name, other_folder.name
    parts = ("before", "last", "best on test")
    assert rows[0] == ["method", *(f"{n}, {p}" for n in (name, other) for p in parts), "minutes"]
    assert [row[0] for row in rows[2:]] == ["buc", "supervised"]  # daal has no source
    assert all(cell.count("±") == 1 for row in rows[2:] for cell in row[1:7])
    found = {path.parent.relative_to(out).as_posix() for path in out.glob("*/*/*/run.json")}
    assert found == {
        f"{n}/{m}/{seed}" for n in (name, other) for m in ("buc", "supervised") for seed in (0, 1)
    }
    code, again, err = reseen(*words)
    assert (code, again) == (0, printed) and "round" not in err and page.read_text() == text
    code, _, err = reseen(*words[:-3], "daal")
    assert code == 1 and "Nothing to train: daal" in err
    words[-3:] = ["daal", "--source", other_folder]
    code, printed, err = reseen(*words)
    assert code == 0 and "daal" in printed, err
    told = (out / name / "daal" / "1" / "source.txt").read_text()
    assert str(other_folder) in told and str(town_folder) not in told


@pytest.mark.slow
def test_a_sweep_of_two_domains_from_a_start(reseen, town_folder, other_folder, tmp_path):
    import json

    run, out = tmp_path / "source", tmp_path / "sweep"
    supervised = [*SMALL[:10], "--epochs", 1, "--views", 2, "--device.name", "cpu"]
    code, _, err = reseen("train", "supervised", other_folder, "--out", run, *supervised)
    assert code == 0, err
    plain = [word for word in DAAL if word not in ("--encoder.backbone", "squeezenet1_1")]
    words = ["bench", "sweep", "daal", "floor", "0.1,0.2", town_folder, "--out", out]
    code, _, err = reseen(
        *words, "--settings", " ".join([*plain, "--source", str(other_folder)]), "--start", run
    )
    assert code == 0, err
    facts = [json.loads((out / f"floor={f}" / "0" / "run.json").read_text()) for f in (0.1, 0.2)]
    assert [told["start"] for told in facts] == [str(run)] * 2
    assert all(told["source"]["images"] > 0 for told in facts)


def test_words_for_every_run_may_name_source_start_and_format(
    reseen, town_folder, other_folder, tmp_path
):
    import json

    (tmp_path / "all.toml").write_text(ALL)
    run, out = tmp_path / "source", tmp_path / "runs"
    supervised = [*SMALL[:10], "--epochs", 1, "--views", 2, "--device.name", "cpu"]
    code, _, err = reseen("train", "supervised", other_folder, "--out", run, *supervised)
    assert code == 0, err
    words = f"--config {tmp_path / 'all.toml'} --source {other_folder} --start {run}"
    all_of = ["bench", "all", town_folder, "--out", out, "--only", "daal", "--settings"]
    code, _, err = reseen(*all_of, words)
    assert code == 0, err
    told = out / town_folder.name / "daal" / "0"
    assert json.loads((told / "run.json").read_text())["start"] == str(run)
    assert str(other_folder) in (told / "source.txt").read_text()
    code, _, err = reseen(*all_of, words + " --format mars")
    assert code == 1 and "MARS has bbox_train" in err


def test_a_table_from_a_start(reseen, town_folder, tmp_path):
    import json

    supervised = [*SMALL[:10], "--epochs", 1, "--views", 2, "--device.name", "cpu"]
    run, out = tmp_path / "source", tmp_path / "table"
    code, _, err = reseen("train", "supervised", town_folder, "--out", run, *supervised)
    assert code == 0, err
    plain = [word for word in ADTC if word not in ("--encoder.backbone", "squeezenet1_1")]
    words = ["bench", "table", "adtc-2", town_folder, "--out", out, "--only", "full"]
    code, printed, err = reseen(*words, "--start", run, "--settings", " ".join(plain))
    assert code == 0 and "59.7 / 79.3" in printed, err
    assert json.loads((out / "full" / "0" / "run.json").read_text())["start"] == str(run)
    words = ["bench", "table", "adtc-1", town_folder, "--out", out, "--only", "direct", "--json"]
    code, printed, err = reseen(*words, "--start", run, "--settings", " ".join(plain))
    (row,) = json.loads(printed)
    told = json.loads(reseen("evaluate", run, town_folder, "--json")[1])
    assert code == 0 and row["last"]["mAP"] == pytest.approx(told["mAP"], abs=1e-5), err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bench", "sweep", "adct", "p", "1", ".", "--out", "x"], "No method is called 'adct'"),
        (["bench", "sweep", "adtc", "p", ",", ".", "--out", "x"], "values is ','"),
        (["data", "check", "nowhere"], "reseen: nowhere does not exist."),
        (["evaluate", ".", "nowhere"], "reseen: nowhere does not exist."),
        (["train", "cluster-contrast", ".", "--out", "x", "--eps", "2"], "eps is 2.0"),
        (["train", "cluster-contrast", ".", "--out", "x", "--epss", "2"], "--eps?"),
        (["train", "cluster-contrast", ".", "--out", "x", "--config", "n.toml"], "n.toml is not"),
        (["train", "cluster-contrst", "."], "cluster-contrast"),
        (["train", "adtc", ".", "--out", "x", "--variant", "tc"], "variant is 'tc'. This method"),
        (["bench", "table", "adtc-9", ".", "--out", "x"], "No table is called 'adtc-9'"),
        (
            ["bench", "table", "adtc-2", ".", "--out", "x", "--only", "tc"],
            "adtc-2 has no 'tc'. It has: only-tc, only-va",
        ),
    ],
)
def test_mistakes_are_said_in_a_line_and_exit_1(reseen, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = reseen(*words)
    assert code == 1 and out == "" and err.startswith("reseen: ")
    assert says in err and "Traceback" not in err and err.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("suffix", "text"), [(".toml", "eps = = 1"), (".json", "{eps: 1"), (".yaml", "eps: [1")]
)
def test_a_file_of_settings_that_is_broken_is_named(reseen, tmp_path, suffix, text):
    path = tmp_path / f"settings{suffix}"
    path.write_text(text)
    code, _, err = reseen("train", "cluster-contrast", tmp_path, "--out", "x", "--config", path)
    assert code == 1 and f"{path} cannot be parsed: " in err and "Traceback" not in err


def test_evaluating_what_is_no_run(reseen, town_folder, tmp_path):
    code, _, err = reseen("evaluate", tmp_path, town_folder)
    assert code == 1 and "holds no run" in err


def test_help_names_every_setting_and_its_meaning(reseen):
    code, out, _ = reseen("train", "cluster-contrast", "--help")
    assert code == 0
    for words in ("--encoder.backbone", "--augment.erase", "Radius of DBSCAN", "--skip-broken"):
        assert words in out


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_command_is_called_like_a_setting(method):
    """Else --config and variants lose the setting: its name is taken for the command."""
    assert not {field.name for field in fields(method)} & set(app)


def test_the_command_is_there_and_helps():
    done = subprocess.run(
        [sys.executable, "-m", "reseen", "--help"], capture_output=True, text=True, check=True
    )
    assert "Train an encoder on unlabelled crops" in done.stdout


def test_what_makes_a_row_stays(reseen, town_folder, tmp_path, monkeypatch):
    ran = {}

    def run_table(methods, *_, **__):
        ran.update(methods)
        return []

    monkeypatch.setattr("reseen.cli.bench.run_table", run_table)
    words = ["bench", "table", "daal-4", town_folder, "--source", town_folder, "--out", tmp_path]
    code, out, _ = reseen(*words, "--settings", "--rounds 3 --people 2")
    assert code == 0 and "supervised: source: the target's own labelled images" in out
    assert (ran["direct"].rounds, ran["direct"].batches.people) == (0, 2)
    assert (ran["full"].rounds, ran["hard"].labels) == (3, "hard")


def test_a_row_without_a_start_begins_without_that_of_the_table(
    reseen, town_folder, tmp_path, monkeypatch
):
    begun = {}

    def train(_method, _data, run, *, start, **_):
        begun[run.parent.name] = start
        run.mkdir(parents=True, exist_ok=True)

    pair = (0.1, 0.2)
    monkeypatch.setattr("reseen.tables.train", train)
    monkeypatch.setattr("reseen.tables._measured", lambda _: (pair, pair, pair, 1.0, ""))
    words = ["bench", "table", "adtc-1", town_folder, "--out", tmp_path / "table"]
    code, printed, err = reseen(*words)
    assert code == 0 and "direct is left out because it requires --start RUN" in printed, err
    assert begun == {"full": None, "without-source": None}
    code, _, err = reseen(*words, "--only", "full", "without-source", "--start", tmp_path)
    assert code == 0, err
    assert begun == {"full": tmp_path, "without-source": None}


def test_the_preset_follows_from_data_and_words(town_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("reseen.engine.device.Device.resolve", lambda device: Device(name="cpu"))
    crops = shutil.copytree(town_folder / "query", tmp_path / "crops" / "gate")
    for name, path in enumerate(sorted(crops.iterdir())):
        path.rename(path.with_name(f"{name}.jpg"))
    start = ["train", "cluster-contrast"]
    for words, expected in (
        ([tmp_path / "crops"], "cpu"),
        ([tmp_path / "crops", "--preset", "gpu"], "gpu"),
        ([town_folder], "published"),
        ([tmp_path / "missing"], "published"),
        ([tmp_path / "crops", "--help"], "published"),
    ):
        given = [*start, *map(str, words), "--out", str(tmp_path / "run")]
        settings_of(given)
        assert given[-1] == f"--preset={expected}"
    row = ["train", "adtc", str(tmp_path / "crops"), "--variant=full", "--out=run"]
    settings_of(row)
    assert row[-1] == "--preset=published"


def test_a_start_brings_the_network_and_its_size_whatever_the_preset(town_folder, tmp_path, reseen):
    crops = town_folder / "bounding_box_train"
    other = ["--encoder.backbone", "squeezenet1_1", "--encoder.weights", "none"]
    other += ["--encoder.height", "48", "--encoder.width", "24", "--encoder.last-stride", "2"]
    quick = ["--epochs", "1", "--people", "4", "--views", "2", "--evaluate-every", "0"]
    start = tmp_path / "start"
    words = ["train", "supervised", town_folder, "-o", start, *other, *quick]
    assert reseen(*words)[0] == 0
    words = ["train", "cluster-contrast", crops, "--folders", "camera", "--start", start]
    given = [*map(str, words), "--preset", "cpu", "--out", str(tmp_path / "run")]
    quick = ["--epochs", "1", "--iterations", "1", "--people", "4", "--views", "2"]
    code, _, err = reseen(*given, *quick, "--min-samples", "2")
    assert code == 0, err
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["encoder"]["height"], settings["encoder"]["width"]) == (48, 24)
    assert settings["k1"] == "auto" and settings["rate"] == 1e-4
