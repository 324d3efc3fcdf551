import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reseen.data.loading import Loading
from reseen.engine.device import Device
from reseen.engine.progress import Screen
from reseen.engine.run import Run
from reseen.errors import CheckpointError, DataError, SettingsError
from tests.conftest import TINY
from tests.engine.runs import CPU, grow, grown, new_run


def test_another_run_in_the_folder_is_refused_with_what_differs(tmp_path):
    grow(new_run(tmp_path), 1)
    with pytest.raises(SettingsError, match=r"settings\.a: 1 there, 2 now"):
        Run(tmp_path, {"method": "Nothing", "settings": {"a": 2}}, device=CPU)
    with pytest.raises(SettingsError, match=r"seed: 0 there, 7 now"):
        new_run(tmp_path, seed=7)


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty and holds no run"):
        new_run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_the_folder_says_what_was_run_where(tmp_path):
    new_run(tmp_path)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["settings"] == {"a": 1} and facts["device"]["name"] == "cpu"
    assert {"torch", "python", "threads", "reseen"} <= set(facts["environment"])


def test_other_images_than_before_are_refused(town, tmp_path):
    def go_on(images):
        run = new_run(tmp_path)
        encoder = run.build(TINY)
        run.load(images, encoder)
        return list(run.rounds(2, encoder=encoder))

    assert go_on(town.train[:9]) == [0, 1]
    with pytest.raises(DataError, match="trained on other images than the"):
        go_on(town.train[:8])
    assert go_on(town.train[:9]) == []


def test_a_run_that_learnt_nothing_yet_may_change_its_settings(tmp_path):
    """So that the advice of an error can be followed in the same folder."""
    new_run(tmp_path)
    Run(tmp_path, {"method": "Nothing", "settings": {"a": 2}}, device=CPU)
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == {"a": 2}


def test_a_kill_while_the_folder_is_claimed_leaves_it_usable(tmp_path):
    (tmp_path / "run.json.tmp").write_text("{")
    new_run(tmp_path)


def test_a_damaged_or_occupied_place_is_said(tmp_path):
    new_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"run\.json is damaged"):
        new_run(tmp_path / "run")
    with pytest.raises(SettingsError, match="seed is -1"):
        new_run(tmp_path / "new", seed=-1)


def begun(folder):
    """A run without a finished round."""
    new_run(folder)
    return folder


def test_nothing_of_an_older_run_survives_in_a_new_one(finished, copy, capsys):
    """Who removes last.pt to begin anew would get the older best.pt and labels as the new ones."""
    (copy / "checkpoints" / "last.pt").unlink()
    (copy / "labels" / "0009.npy.tmp").write_bytes(b"")
    run = Run(copy, {"method": "Nothing", "settings": {}}, device=CPU, screen=Screen())
    assert sorted(p.name for p in copy.rglob("*") if p.is_file()) == ["lock", "run.json"]
    assert "starts again, without the 7 files that it had written" in capsys.readouterr().err
    assert run.round == 0


def test_a_run_json_of_something_else_is_left_alone(tmp_path):
    for text in ('{"mine": 1}', '{"method": "SGD", "settings": {}, "seed": 1, "precision": "x"}'):
        files = {"run.json": text, "metrics.jsonl": "mine", "checkpoints/last.ckpt": "mine"}
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        with pytest.raises((CheckpointError, SettingsError), match=r"another folder|new folder"):
            new_run(tmp_path)
        assert {name: (tmp_path / name).read_text() for name in files} == files
        assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == len(files)


@pytest.mark.parametrize("name", ["notes.txt", "labels/mine.npy", "checkpoints/epoch_3.pt", "a/b"])
def test_files_of_something_else_in_an_unfinished_run_are_named(tmp_path, name):
    begun(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(SettingsError, match=rf"not part of it .{name}.. Move them away"):
        new_run(tmp_path)
    assert (tmp_path / name).read_text() == "mine" and (tmp_path / "metrics.jsonl").exists()


def test_files_that_say_nothing_do_not_stop_an_unfinished_run(tmp_path):
    begun(tmp_path)
    for name in ("lock", "table.json", ".DS_Store"):
        (tmp_path / name).write_text("")
        new_run(tmp_path)
        assert (tmp_path / name).exists()


def test_other_pictures_under_the_same_names_are_refused(pictures, town, tmp_path):
    grown(pictures, tmp_path / "run", quiet=True)
    kept = (tmp_path / "run" / "images.txt").read_text()
    paths = [image.path for image in pictures.train]
    for path in paths:
        path.touch()
    grown(pictures, tmp_path / "run", quiet=True)
    for path in paths[:2]:
        shutil.copy(town.train[9].path, path)
    with pytest.raises(DataError, match=r"2 have other contents under the same names .*cam0/0\."):
        grown(pictures, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "images.txt").read_text() == kept


@pytest.mark.parametrize("skip_broken", [False, True])
def test_pictures_that_come_or_go_are_named(pictures, tmp_path, skip_broken):
    loading = Loading(skip_broken=skip_broken)
    grown(pictures, tmp_path / "run", quiet=True, loading=loading)
    first, *rest = pictures.train
    more = replace(first, path=first.path.with_name("more.jpg"))
    shutil.copy(first.path, more.path)
    for images, says in (
        ((first, *rest, more), r"pictures: 1 new .*cam0/more\.jpg"),
        (tuple(rest), r"pictures: 1 missing .*cam0/0\."),
        ((replace(first, camera=3), *rest), "same names, with other cameras"),
    ):
        with pytest.raises(SettingsError, match=says) as error:
            grown(replace(pictures, train=tuple(images)), tmp_path / "run", quiet=True)
        assert not re.search(r"[0-9a-f]{16} there", str(error.value))
    if skip_broken:
        first.path.write_bytes(b"")
        with pytest.raises(DataError, match=r"1 missing .*cam0/0\."):
            grown(pictures, tmp_path / "run", quiet=True, loading=loading)


def test_a_moved_tree_and_a_run_of_before_go_on(pictures, tmp_path):
    grown(pictures, tmp_path / "run", quiet=True)
    moved = shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    images = tuple(
        replace(i, path=Path(moved) / i.path.relative_to(pictures.root)) for i in pictures.train
    )
    grown(replace(pictures, root=Path(moved), train=images), tmp_path / "run", quiet=True)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    torch.save({k: v for k, v in state.items() if k not in ("checksums", "metrics")}, path)
    grown(replace(pictures, root=Path(moved), train=images), tmp_path / "run", quiet=True)


def test_a_start_is_the_same_however_its_path_is_written(finished, pictures, tmp_path, monkeypatch):
    start = finished[0]
    monkeypatch.chdir(start.parent)
    grown(pictures, tmp_path / "run", quiet=True, start=start.name)
    grown(pictures, tmp_path / "run", quiet=True, start=start)
    with pytest.raises(SettingsError, match="start: run there, elsewhere now"):
        grown(pictures, tmp_path / "run", quiet=True, start="elsewhere")


def test_only_what_differs_is_named(tmp_path):
    settings = {"encoder": {"pooling": "gem", "options": {"a": 1}}, "eps": 0.5}
    run = Run(tmp_path, {"method": "Nothing", "settings": settings}, device=CPU)
    grow(run, 1)
    other = {"encoder": {"pooling": "gem", "options": {"a": 2, "b": 3}}, "eps": 0.5}
    half = Device(name="cpu", precision="bfloat16")
    with pytest.raises(SettingsError) as error:
        Run(tmp_path, {"method": "Nothing", "settings": other}, device=half)
    assert str(error.value).splitlines()[1:-1] == [
        "  settings.encoder.options.a: 1 there, 2 now",
        "  settings.encoder.options.b: None there, 3 now",
        "  precision: float32 there, bfloat16 now (use --device.precision float32)",
    ]


def test_who_resumes_a_run_of_before_automatic_settings_is_told_how(tmp_path):
    ask = {"method": "Nothing", "settings": {"k1": 30}}
    grow(Run(tmp_path, ask, device=CPU), 1)
    with pytest.raises(SettingsError, match=r"k1: 30 there, auto now\n.*--preset published"):
        Run(tmp_path, {**ask, "settings": {"k1": "auto"}}, device=CPU)
    with pytest.raises(SettingsError) as error:
        Run(tmp_path, {**ask, "settings": {"k1": 20}}, device=CPU)
    assert "--preset" not in str(error.value)


def test_a_setting_that_came_later_and_is_off_is_no_other_run(tmp_path):
    ask = {"method": "Nothing", "settings": {"k1": 30}}
    grow(Run(tmp_path, ask, device=CPU), 1)
    Run(tmp_path, {**ask, "settings": {"k1": 30, "centring": "off"}}, device=CPU)
    with pytest.raises(SettingsError, match="centring: None there, mean now"):
        Run(tmp_path, {**ask, "settings": {"k1": 30, "centring": "mean"}}, device=CPU)
