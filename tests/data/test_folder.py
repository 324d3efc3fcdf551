import json

import pytest

from reseen.data.folder import read
from reseen.errors import DataError
from reseen.records import Image
from tests.data.trees import picture, tree


def manifest(root, text, name="manifest.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_pictures_alone_have_no_camera(tmp_path):
    data = read(tree(tmp_path / "crops", ["b.jpg", "a.PNG", "c.webp"]))
    assert [image.path.name for image in data.train] == ["a.PNG", "b.jpg", "c.webp"]
    assert {(i.camera, i.person, i.time) for i in data.train} == {(None, None, None)}
    assert data.query == data.gallery == () and data.cameras == {} and data.name == "crops"


def test_sub_folders_are_cameras_in_natural_order(tmp_path):
    data = read(tree(tmp_path, ["cam10/x.jpg", "cam2/deep/er/y.jpg", "Cam1/z.jpg"]))
    assert data.cameras == {0: "Cam1", 1: "cam2", 2: "cam10"}
    assert {i.path.name: i.camera for i in data.train} == {"z.jpg": 0, "y.jpg": 1, "x.jpg": 2}


def test_folders_named_by_numbers_keep_them(tmp_path):
    assert read(tree(tmp_path, ["12/x.jpg", "3/y.jpg"])).cameras == {3: "3", 12: "12"}


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        ("{camera}_{person}_{_}.jpg", ["c1_7_a_b.jpg", "c2_9_c.jpg"], [(0, 7), (1, 9)]),
        ("cam{camera}/{person}.jpg", ["cam4/0.jpg", "cam5/1.jpg"], [(4, 0), (5, 1)]),
        ("{_}-{camera}.jpg", ["x/y-1.jpg", "z-2.jpg"], [(1, None), (2, None)]),
    ],
)
def test_patterns(tmp_path, pattern, names, expected):
    data = read(tree(tmp_path, names), pattern=pattern)
    assert [(image.camera, image.person) for image in data.train] == expected


def test_pattern_with_times(tmp_path):
    data = read(tree(tmp_path, ["10.5.jpg", "2026-01-31T18:05:00.jpg"]), pattern="{time}.jpg")
    assert data.train[0].time == 10.5
    assert data.train[1].time is not None and data.train[1].time > 1.7e9


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{cam}.jpg", r"fields \['cam'\]"),
        ("{_}.jpg", "Use {camera}"),
        ("{camera}_{camera}.jpg", "each once at most"),
        ("{camera}_{person}.jpg", r"1 of 2 pictures .* do not fit .* first alone\.jpg"),
    ],
)
def test_patterns_that_cannot_be(tmp_path, pattern, says):
    tree(tmp_path, ["alone.jpg", "1_2.jpg"])
    with pytest.raises(DataError, match=says):
        read(tmp_path, pattern=pattern)


def test_a_manifest_says_it_all(tmp_path):
    tree(tmp_path, ["x/1.jpg", "x/2.jpg", "3.jpg", "4.jpg"])
    text = "path,camera,time,person,split\nx/1.jpg,door,1.5,ann,\nx/2.jpg,yard,,bob,train\n"
    path = manifest(tmp_path, text + "3.jpg,door,,ann,query\n4.jpg,,,ann,gallery\n")
    for root in (tmp_path, path):
        data = read(root)
        assert [(i.person, i.camera, i.time) for i in data.train] == [(0, 0, 1.5), (1, 1, None)]
        assert [(i.person, i.camera) for i in data.query] == [(0, 0)]
        assert [(i.person, i.camera) for i in data.gallery] == [(0, None)]
        assert data.cameras == {0: "door", 1: "yard"} and data.name == tmp_path.name


def test_viewpoint_and_occlusion_are_passed_over(tmp_path):
    tree(tmp_path, ["1.jpg"])
    path = manifest(tmp_path, "path,camera,viewpoint,occlusion\n1.jpg,2,front,0.25\n")
    assert read(path).train == (Image(tmp_path / "1.jpg", camera=2),)


def test_the_same_as_lines_of_json(tmp_path):
    tree(tmp_path, ["1.jpg", "2.jpg"])
    rows = [{"path": "1.jpg", "camera": 3}, {"path": "2.jpg", "camera": 0, "time": 4}]
    data = read(manifest(tmp_path, "\n".join(map(json.dumps, rows)), "m.jsonl"))
    assert [(i.camera, i.time) for i in data.train] == [(3, None), (0, 4)]
    assert data.cameras == {0: "0", 3: "3"}


def test_known_people_are_query_and_gallery(tmp_path):
    tree(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    data = read(manifest(tmp_path, "path,person\n1.jpg,5\n2.jpg,5\n3.jpg,\n"))
    assert len(data.train) == 3
    assert data.query == data.gallery == data.train[:2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,cammera\n1.jpg,2\n", r"line 2: 'cammera' is no column.*Did you mean camera\?"),
        ("path\n1.jpg\nnone.jpg\n", r"line 3: .*none\.jpg is not a file"),
        ("path,time\n1.jpg,noon\n", r"line 2: time is 'noon'"),
        ("path,split\n1.jpg,test\n", r"line 2: split is 'test'"),
        ("camera\n1\n", "line 2: path is missing"),
        ("path\n1.jpg,2,3\n", "line 2: 'more cells than columns' is no column"),
        ("path\n", "lists nothing"),
        ("", "lists nothing"),
    ],
)
def test_manifest_errors_name_the_line(tmp_path, text, says):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=says):
        read(manifest(tmp_path, text))


@pytest.mark.parametrize(("line", "says"), [("{", "not JSON"), ("[1]", "not an object")])
def test_json_errors_name_the_line(tmp_path, line, says):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=f"line 3: {says}"):
        read(manifest(tmp_path, f'{{"path": "1.jpg"}}\n\n{line}\n', "m.jsonl"))


def test_hidden_folders_are_ignored(tmp_path):
    data = read(tree(tmp_path / ".home" / "crops", ["yard/1.jpg", ".cache/2.jpg"]))
    assert [image.path.name for image in data.train] == ["1.jpg"]
    assert data.cameras == {0: "yard"}


def test_times_do_not_depend_on_the_computers_zone(tmp_path):
    picture(tmp_path / "1.jpg")
    rows = "path,time\n1.jpg,1970-01-01T00:01\n1.jpg,1970-01-01T01:01+01:00\n"
    assert [image.time for image in read(manifest(tmp_path, rows)).train] == [60, 60]


@pytest.mark.parametrize("time", ["nan", "inf", "", "1e999"])
def test_times_are_finite_or_missing(tmp_path, time):
    picture(tmp_path / "1.jpg")
    path = manifest(tmp_path, f"path,time\n1.jpg,{time}\n")
    if not time:
        assert read(path).train[0].time is None
        return
    with pytest.raises(DataError, match="line 2: time is"):
        read(path)


@pytest.mark.parametrize(
    ("row", "says"),
    [({"path": 5}, "path is missing or not a text"), ({"path": "1.jpg", "time": [1]}, "time is")],
)
def test_json_of_other_types_is_named(tmp_path, row, says):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=f"line 1: {says}"):
        read(manifest(tmp_path, json.dumps(row), "m.jsonl"))


def test_other_encodings_are_refused(tmp_path):
    (tmp_path / "manifest.csv").write_bytes("path,camera\n1.jpg,T\xfcr\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest\.csv is not UTF-8"):
        read(tmp_path)


def test_nothing_there(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no pictures"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"notes\.txt is not a folder or a \.csv"):
        read(tmp_path / "notes.txt")
