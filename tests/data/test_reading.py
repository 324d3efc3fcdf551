from dataclasses import replace

import pytest

from reseen.data import by_person, veri776
from reseen.data.reading import PLAIN, READERS, read, read_pictures
from reseen.errors import DataError
from reseen.records import Image
from tests.data import trees
from tests.data.trees import DUKE, DUKEVIDEO, MARKET, tree

PERSON = "0002/0002_c1s1_000451_03.jpg"
LAYOUTS = {
    "msmt17": trees.msmt17,
    "market_like": lambda root: tree(root, DUKE),
    "veri776": lambda root: tree(root, [f"{part}/0001_c001_000_0.jpg" for part in veri776.PARTS]),
    "by_person": lambda root: tree(root, [f"{part}/{PERSON}" for part in by_person.PARTS]),
    "mars": trees.mars,
    "dukevideo": lambda root: tree(root, DUKEVIDEO),
    "folder": lambda root: tree(root, ["cam1/1.jpg", "cam2/2.jpg"]),
}
SAME = ("market1501", "dukemtmc", "personx", "cuhk03")
"""Their layout is that of market_like."""


@pytest.mark.parametrize("format", LAYOUTS)
def test_a_layout_is_recognised_by_one_reader_and_named(tmp_path, format):
    root = LAYOUTS[format](tmp_path / "data")
    known = [name for name, reader in READERS.items() if reader.recognises(root)]
    assert [name for name in known if name not in SAME] == list(dict.fromkeys([format, "folder"]))
    assert any(name in known for name in SAME) == (format == "market_like")
    data = read(root)
    assert data.format == format and read(root, format=format) == data
    if format not in PLAIN:
        assert read(root, folders="camera").format == "folder"


@pytest.mark.parametrize("format", SAME)
def test_readers_of_one_layout_are_taken_by_name(tmp_path, format):
    data = read(tree(tmp_path, MARKET), format=format)
    assert data.format == format and replace(data, format="") == READERS[format].read(tmp_path)


def test_tracklets_and_manifests_are_plain(tmp_path):
    tree(tmp_path, ["cam1/7/1.jpg"])
    assert read(tmp_path, format="tracklets").format == "tracklets"
    (tmp_path / "list.csv").write_text("path\ncam1/7/1.jpg\n")
    assert read(tmp_path / "list.csv").format == "folder"


def test_a_picture_in_place_of_a_folder(tmp_path):
    (tree(tmp_path, ["cam1/a.JPG", "cam1/b.jpg"]) / "manifest.csv").write_text("path\n")
    path = tmp_path / "cam1" / "a.JPG"
    data = read(str(path))
    assert data.train == (Image(path),) and not data.query and data.format == "folder"
    assert data.root == path and data.name == "a.JPG" and not data.notes
    assert read(path, pattern="{camera}.jpg").cameras == {0: "a"}
    with pytest.raises(DataError, match="1 picture outside of a tracklet's folder"):
        read(path, format="tracklets")
    with pytest.raises(DataError, match=r"a\.JPG/bounding_box_train is not a folder"):
        read(path, format="market1501")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.mkv", r"a\.mkv is a video\. Of a video, crops of people are read"),
        ("a.heic", r"a\.heic is not a folder .* picture .* Save \.heic as JPEG"),
        ("a.txt", r"a\.txt is not a folder .*\(.*\.jpg.*\)\. Give one of them\.$"),
        ("none.jpg", r"none\.jpg does not exist"),
    ],
)
def test_files_that_are_no_pictures(tmp_path, name, says):
    for path in (tree(tmp_path, ["1.jpg"]) / "a.mkv", tmp_path / "a.heic", tmp_path / "a.txt"):
        path.touch()
    with pytest.raises(DataError, match=says):
        read(tmp_path / name)
    with pytest.raises(DataError, match=says):
        read_pictures([tmp_path / "1.jpg", tmp_path / name])


def test_pictures_and_folders_together(tmp_path):
    tree(tmp_path, ["day1/cam1/1.jpg", "day1/cam2/2.jpg", "day2/cam2/3.jpg", "day2/cam3/4.jpg"])
    tree(tmp_path, ["late/a.jpg", "b.jpg"])
    alone = [tmp_path / "late" / "a.jpg", str(tmp_path / "b.jpg")]
    data = read_pictures([*alone, tmp_path / "day1", tmp_path / "day2"])
    assert [(i.path.name, i.camera) for i in data.train] == [
        *(("1.jpg", 0), ("2.jpg", 1), ("3.jpg", 1), ("4.jpg", 2), ("a.jpg", None), ("b.jpg", None)),
    ]
    assert data.cameras == {0: "cam1", 1: "cam2", 2: "cam3"}
    assert data.root == tmp_path and data.format == "folder" and not data.notes
    assert [image.path for image in read_pictures(alone * 2).train] == list(
        map(type(tmp_path), alone)
    )


def test_what_is_given_twice_is_taken_once_or_refused(tmp_path):
    tree(tmp_path, ["crops/cam1/1.jpg", "crops/cam2/2.jpg"])
    root = tmp_path / "crops"
    data = read_pictures([root / "cam1" / "1.jpg", root, root])
    assert [image.camera for image in data.train] == [0, 1] and not data.notes
    with pytest.raises(DataError, match=r"cam1: camera of .*1\.jpg is '', but 'cam1' in .*crops\."):
        read_pictures([root, root / "cam1"])
    with pytest.raises(DataError, match="No picture is given"):
        read_pictures([])
