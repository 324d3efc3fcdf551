"""The README's commands and code, as they stand there, on invented people and small settings."""

import csv
import json
import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import pytest

from reseen.cli import demo, main
from reseen.gallery.gallery import Gallery
from tests.video.conftest import toy, write_film

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = """
--encoder.weights none --encoder.backbone resnet10t --encoder.height 48 --encoder.width 24
--encoder.last-stride 2 --epochs 1 --people 4 --views 2
""".split()  # noqa: SIM905
CLUSTERS = ["--iterations", "2", "--k1", "8", "--k2", "2", "--eps", "0.7", "--min-samples", "2"]
HOUSE = ["0.4" if word == "0.7" else word for word in CLUSTERS]
QUICK = {
    "supervised": [],
    "cluster-contrast": CLUSTERS,
    "house": HOUSE,
    "daal": ["--rounds", "1", *CLUSTERS],
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def own_crops(town_folder, other_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crops = tmp_path / "crops"
    for path in sorted((town_folder / "bounding_box_train").iterdir()):
        camera = crops / path.name.split("_")[1]
        camera.mkdir(parents=True, exist_ok=True)
        (camera / path.name).write_bytes(path.read_bytes())
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "Market-1501-v15.09.15").symlink_to(town_folder)
    (tmp_path / "other-site").symlink_to(other_folder)


@pytest.mark.usefixtures("own_crops")
def test_commands(capsys):
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    reseen = [shlex.split(line) for line in lines if line.startswith("reseen ")]
    shutil.copy(min(Path("crops").rglob("*.jpg")), "somebody.jpg")
    commands = ["demo", "train", "search", "video", "data", "report", "extract", "search", "train"]
    commands += [*["gallery"] * 3, "serve", *["gallery"] * 4, "export"]
    commands += [*["train"] * 4, "evaluate"]
    assert [words[1] for words in reseen] == commands
    Path("recordings").mkdir()
    write_film(Path("recordings/door.mp4"), toy(("red", 10, 130)))
    for words in reseen:
        if words[1] == "video":  # crops are there already
            words[-1] = "from-films"
        if words[1] == "train":
            published = words.index("--iterations") if "--iterations" in words else len(words)
            words[published:] = [*SMALL, *QUICK[words[2]]]
        if words[1:3] == ["gallery", "create"]:
            words.append("--no-onnx")  # which takes long, and is tested elsewhere, as is export
        if words[1] == "report":  # tests/report draws all of it
            words += ["--only", "map", "--map", "pca"]
        if words[1] == "export":
            words[words.index("--for") + 1 :] = ["pretrained", "--out", "given"]
        if words[1] in ("demo", "serve"):  # tests/cli/test_demo.py and test_serve.py start them
            continue
        with pytest.raises(SystemExit) as end:
            main(words[1:])
        assert not end.value.code or (words[1], end.value.code) == ("data", 2)  # few images
    assert "rank10" in capsys.readouterr().out
    assert "The map" in Path("report.html").read_text(encoding="utf-8")
    with Path("found.reseen/hits.csv").open(encoding="utf-8") as file:
        hits = list(csv.DictReader(file))
    assert len(hits) == 10 and all(Path(hit["path"]).is_file() for hit in hits)
    developer = {line.split()[1] for line in lines if line.startswith("./dev")}
    known = set(re.findall(r"^    (\w+)\)", (ROOT / "dev").read_text(), re.MULTILINE))
    assert developer == {"demo", "test"} and developer <= known


@pytest.mark.usefixtures("own_crops")
def test_code():
    (code,) = blocks("python")
    quick = "epochs=1, iterations=2, people=4, views=2, k1=8, k2=2, eps=0.7, min_samples=2"
    assert "epochs=20" in code
    code = code.replace("epochs=20", quick)
    names: dict = {}
    exec(code, names)
    assert names["features"].shape == (len(names["images"]), 256)


@pytest.mark.slow
def test_the_demo_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "TOWN", demo.TOWN | dict(people=40))  # a smaller town, and a
    monkeypatch.setattr(demo, "SETTINGS", demo.SETTINGS | dict(epochs=3))  # shorter run
    monkeypatch.setattr(demo, "write_report", partial(demo.write_report, only=("clusters",)))
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path), "--json", "--quiet"])
    assert not end.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["after"] > 1.15 * told["before"]  # 0.502 and 0.616 were measured
    assert (tmp_path / "report.reseen" / "clusters-merges.csv").exists()
    with Gallery.open(tmp_path / "gallery") as gallery:
        (query,) = [crop for crop in gallery.crops(limit=None) if crop.person == "Ada"]
        ada = Path(query.source).name[:4]  # who is on a crop is in its file's name
        found = [match.crop for match in gallery.search_crop(query.id, top=5)]
        assert ada in [Path(crop.source).name[:4] for crop in found if crop.id != query.id]
