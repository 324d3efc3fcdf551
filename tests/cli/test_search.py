import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.cli.test_cli import reseen as reseen


@pytest.fixture
def crops(town_folder, tmp_path, monkeypatch):
    """A few crops in a folder a camera, in the working directory."""
    for path in sorted((town_folder / "bounding_box_train").iterdir())[:8]:
        camera = tmp_path / "crops" / path.name.split("_")[1][:2]
        camera.mkdir(parents=True, exist_ok=True)
        (camera / f"x{path.name}").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return sorted(path.relative_to(tmp_path) for path in (tmp_path / "crops").rglob("*.jpg"))


def test_ranked_crops_as_a_table_as_lines_and_as_a_page(reseen, crops):
    words = ["search", "reseen-tiny", crops[0], crops[1], "--in", "crops", "--top", 3, "-q"]
    code, out, err = reseen(*words, "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(told)) == (0, "", 6)
    assert [hit["query"] for hit in told] == [str(path) for path in crops[:2] for _ in range(3)]
    assert [hit["rank"] for hit in told] == [1, 2, 3, 1, 2, 3]
    for hit in told:
        assert hit["path"] in map(str, crops) and hit["path"] != hit["query"]
        assert hit["camera"] == hit["path"].split("/")[1] and hit["person"] is None

    code, out, err = reseen(*words, "-o", "found.html")
    assert (code, err) == (0, "")
    first, head, *rows = (line.split() for line in out.splitlines())
    assert first == [str(crops[0])] and head == ["rank", "similarity", "camera", "path"]
    assert rows[0] == ["1", f"{told[0]['similarity']:.3f}", told[0]["camera"], told[0]["path"]]
    assert "not proof of identity" in out and "found.html: open it in a browser" in out
    assert "Search in crops by reseen-tiny" in Path("found.html").read_text(encoding="utf-8")


def test_people_are_shown_where_they_are_known(reseen, town_folder):
    gallery = town_folder / "bounding_box_train"
    query = min(gallery.iterdir())
    code, out, _ = reseen("search", "reseen-tiny", query, "--in", gallery, "--top", 1, "--json")
    hit = json.loads(out)
    assert code == 0 and hit["person"] == int(hit["path"].split("/")[-1].split("_")[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--in", "crops"], "PICTURE is missing"),
        (["a.jpg"], "--in is missing"),
        (["nowhere.jpg", "--in", "crops"], "nowhere.jpg does not exist"),
        (["bad.jpg", "--in", "crops"], "cannot be read: bad.jpg: cannot identify"),
        (["ONE", "--in", "empty"], "empty holds no pictures"),
        (["ONE", "--in", "ONE"], "holds nothing but the query"),
        (["ONE", "--in", "crops", "--top", "0"], "top is 0"),
        (["ONE", "--in", "crops", "-o", "found.txt"], "does not end in .html"),
        (["ONE", "--in", "crops", "-o", "mine.html"], "was not written by reseen report"),
        (["ONE", "--in", "crops", "-o", "crops/a.html"], "lies in crops, a folder of pictures"),
        (["ONE", "--in", "crops", "--best"], "no best round"),
    ],
)
def test_mistakes_are_said_in_a_sentence(reseen, crops, tmp_path, words, says):
    (tmp_path / "empty").mkdir()
    for name in ("bad.jpg", "mine.html"):
        (tmp_path / name).write_text("mine")
    words = [crops[0] if word == "ONE" else word for word in words]
    code, out, err = reseen("search", "reseen-tiny", *words, "-q")
    assert (code, out) == (1, "") and says in err and err.count("\n") == 1
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_one_picture_is_extracted(reseen, tmp_path, monkeypatch):
    PIL.Image.new("RGB", (8, 16)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    code, out, err = reseen("extract", "reseen-tiny", "a.png", "-o", "f.npz", "--quiet")
    assert (code, err, out) == (0, "", "wrote 1 feature with 256 dimensions each to f.npz\n")


def test_eps_is_chosen_by_an_encoder(reseen, town, monkeypatch):
    def extract(encoder, images, **_):
        assert encoder.settings.height == 128 and images == town.train
        rows = np.random.default_rng(0).normal(size=(len(images), 4)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), images

    monkeypatch.setattr("reseen.cli.use.training.extract", extract)
    words = ["choose-eps", "reseen-tiny", town.root, "--at", 0.4, "--at", 0.6, "--k1", 8, "-q"]
    code, out, err = reseen(*words)
    assert (code, err) == (0, "") and "Suggested: eps 0." in out
    code, _, err = reseen("choose-eps", "reseen-tiny")
    assert code == 1 and "or an encoder and crops (reseen choose-eps RUN DATA)" in err
