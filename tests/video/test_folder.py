import csv

import numpy as np
import pytest

from reseen.data.reading import read
from reseen.errors import DataError, SettingsError
from reseen.video.films import Film
from reseen.video.folder import CropFolder
from reseen.video.select import CropSettings, Tracklet

SETTINGS = {"rate": 5.0, "keep": 16}
FILM = Film("a.mp4", "a.mp4", "door")


def tracklet(name="a-000000", frames=3, begin=10.0):
    rng = np.random.default_rng(frames)
    made = Tracklet(name, CropSettings(alike=0))
    for i in range(frames):
        pixels = rng.integers(0, 255, (100, 100, 3), np.uint8)
        made.offer(pixels, np.array((20, 10, 60, 90, 0.9)), 0.0, "a.mp4", 7 * i, begin + i / 5)
    return made


def rows(root):
    with (root / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_tracklet_and_its_manifest(tmp_path):
    folder = CropFolder(tmp_path, SETTINGS)
    folder.write(tracklet(), "door")
    folder.write(tracklet("a-000009", 2), "yard 2/b")
    first = rows(tmp_path)[1]
    assert first == {
        "path": "door/a-000000/001-000007.jpg",
        "camera": "door",
        "time": "10.200",
        "tracklet": "a-000000",
        "begin": "10.000",
        "end": "10.400",
        "film": "a.mp4",
        "frame": "7",
        "box": "18 6 62 94",
        "score": "0.900",
    }
    data = read(tmp_path)
    assert data.format == "tracklets" and not data.notes
    assert [(len(i.frames), i.camera, i.time) for i in data.train] == [(3, 0, 10.0), (2, 1, 10.0)]
    assert sorted(data.cameras.values()) == ["door", "yard 2/b"]
    assert len(read(tmp_path, format="folder").train) == 5
    assert read(tmp_path / "manifest.csv").format == "tracklets"


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    ("step", "there"),
    [
        ("reseen.video.folder.write_text", 1),  # pictures lie there, nothing is noted
        ("pathlib.Path.replace", 2),
        ("reseen.video.folder.CropFolder._append", 2),
        ("pathlib.Path.unlink", 2),
    ],
)
def test_a_tracklet_is_there_once_or_not_at_all(tmp_path, monkeypatch, step, there):
    """Killed at any step, the folder is whole when it is opened again."""
    folder = CropFolder(tmp_path, SETTINGS)
    folder.mark(FILM, 0.0, 5.0)
    folder.write(tracklet(), "door")

    def killed(*_, **__):
        raise KilledError

    with monkeypatch.context() as patch:
        if step == "pathlib.Path.replace":  # that of the folder, not of the lists
            real = type(tmp_path).replace
            patch.setattr(step, lambda self, to: killed() if self.is_dir() else real(self, to))
        else:
            patch.setattr(step, killed)
        with pytest.raises(KilledError):
            folder.write(tracklet("a-000009", 4, begin=20.0), "door")
    again = CropFolder(tmp_path, SETTINGS)
    assert len(list(again.tracklets())) == there
    assert {path.name for path in (tmp_path / "door").iterdir()} == {
        "a-000000",
        *(["a-000009"] if there == 2 else []),
    }
    assert all((tmp_path / row["path"]).is_file() for row in rows(tmp_path))
    assert not (tmp_path / "pending.csv").exists()
    assert again.position(FILM) == (0.0, 20.6 if there == 2 else 10.4)
    again.write(tracklet("a-000020"), "door")
    assert len(rows(tmp_path)) == 3 * there + there - 1 + 3 if there == 1 else 10


def test_half_a_line_is_written_again(tmp_path):
    """A disk that was full, or a machine that lost power, in the middle of the manifest."""
    folder = CropFolder(tmp_path, SETTINGS)
    folder.write(tracklet(), "door")
    whole = (tmp_path / "manifest.csv").read_text()
    folder.write(tracklet("a-000009"), "door")
    lines = (tmp_path / "manifest.csv").read_text()
    head = whole.splitlines()[0]
    pending = head + "\n" + lines.removeprefix(whole)
    for cut in (len(whole) + 10, len(lines) - 5, len(whole)):
        (tmp_path / "manifest.csv").write_text(lines[:cut])
        (tmp_path / "pending.csv").write_text(pending)
        CropFolder(tmp_path, SETTINGS)
        assert (tmp_path / "manifest.csv").read_text() == lines


def test_ctrl_c_within_a_tracklet_does_not_hurt_the_next(tmp_path, monkeypatch):
    folder = CropFolder(tmp_path, SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            folder.write(tracklet(), "door")
    folder.write(tracklet("a-000009"), "door")
    assert [row["tracklet"] for row in rows(tmp_path)] == ["a-000000"] * 3 + ["a-000009"] * 3


def test_names_are_never_given_twice(tmp_path):
    folder = CropFolder(tmp_path, SETTINGS)
    assert folder.unique("door", "a-000000") == "a-000000"
    folder.write(tracklet(), "door")
    again = CropFolder(tmp_path, SETTINGS)
    assert [again.unique("door", "a-000000") for _ in range(2)] == ["a-000000-2", "a-000000-3"]
    assert again.unique("yard", "a-000000") == "a-000000"


def test_films_that_are_done(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"12345")
    film = Film(str(tmp_path / "a.mp4"), "a.mp4", "door")
    root = tmp_path / "crops"
    root.mkdir()
    folder = CropFolder(root, SETTINGS)
    assert folder.done(film) is None
    folder.mark(film, 10.0, 60.0)
    folder.finish(film, 5, 10.0, 70.0, 600, 2)
    again = CropFolder(root, SETTINGS)
    done = again.done(film)
    assert done and (done.size, done.begin, done.end) == (5, 10, 70)
    (tmp_path / "a.mp4").write_bytes(b"123456")  # a recorder was still at it
    assert again.done(film) is None and again.position(film) == (10, 69.995)
    (tmp_path / "a.mp4").write_bytes(b"123")  # another film of the same name
    assert again.done(film) is None and again.position(film) is None


def test_other_settings_and_other_folders_are_refused(tmp_path):
    root = tmp_path / "crops"
    root.mkdir()
    CropFolder(root, SETTINGS)
    with pytest.raises(SettingsError, match=r"other settings \(keep was 16, now 8\)"):
        CropFolder(root, SETTINGS | {"keep": 8})
    (tmp_path / "cam1").mkdir()
    with pytest.raises(SettingsError, match="was not made by reseen video"):
        CropFolder(tmp_path, SETTINGS)
    (root / "video.json").write_text("{")
    with pytest.raises(DataError, match=r"video\.json is damaged"):
        CropFolder(root, SETTINGS)


def test_a_manifest_of_something_else(tmp_path):
    CropFolder(tmp_path, SETTINGS)
    (tmp_path / "manifest.csv").write_text("path,camera\nx.jpg,1\n")
    with pytest.raises(DataError, match=r"manifest\.csv does not have the columns"):
        CropFolder(tmp_path, SETTINGS)


def test_how_much_a_gallery_has_is_kept(tmp_path):
    folder = CropFolder(tmp_path, SETTINGS)
    folder.note_added("g", 3)
    assert CropFolder(tmp_path, SETTINGS).added("g") == 3 and folder.added("other") == 0
