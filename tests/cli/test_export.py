"""`reseen export`, and commands that take its file in the place of a run."""

import json

import numpy as np
import pytest
import torch

from reseen import load
from reseen.nets.encoder import save
from tests.cli.test_cli import reseen as reseen

pytestmark = pytest.mark.xdist_group("export")


@pytest.fixture
def run(given_encoder, tmp_path):
    """A checkpoint of the small encoder."""
    torch.save(save(given_encoder), tmp_path / "run.pt")
    return tmp_path / "run.pt"


def test_a_file_stands_for_a_run(reseen, given_file, run, town_folder, tmp_path):
    exact = ["--device.precision", "float32"]
    numbers = []
    for name in (given_file, run):
        words = ["evaluate", name, town_folder, "--centring", "mean", "--json", "-q", *exact]
        code, out, err = reseen(*words)
        assert (code, err) == (0, "")
        numbers.append(json.loads(out))
    for how in ("off", "mean"):
        one, two = (of["centring"][how]["mAP"] for of in numbers)
        assert one == pytest.approx(two, abs=1e-4)
    features = []
    for name in (given_file, run):
        out = tmp_path / "f.npz"
        assert reseen("extract", name, town_folder / "query", "-o", out, "-q", *exact)[0] == 0
        with np.load(out) as found:
            features.append(found["features"])
    assert (features[0] * features[1]).sum(1).min() > 0.9999
    query = min((town_folder / "query").iterdir())
    words = ["search", given_file, query, "--in", town_folder / "query", "--top", 2, "--json"]
    assert reseen(*words)[1].count("\n") == 2


def test_a_file_is_written_judged_and_checked(reseen, run, town_folder, tmp_path):
    out = tmp_path / "a.pt2"
    words = ["export", run, "--for", "torch", "-o", out, "--judge", town_folder, "-q"]
    code, printed, err = reseen(*words, "--json", "--trained-on", "Noise.")
    told = json.loads(printed)
    assert (code, err) == (0, "")
    assert told["mAP"]["file"] == pytest.approx(told["mAP"]["run"], abs=1e-4)
    card = json.loads((tmp_path / "a.pt2.json").read_text())
    assert card["data"] == "Noise." and card["run"] == "run.pt" and card["scale"] == "pixel"
    assert card["threshold"] == told["threshold"]
    assert "pairs of different people" in card["threshold"]["source"]
    code, printed, _ = reseen("export", "--check", out)
    assert code == 0 and "is correct" in printed and "64 x 32 pixels" in printed
    assert "RGB, 0 to 255, any batch size, float32" in printed
    card["vectors"]["one.png"], card["vectors"]["two.png"] = card["vectors"].values()
    card["vectors"]["one.png"] = [-number for number in card["vectors"]["one.png"]]
    (tmp_path / "a.pt2.json").write_text(json.dumps(card))
    code, _, err = reseen("export", "--check", out, "--json")
    assert code == 1 and "gives other vectors than it should" in err


def test_an_encoder_is_given_away_as_a_folder(reseen, tmp_path):
    code, out, _ = reseen("export", "reseen-tiny", "--for", "pretrained", "-o", tmp_path / "tiny")
    assert code == 0 and "Load it by reseen.load" in out
    assert load(tmp_path / "tiny").dimensions == 256
    assert "800 invented people" in (tmp_path / "tiny" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "RUN and --out are required"),
        (["run.pt"], "RUN and --out are required"),
        (["run.pt", "--check", "a.onnx"], "Leave out RUN and --out"),
        (["--check", "a.onnx"], "a.onnx does not exist"),
        (["run.pt", "-o", "a.onnx", "--for", "tensorrt"], "for is 'tensorrt'"),
        (["run.pt", "-o", "a.onnx", "--for", "openvino"], "does not end in .xml"),
        (["run.pt", "-o", "a.onnx", "--threshold", "7"], "threshold is 7"),
        (["run.pt", "-o", "a.onnx", "--precision", "int8"], "int8 needs 32 images"),
        (["run.pt", "-o", "a.onnx", "--judge", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told_in_a_line(reseen, run, words, says, monkeypatch):
    monkeypatch.chdir(run.parent)
    code, out, err = reseen("export", *words)
    assert (code, out) == (1, "") and says in err.splitlines()[-1]
    assert [path.name for path in run.parent.iterdir()] == ["run.pt"]
