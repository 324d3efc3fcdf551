import csv
import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reseen.data.folder import read as read_manifest
from reseen.data.invented import Difficulty, invent
from reseen.data.invented.town import MARK
from reseen.data.market_like import read
from reseen.data.reading import read as read_any
from reseen.errors import DataError, SettingsError

SMALL = dict(people=2, cameras=2, views=2, height=48, width=24)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    out = tmp_path_factory.mktemp("town") / "a"
    invent(out, **SMALL, seed=1, tracklets=2, workers=1)
    return out


def _bytes(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).digest() for p in paths}


def test_same_seed_same_bytes_whatever_the_workers(town, tmp_path):
    invent(tmp_path / "b", **SMALL, seed=1, tracklets=2, workers=3)
    assert _bytes(tmp_path / "b") == _bytes(town)


@pytest.mark.parametrize("other", [dict(seed=2), dict(seed=1, town="town-b")])
def test_another_seed_or_town_other_bytes(town, tmp_path, other):
    invent(tmp_path / "b", **SMALL, **other)
    one, two = _bytes(town), _bytes(tmp_path / "b")
    assert not set(one.values()) & set(two.values())


def test_counts_and_names(town):
    data = read(town)
    assert [len(part) for part in (data.train, data.query)] == [8, 4]
    people = [image.person for image in data.gallery]
    assert people.count(0) == 4 and people.count(-1) == 3 and len(people) == 4 + 7
    assert {i.person for i in data.train} == {1, 2} and {i.person for i in data.query} == {3, 4}
    assert (town / "bounding_box_train" / "0001_c1s1_000000_00.jpg").is_file()
    assert len(list((town / "tracklets").rglob("*.jpg"))) == 4 * 2 * 2


def test_each_crop_has_a_mask_and_a_line(town):
    rows = []
    for name in ("manifest.csv", "tracklets.csv"):
        with (town / name).open(newline="") as file:
            rows += csv.DictReader(file)
    assert {row["path"] for row in rows} == {str(p.relative_to(town)) for p in town.rglob("*.jpg")}
    for row in rows:
        with (
            Image.open((town / "masks" / row["path"]).with_suffix(".png")) as mask,
            Image.open(town / row["path"]) as picture,
        ):
            assert mask.size == picture.size == (24, 48)
            assert set(np.unique(mask)) <= {0, 255}
        assert 0 <= float(row["occlusion"]) <= 1
        assert row["viewpoint"] in ("front", "back", "left", "right")


def _known(images):
    return {(image.path, image.person, image.camera) for image in images}


def test_the_manifest_says_the_same_as_the_folders(town):
    listed, found = read_manifest(town), read_any(town)
    assert found == replace(read(town), root=town) and not found.cameras  # the folders are taken
    for part in ("train", "query", "gallery"):
        assert _known(getattr(listed, part)) == _known(getattr(found, part))
    assert all(image.time is not None for image in listed.train)


def test_tracklets_read_as_a_manifest(town):
    data = read_manifest(town / "tracklets.csv")
    assert [len(part) for part in (data.train, data.query, data.gallery)] == [8, 4, 4]
    assert {image.person for image in data.gallery} == {3, 4}


def test_refuses_a_folder_that_is_not_empty(town):
    with pytest.raises(DataError, match="not empty"):
        invent(town, **SMALL)


def test_an_interrupted_drawing_leaves_no_half_town(town, tmp_path):
    def stop(items, total):
        for _, _ in zip(range(3), items, strict=False):
            pass
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invent(tmp_path / "b", **SMALL, seed=1, tracklets=2, track=stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".b.drawing" / "masks").mkdir(parents=True)  # as after kill -9
    (tmp_path / ".b.drawing" / MARK).touch()
    invent(tmp_path / "b", **SMALL, seed=1, tracklets=2)
    assert _bytes(tmp_path / "b") == _bytes(town)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_this_did_not_make_stays(tmp_path):
    mine = tmp_path / ".b.drawing" / "mine"
    mine.mkdir(parents=True)
    with pytest.raises(DataError, match="was not made by this command"):
        invent(tmp_path / "b", **SMALL)
    assert mine.exists()


def test_no_process_waits_for_more_work(tmp_path, monkeypatch):
    """Idle ones leak semaphores when the process that has them is stopped by a signal."""
    from joblib.externals.loky import reusable_executor

    invent(tmp_path / "b", **SMALL, workers=2)
    assert not reusable_executor._executor._processes


def test_a_town_thinned_unevenly_keeps_its_people_cameras_and_pictures(tmp_path):
    sizes = dict(people=5, cameras=2, views=4, height=24, width=12)
    for name, kept in (("all", (1.0, 1.0)), ("even", (0.5, 0.5)), ("uneven", (0.0, 1.0))):
        invent(tmp_path / name, **sizes, seed=1, kept=kept)
    full, even, uneven = (read(tmp_path / name) for name in ("all", "even", "uneven"))
    shown = [Counter(image.person for image in data.train) for data in (full, even, uneven)]
    assert [sorted(of.values()) for of in shown] == [[8] * 5, [4] * 5, [1, 2, 4, 6, 8]]
    for data in (even, uneven):
        assert {image.camera for image in data.train} == {1, 2}
        assert data.query == tuple(
            replace(i, path=data.root / i.path.relative_to(full.root)) for i in full.query
        )
        assert len(data.gallery) == len(full.gallery)
    pairs = {(image.person, image.camera) for image in uneven.train}
    assert all(
        (person, camera) in pairs for person, n in shown[2].items() if n > 1 for camera in (1, 2)
    )
    whole, thinned = _bytes(full.root), _bytes(uneven.root)
    assert all(whole[path] == of for path, of in thinned.items() if path != "manifest.csv")
    assert len((uneven.root / "manifest.csv").read_text().splitlines()) == len(thinned) // 2 + 1


def test_refuses_unknown_towns_and_knobs(tmp_path):
    with pytest.raises(SettingsError, match="town-a, town-b"):
        invent(tmp_path / "x", **SMALL, town="town-c")
    with pytest.raises(SettingsError, match="box_error is 2"):
        Difficulty(box_error=2)
    with pytest.raises(SettingsError, match="tracklets is 99"):
        invent(tmp_path / "x", **SMALL, tracklets=99)
    with pytest.raises(SettingsError, match=r"kept is 0\.9 to 0\.1"):
        invent(tmp_path / "x", **SMALL, kept=(0.9, 0.1))
    with pytest.raises(SettingsError, match="people is 0"):
        invent(tmp_path / "x", **SMALL | {"people": 0})
    assert not (tmp_path / "x").exists()
