"""The demo in small: a town of a few people, one step of training, the quick part of the report."""

import json
from functools import partial

import pytest

from reseen.cli import demo
from reseen.engine.folder import read_metrics
from reseen.gallery.gallery import Gallery
from tests.cli.test_cli import reseen as reseen
from tests.test_extras import hide

SMALL = {
    "encoder.backbone": "squeezenet1_1",
    "encoder.weights": "none",
    "encoder.height": 48,
    "encoder.width": 24,
    "encoder.last_stride": 2,
    "epochs": 1,
    "iterations": 1,
    "people": 2,
    "views": 2,
    "k1": 8,
    "eps": 0.6,
    "min_samples": 2,
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "TOWN", dict(people=6, cameras=3, views=3, height=48, width=24))
    monkeypatch.setattr(demo, "SETTINGS", SMALL)
    report = demo.write_report
    monkeypatch.setattr(demo, "write_report", partial(report, only=("run",)))
    return tmp_path / "demo"


def refuse(*_, **__):
    raise AssertionError("this is done already")


def test_all_is_there_after_a_stop_and_the_web_is_served_to_somebody(small, reseen, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # Ctrl-C between the crops and the names
        patch.setattr(Gallery, "calibrate", stopped)
        assert reseen("demo", "--out", small)[0] == 130
    with monkeypatch.context() as patch:
        patch.setattr(demo, "invent", refuse)
        patch.setattr(demo, "write_report", refuse)
        code, out, err = reseen("demo", "--out", small)
    assert code == 0, err
    rows = read_metrics(small / "run")
    assert f"before {rows[0]['mAP']:.1%}, after {rows[-1]['mAP']:.1%}" in out
    assert f"reseen serve {small / 'gallery'}" in out and "pip install" not in out
    assert "report.html" in out and (small / "report.html").is_file()
    with Gallery.open(small / "gallery") as gallery:
        assert [person.name for person in gallery.people()] == list(demo.NAMES)
        assert gallery.cutoffs.numbers  # measured, no guess
        cameras, crops = gallery.cameras(), gallery.store.count()
        assert set(cameras) == {"1", "2", "3"} and crops >= 6 * 3 * 3
        gallery.forget("Ada")  # stays forgotten

    served = []
    monkeypatch.setattr(demo, "serve", lambda gallery, port: served.append(gallery))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with monkeypatch.context() as patch:
        hide(patch, "uvicorn")
        code, out, _ = reseen("demo", "--out", small)
    assert code == 0 and "pip install 'reseen[web]'" in out and not served
    reseen("demo", "--out", small, "--no-serve")
    code, out, _ = reseen("demo", "--out", small, "--json")
    told = json.loads(out)
    names = ("round_seconds", "searching_seconds")  # of all calls
    assert told["seconds"] == sum(row.get(name, 0) for row in rows for name in names) > 0
    assert told["crops"] == crops - 1 and told["before"] == rows[0]["mAP"] and not served
    reseen("demo", "--out", small)
    assert served == [small / "gallery"]


def test_the_settings_are_those_of_the_method():
    assert demo.method("house", **demo.SETTINGS).encoder.backbone == "reseen-tiny"
