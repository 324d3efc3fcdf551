from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from reseen.data.given import gather
from reseen.errors import DataError
from reseen.records import Image


@pytest.fixture
def crops(tmp_path):
    (tmp_path / "crops").mkdir()
    for name in ("a.png", "b.png"):
        PIL.Image.new("RGB", (4, 8)).save(tmp_path / "crops" / name)
    return tmp_path / "crops"


def test_things_of_all_kinds_are_records_in_their_order(crops):
    array = np.full((8, 4, 3), 7, np.uint8)
    record = Image(Path("else.jpg"), camera=3)
    grey = PIL.Image.fromarray(np.full((8, 4), 500, np.uint16))
    given = gather([str(crops / "b.png"), array, record, crops, grey])
    names = ["b.png", "picture-1", "else.jpg", "a.png", "b.png", "picture-4"]
    assert [image.path.name for image in given.images] == names
    assert given.images[2] is record and set(given.pictures) == {Path(n) for n in names if "-" in n}
    assert np.array_equal(given.pictures[Path("picture-1")], array)
    assert np.asarray(given.pictures[Path("picture-4")]).tolist() == [[[125] * 3] * 4] * 8
    for thing in (crops / "a.png", array, record):  # one by itself
        assert len(gather(thing).images) == 1


def test_parts_of_a_data_set_are_taken_once_and_notes_are_told(town):
    given = gather(town)
    assert len(given.images) == len({image.path for image in given.images})
    assert {*town.train, *town.query, *town.gallery} == set(given.images)
    (note,) = gather(town.root / "query").notes
    assert "read from names" in note


@pytest.mark.parametrize(
    ("things", "says"),
    [
        ([], "No pictures are given"),
        (np.zeros((8, 4, 3)), "Array 0 is float64 of shape (8, 4, 3). Give pictures as uint8"),
        ([np.zeros((8, 4), np.uint8)], "Array 0 is uint8 of shape (8, 4)"),
        ([np.zeros((0, 4, 3), np.uint8)], "of shape (0, 4, 3)"),
        (["nowhere.jpg"], "nowhere.jpg does not exist"),
        ("pyproject.toml", "pyproject.toml is not a folder"),
        (None, "Item 0 is of type NoneType"),
        (
            [Image(Path("picture-1")), np.zeros((8, 4, 3), np.uint8)],
            "stands for a picture in memory",
        ),
    ],
)
def test_other_things_are_refused_in_a_sentence(things, says):
    with pytest.raises(DataError) as error:
        gather(things)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_picture_that_is_cut_off_is_named_by_its_place(crops):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    PIL.Image.fromarray(noise).save(crops / "c.png")
    (crops / "c.png").write_bytes((crops / "c.png").read_bytes()[:2000])
    with (
        PIL.Image.open(crops / "c.png") as picture,
        pytest.raises(DataError, match="Picture 1 can"),
    ):
        gather([crops / "a.png", picture])


def test_cameras_go_by_their_names(crops, town):
    for camera, name in (("gate", "a.png"), ("yard", "b.png")):
        (crops / camera).mkdir()
        (crops / name).rename(crops / camera / name)
    assert gather(crops).cameras == ("gate", "yard")
    both = [Image(Path("else.jpg"), camera=3), crops, np.zeros((8, 4, 3), np.uint8)]
    assert gather(both).cameras == ("3", "gate", "yard", None)
    given = gather(town)
    assert given.cameras == tuple(str(image.camera) for image in given.images)
