import json
import subprocess
import sys

import pytest

from reseen.data.reading import read
from reseen.gallery.gallery import Gallery
from tests.cli.test_cli import reseen as reseen
from tests.video.conftest import town_film as town_film

SMALL = "--min-height 40 --min-area 400 --alike 0.05 -q".split()  # noqa: SIM905


@pytest.mark.slow  # the gallery; tests/video/test_feed.py says that each tracklet comes once
def test_from_a_film_to_tracklets_a_gallery_and_a_search(reseen, town_film, tmp_path):
    film, frames = town_film
    gallery, out = tmp_path / "gallery", tmp_path / "crops"
    Gallery.create(gallery, "reseen-tiny").close()
    words = ["video", film, "--out", out, "--gallery", gallery, "--blur-faces", *SMALL]
    code, said, err = reseen(*words, "--json")
    told = json.loads(said)
    assert (code, err) == (0, "")
    assert told["films"] == 1 and told["tracklets"] >= 2 and told["looked"] == len(frames) / 2
    data = read(out)
    assert data.format == "tracklets" and len(data.train) == told["tracklets"]
    assert list(data.cameras.values()) == ["yard"]
    with Gallery.open(gallery) as kept:
        crops = kept.crops(limit=1000)
        assert len(crops) == told["crops"]
        assert {crop.camera for crop in crops} == {"yard"}
        assert {crop.source for crop in crops} == {film.name}
        assert all(crop.time and crop.box and crop.frame is not None for crop in crops)
    assert reseen(*words)[0] == 0  # again: nothing new
    with Gallery.open(gallery) as kept:
        assert len(kept.crops(limit=1000)) == told["crops"]

    code, said, _ = reseen("search", "reseen-tiny", data.train[0].path, "--in", out, "--json", "-q")
    assert code == 0 and len(said.splitlines()) == told["tracklets"] - 1  # itself left out


def test_a_film_becomes_tracklets(reseen, town_film, tmp_path):
    film, frames = town_film
    words = ["video", film, "--out", tmp_path, *SMALL]
    code, said, err = reseen(*words, "--json")
    told = json.loads(said)
    assert (code, err, told["films"], told["looked"]) == (0, "", 1, len(frames) / 2)
    data = read(tmp_path)
    assert len(data.train) == told["tracklets"] >= 2 and list(data.cameras.values()) == ["yard"]
    code, said, _ = reseen(*words)
    assert code == 0 and said.startswith("0 tracklets of 0 crops\n0 videos")


def test_films_are_read_without_torch():
    """It would take half a gigabyte of memory."""
    code = "import sys, reseen.cli.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_looks_may_help(reseen, town_film, tmp_path):
    words = ["video", town_film[0], "-o", tmp_path, *SMALL, "--rate", 2]
    code, out, _ = reseen(*words, "--appearance", "reseen-tiny", "--camera", "door")
    assert code == 0 and "looked at" in out and (tmp_path / "door").is_dir()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "FILMS is missing: give a video, a folder of videos or a stream."),
        (["gone.mp4"], "gone.mp4 does not exist. Give a video, or a folder of videos."),
        (["x", "--ignore-area", "1,2"], "The area '1,2' is not a polygon."),
        (["x", "--start", "noon"], "--start: the time is 'noon'. Write it like 2026-01-31T18:05."),
        (["x", "--detector", "yolo"], "There is no detector yolo."),
        (["x", "--gallery", "nowhere"], "nowhere"),
        (["x", "--keep", 0], "keep is 0"),
        (["x", "--cameras", "no.yaml"], "no.yaml cannot be read"),
    ],
)
def test_mistakes_are_said_in_a_line(reseen, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = reseen("video", *words, "-o", "out")
    assert code == 1 and says in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out" / "manifest.csv").exists()
