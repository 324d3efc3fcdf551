import csv
import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from reseen.engine.device import Device
from reseen.gallery.gallery import Gallery
from tests.cli.test_cli import reseen as reseen

CPU = ("--device.name", "cpu", "--device.precision", "float32")


@pytest.fixture(scope="module")
def filled(town_folder, tmp_path_factory):
    """The folder of a gallery of the town's gallery crops."""
    folder = tmp_path_factory.mktemp("cli") / "g"
    with Gallery.create(folder, "reseen-tiny", onnx=False, device=Device(name="cpu")) as gallery:
        gallery.add(town_folder / "bounding_box_test")
    return folder


@pytest.fixture
def folder(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "g")


@pytest.fixture
def people(folder):
    """The ids of the crops of each person, by what their files say."""
    found: dict[str, list[str]] = {}
    with Gallery.open(folder) as gallery:
        for crop in gallery.crops(limit=None):
            found.setdefault(Path(crop.source).name[:4], []).append(crop.id)
    return found


def test_a_gallery_is_made_filled_and_described(reseen, town_folder, tmp_path):
    code, out, _ = reseen(
        "gallery", "create", tmp_path / "g", "--run", "reseen-tiny", "--no-onnx", *CPU
    )
    assert code == 0 and "with the encoder of reseen-tiny" in out
    few = tmp_path / "crops"
    few.mkdir()
    for path in sorted((town_folder / "query").iterdir())[:3]:
        shutil.copy(path, few / f"x{path.name}")
    (few / "bad.jpg").write_text("bad")
    time = ("--camera", "gate", "--time", "2026-11-28T10:00+00:00")
    code, out, err = reseen("gallery", "add", tmp_path / "g", few, *time, *CPU)
    assert code == 0 and "bad.jpg: cannot identify" in err
    assert out == "3 new crops, 0 known before, 1 that cannot be read; 3 crops in all\n"
    code, out, _ = reseen("gallery", "add", tmp_path / "g", few, "--json", "-q", *CPU)
    assert json.loads(out) == {"new": 0, "known": 3, "broken": 1, "crops": 3}
    code, out, _ = reseen("gallery", "info", tmp_path / "g", "--json")
    told = json.loads(out)
    assert told["crops"] == 3 and told["cameras"] == {"gate": 3} and told["first"] == 1795860000
    code, out, _ = reseen("gallery", "info", tmp_path / "g")
    assert "gate (3)" in out and "reseen-tiny" in out
    assert reseen("gallery", "check", tmp_path / "g")[:2] == (0, "No damage was found.\n")


def test_matches_as_a_table_as_lines_and_as_a_page(reseen, folder, town_folder, tmp_path):
    query = min((town_folder / "query").iterdir())
    words = ["gallery", "search", folder, query, "--top", 9, "-q", *CPU]
    code, out, err = reseen(*words, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "") and [line["rank"] for line in lines] == list(range(1, 10))
    assert {"similarity", "verdict", "camera", "id", "source", "cutoffs"} <= set(lines[0])
    code, out, err = reseen(*words, "-o", tmp_path / "found.html")
    assert (code, err) == (0, "")
    title, head, *rows = out.splitlines()
    assert title.strip() == str(query) and head.split()[:3] == ["rank", "similarity", "verdict"]
    assert lines[0]["id"] in rows[0] and "not proof of identity" in out
    page = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert "Search in g" in page and "the verdict: same from" in page
    table = (tmp_path / "found.reseen" / "matches.csv").read_text().splitlines()
    assert [row["id"] for row in csv.DictReader(table)] == [line["id"] for line in lines]
    (tmp_path / "who").mkdir()
    shutil.copy(query, tmp_path / "who")  # in a folder, its name says the camera
    words[3] = tmp_path / "who"
    code, out, _ = reseen(*words, "--no-same-camera", "--json")
    assert {json.loads(line)["camera"] for line in out.splitlines()} == {"2", "3"}
    code, out, _ = reseen(*words, "--camera", "2", "--rerank")
    assert code == 0 and "Sorted by k-reciprocal re-ranking." in out


def test_decisions(reseen, folder, people):
    (_, one), (_, two), *_ = sorted(people.items())

    def said(*words):
        code, out, err = reseen("gallery", words[0], folder, *words[1:])
        assert (code, err) == (0, "")
        return out.strip()

    def names():
        told = json.loads(said("people", "--json"))["people"]
        return {person["name"]: person["crops"] for person in told}

    assert said("name", "Anna", *one) == f"{len(one)} crops named Anna"
    assert said("name", "Ben", *two[:2]) == "2 crops named Ben" and names()["Ben"] == 2
    assert said("merge", "Ben", "Anna") == "2 crops of Ben named Anna"
    assert said("split", "Anna", "Carl", *two[:2]) == "2 crops of Anna named Carl"
    assert said("rename", "Carl", "Ben") == "2 crops of Carl named Ben"
    assert said("undo") == "undone: Carl renamed Ben" and names()["Carl"] == 2
    assert said("deny", "Carl", two[0]) == "1 crop not Carl" and names()["Carl"] == 1
    code, _, err = reseen("gallery", "name", folder, "Carl", two[0])
    assert code == 1 and "it was recorded that" in err and err.count("\n") == 1
    assert said("allow", "Carl", two[0]) == "1 crop may be Carl"
    assert said("ignore", "Carl", two[2]) == "2 crops ignored"
    assert said("unignore", "Carl") == "1 crop no longer ignored"
    assert said("unname", two[1]) == "1 crop without a name" and names() == {"Anna": len(one)}
    table = said("people")
    assert "Anna" in table and "without a name. Use --unknown to group them." in table
    assert said("forget", "Anna") == f"{len(one)} crops deleted" and names() == {}


def test_unknown_people_sightings_and_cut_offs(reseen, folder, people, town_folder):
    code, out, _ = reseen("gallery", "people", folder, "--unknown", "--json")
    told = json.loads(out)
    assert code == 0 and told["unknown"] and told["unnamed"] == 56
    first = max(told["unknown"], key=lambda proposal: len(proposal["crops"]))
    shown = reseen("gallery", "people", folder, "--unknown")[1]
    assert " ".join(first["crops"][:3]) + f" and {len(first['crops']) - 3} more" in shown
    assert len(first["crops"]) > 3 and first["crops"][3] not in shown
    code, out, _ = reseen("gallery", "accept", folder, "Zoe", str(first["number"]))
    assert (code, out) == (0, f"{len(first['crops'])} crops named Zoe\n")
    code, _, err = reseen("gallery", "accept", folder, "Zoe", str(first["number"]))
    assert code == 1 and f"no unknown person {first['number']} in" in err
    assert reseen("gallery", "undo", folder)[0] == 0
    code, out, _ = reseen("gallery", "calibrate", folder, "--json")
    cut = json.loads(out)
    assert code == 0 and cut["maybe"] <= cut["same"] and cut["source"]
    query = min((town_folder / "query").iterdir())
    reseen("gallery", "name", folder, "Anna", *people[query.name[:4]])
    code, out, _ = reseen("gallery", "seen", folder, "Anna", "--json", *CPU)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and {line["camera"] for line in lines} >= {"1", "2", "3"}
    assert {id for line in lines for id in line["ids"]} >= set(people[query.name[:4]])
    code, out, _ = reseen("gallery", "seen", folder, query, *CPU)
    assert code == 0 and ("camera" in out or "was not seen" in out)


def test_people_are_enrolled_and_crops_expire_and_are_exported(reseen, folder, tmp_path):
    picture = tmp_path / "new.png"
    noise = np.random.default_rng(0).integers(0, 255, (40, 20, 3), np.uint8)
    PIL.Image.fromarray(noise).save(picture)
    code, out, _ = reseen("gallery", "enrol", folder, picture, "--as", "Zoe", *CPU)
    assert (code, out) == (
        0,
        "1 new crop, 0 known before, 0 that cannot be read; 57 crops in all\n",
    )
    code, out, _ = reseen("gallery", "export", folder, tmp_path / "g.csv")
    assert (code, out) == (0, f"wrote 57 crops to {tmp_path / 'g.csv'}\n")
    assert ",Zoe,hand," in (tmp_path / "g.csv").read_text()
    code, out, _ = reseen("gallery", "expire", folder, "--older-than", "0s", "--keep-named")
    assert (code, out) == (0, "56 crops deleted\n")
    code, out, _ = reseen("gallery", "rebuild", folder, "reseen-tiny", "-q", *CPU)
    assert (code, out) == (0, "computed 0 features with the encoder of reseen-tiny\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["info", "nowhere"], "holds no gallery (no gallery.json)"),
        (["search", "G"], "PICTURE is missing"),
        (["add", "G"], "CROPS is missing"),
        (["add", "G", "nowhere"], "nowhere does not exist"),
        (["enrol", "G", "--as", "Anna"], "PICTURE is missing"),
        (["name", "G", "Anna"], "Arguments are missing"),
        (["name", "G", "Anna", "abc"], "no crop abc"),
        (["forget", "G", "Nobody"], "has no person 'Nobody'"),
        (["seen", "G", "Nobody"], "has no person 'Nobody'"),
        (["search", "G", "x.jpg", "--since", "soon"], "--since is 'soon'"),
        (["expire", "G", "--older-than", "a month"], "--older-than is 'a month'"),
        (["export", "G", "out.txt"], "does not end in one of"),
        (["create", "G", "--run", "reseen-tiny"], "already holds a gallery"),
        (["create", "new", "--run", "nowhere"], "nowhere does not exist"),
        (["create", "new", "--run", "reseen-tiny", "--store", "x://a:b@c"], "store is 'x://a@c'"),
    ],
)
def test_mistakes_are_said_in_a_sentence(reseen, folder, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = reseen("gallery", *(folder if word == "G" else word for word in words))
    assert (code, out) == (1, "") and says in err and err.count("\n") == 1


def test_damage_ends_with_2(reseen, folder):
    with Gallery.open(folder) as gallery, gallery.store.changing():
        gallery.store._rows("DELETE FROM pictures WHERE seq = 1")
    code, out, _ = reseen("gallery", "check", folder)
    assert (code, out) == (2, "1 crop has no picture.\n")


def test_calibrate_writes_a_page(reseen, folder, tmp_path):
    page = tmp_path / "c.html"
    code, out, _ = reseen("gallery", "calibrate", folder, "--out", page, "--json")
    said = json.loads(out)
    assert code == 0 and f"same, from {said['same']:.3f} on" in page.read_text()
    page.write_text("mine")
    code, _, err = reseen("gallery", "calibrate", folder, "--out", page)
    assert code == 1 and "was not written by reseen" in err and page.read_text() == "mine"
