from pathlib import Path

import pytest

from reseen.engine.files import alone, check_out, refuse_inside, safe_name, written
from reseen.engine.progress import Screen
from reseen.errors import SettingsError


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    for content in (b"one", b"two"):
        with written(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_a_writer_that_fails_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), written(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    (tmp_path / "b.bin").mkdir()
    with pytest.raises(SettingsError), written(tmp_path / "b.bin") as file:
        file.write(b"new")
    (tmp_path / "c.bin.tmp").symlink_to(path)
    with written(tmp_path / "c.bin") as file:
        file.write(b"new")
    assert path.read_bytes() == b"old" and (tmp_path / "c.bin").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "b.bin", "c.bin"]


def test_one_process_at_a_time_is_in_a_folder(tmp_path):
    with alone(tmp_path / "new" / "run"):
        again = alone(tmp_path / "new" / "run")
        with pytest.raises(SettingsError, match=r"is using .*run\. Wait"), again:
            pass
        with alone(tmp_path / "other"):
            pass
    with pytest.raises(KeyboardInterrupt), alone(tmp_path / "new" / "run"):
        raise KeyboardInterrupt
    with alone(tmp_path / "new" / "run"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"is a file\. Give a folder"), alone(tmp_path / "file"):
        pass


def test_a_folder_in_which_nothing_began_is_removed_again(tmp_path):
    def fail(folder, *names):
        with pytest.raises(KeyboardInterrupt), alone(folder, ("run.json",)):
            for name in names:
                (folder / name).write_text("")
            raise KeyboardInterrupt

    fail(tmp_path / "new" / "run", "run.json")
    assert list(tmp_path.iterdir()) == []
    fail(tmp_path / "new" / "run", "run.json", "metrics.jsonl")
    assert (tmp_path / "new" / "run" / "metrics.jsonl").exists()
    fail(tmp_path / "new" / "two", "run.json")
    (tmp_path / "mine").mkdir()
    fail(tmp_path / "mine", "run.json")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["run"]
    assert (tmp_path / "mine" / "run.json").exists()


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    for out, kind, says in (
        ("f.txt", ".npz", r"f\.txt does not end in \.npz\. Give the name of a \.npz file"),
        ("folder.npz", ".npz", r"folder\.npz is a folder\. Give the name of a \.npz file"),
        ("file", "", r"file is a file\. Give a folder"),
        ("file/f.npz", ".npz", r"file is a file, so .*f\.npz cannot be written"),
        ("some/new/f.npz", ".npz", r"neither .*new nor .*some is a folder that exists"),
        ("some/new/run", "", r"neither .*new nor .*some is a folder that exists"),
    ):
        with pytest.raises(SettingsError, match=says):
            check_out(tmp_path / out, kind)
    for out, kind in (("f.NPZ", ".npz"), ("folder.npz", ""), ("run", "")):
        check_out(tmp_path / out, kind, Screen())
    assert capsys.readouterr().err == ""
    check_out(tmp_path / "new" / "f.npz", ".npz", Screen())
    assert capsys.readouterr().err == f"{tmp_path / 'new'} does not exist and will be created\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.npz"]


def test_nothing_is_written_among_pictures(tmp_path, monkeypatch):
    data = tmp_path / "crops"
    (data / "cam1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for out in (data, data / "run", data / "cam1" / "new" / "run", Path("crops/run")):
        with pytest.raises(SettingsError, match=r"lies in .*crops, a folder of pictures"):
            refuse_inside(out, data)
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(SettingsError, match="a folder of pictures"):
        refuse_inside(tmp_path / "link" / "run", Path("crops"))
    for out in (tmp_path / "run", tmp_path / "crops-run", data / ".." / "run"):
        refuse_inside(out, data)
    (data / "manifest.csv").touch()  # which says what the data is
    refuse_inside(data / "run", data)


def test_names_of_folders_are_safe_and_differ():
    for text in ("margin=0.1", "encoder.pooling=mean+max", "加油站", "only-tc", "a b"):
        assert safe_name(text) == text
    texts = ["a/b", "a_b", "a\\b", "../a", "..", ".", "", "/", "a/", "a.", "x" * 500, "x" * 501]
    texts += ["a\nb", "a\0b", "C:a", "\udce9", "入" * 90]
    names = [safe_name(text) for text in texts]
    assert len(set(names)) == len(names)
    for name in names:
        assert Path(name).name == name not in ("", ".", "..") and len(name.encode()) < 256
        assert not set(name) & set('/\\:*?"<>|\n\0')


def test_what_could_not_be_written_leaves_no_rest(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match="folder is a folder"), written(tmp_path / "folder"):
        raise AssertionError("nothing is worked out first")
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as seen, written(tmp_path / "a.bin") as file:
            file.write(b"half")
            raise error
        assert getattr(seen.value, "filename", str(tmp_path / "a.bin")) == str(tmp_path / "a.bin")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
