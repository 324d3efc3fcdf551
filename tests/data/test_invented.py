import hashlib

import numpy as np
import pytest

from reseen.data.invented import invent
from reseen.data.loading import Crops
from reseen.data.market1501 import read
from reseen.errors import DataError


def town(folder, **options):
    invent(folder, **{"people": 5, "cameras": 3, "views": 3, "seed": 4, **options})
    return read(folder)


def fingerprint(folder):
    files = sorted(path for path in folder.rglob("*.jpg"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_counts_and_who_is_where(tmp_path):
    data = town(tmp_path)
    assert len(data.train) == 5 * 3 * 3 and len(data.query) == 5 * 3
    assert len(data.gallery) == 5 * 3 * 2 + 4 + 3
    train, test = ({i.person for i in part} for part in (data.train, data.query))
    assert train == {1, 2, 3, 4, 5} and test == {6, 7, 8, 9, 10}
    assert {i.person for i in data.gallery} == test | {0, -1}


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        town(tmp_path / name, seed=seed)
    prints = [fingerprint(tmp_path / name) for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_people_differ_and_cameras_differ(tmp_path):
    data = town(tmp_path)
    pixels = Crops(data.train, 32, 16).pixels.numpy().astype(float)
    person = np.array([i.person for i in data.train])
    camera = np.array([i.camera for i in data.train])
    apart = np.abs(pixels[:, None] - pixels[None]).mean((2, 3, 4))
    same_person = person[:, None] == person
    same_camera = camera[:, None] == camera
    others = ~np.eye(len(person), dtype=bool)
    mine = apart[same_person & same_camera & others].mean()
    assert mine < 0.8 * apart[~same_person & same_camera].mean()
    assert mine < 0.8 * apart[same_person & ~same_camera].mean()


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="is not empty"):
        town(tmp_path)
