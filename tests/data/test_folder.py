import json
import os
from pathlib import Path

import PIL.Image
import pytest

from reseen.data.folder import natural, read
from reseen.errors import DataError, SettingsError
from reseen.records import JUNK, Image
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
        ("{camera}_{camera}.jpg", "each at most once"),
        ("{camera}_{person}.jpg", r"1 of 2 pictures .* do not match .* first is alone\.jpg"),
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
        ("path,cammera\n1.jpg,2\n", r"line 2: 'cammera' is not a column.*Did you mean camera\?"),
        ("path\n1.jpg\nnone.jpg\n", r"line 3: .*none\.jpg is not a file"),
        ("path,time\n1.jpg,noon\n", r"line 2: time is 'noon'"),
        ("path,split\n1.jpg,test\n", r"line 2: split is 'test'"),
        ("camera\n1\n", "line 2: path is missing"),
        ("path\n1.jpg,2,3\n", "line 2: 'more cells than columns' is not a column"),
        ("path,camera,path\n1.jpg,2,1.jpg\n", "line 1: the column 'path' occurs twice"),
        ('path,person\n1.jpg,"2\n1.jpg,3\n', "line 2: a cell contains a line break. Perhaps"),
        ("path\n" + "x" * 131_073, "line 2: field larger than .*Perhaps a quote"),
        ("path\n" + "x" * 5000, r"line 2: .*x\.\.\. \(\d+ characters\) is not a file"),
        ("path,person\n1.jpg,1\n1.jpg,2\n", "line 3: person of .* is '2', but '1' in .*line 2"),
        ("path,camera\n1.jpg,1\n./1.jpg,\n", "line 3: camera of .* is '', but '1' in .*line 2"),
        ("path,split\n1.jpg,\n1.jpg,query\n", "line 3: split of .* is 'query', but '' in"),
        ("path\n", "lists no pictures"),
        ("", "lists no pictures"),
    ],
)
def test_manifest_errors_name_the_line(tmp_path, text, says):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=says):
        read(manifest(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        pytest.param("[" * 100_000, "not JSON .(maximum recursion|Stack overflow)", id="deep"),
        ('{"path": "1.jpg", "person": ' + "9" * 5000 + "}", "not JSON .*4300 digits"),
        ('{"path": "1.jpg", "path": "1.jpg"}', "not JSON .a column occurs twice"),
    ],
)
def test_json_errors_name_the_line(tmp_path, line, says):
    picture(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=f"line 3: {says}"):
        read(manifest(tmp_path, f'{{"path": "1.jpg"}}\n\n{line}\n', "m.jsonl"))


def test_hidden_folders_are_ignored(tmp_path):
    data = read(tree(tmp_path / ".home" / "crops", ["yard/1.jpg", ".cache/2.jpg"]))
    assert [image.path.name for image in data.train] == ["1.jpg"]
    assert data.cameras == {0: "yard"}


def test_times_do_not_depend_on_the_computers_zone(tmp_path):
    tree(tmp_path, ["1.jpg", "2.jpg"])
    rows = "path,time\n1.jpg,1970-01-01T00:01\n2.jpg,1970-01-01T01:01+01:00\n"
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
    [({"path": 5}, "path is missing or not text"), ({"path": "1.jpg", "time": [1]}, "time is")],
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


def test_lines_that_stand_twice_are_taken_once_and_counted(tmp_path):
    tree(tmp_path, ["x/1.jpg", "x/2.jpg"])
    rows = "x/1.jpg,1\nx/2.jpg,1\n"
    data = read(manifest(tmp_path, f"path,person\n{rows}{rows}x/../x/1.jpg,01\n"))
    assert len(data.train) == len(data.query) == len(data.gallery) == 2
    assert data.notes == ("3 lines with a picture of an earlier line.",)
    both = read(manifest(tmp_path, "path,person,split\nx/1.jpg,1,query\nx/1.jpg,1,gallery\n"))
    assert both.query == both.gallery and len(both.query) == 1 and not both.notes


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "n/a", "<NA>"])
def test_what_programs_write_for_unknown_is_unknown_and_counted(tmp_path, word):
    tree(tmp_path, ["1.jpg", "2.jpg"])
    data = read(manifest(tmp_path, f"path,person,camera\n1.jpg,{word},{word}\n2.jpg,7.0,2.0\n"))
    assert [(i.person, i.camera) for i in data.train] == [(None, None), (7, 2)]
    assert len(data.query) == 1
    assert data.notes == tuple(
        f"1 picture with {word} as {column}: unknown." for column in ("person", "camera")
    )


@pytest.mark.parametrize(("camera", "number"), [("-1", None), ("-1.0", None), ("", None), ("0", 0)])
def test_camera_minus_one_is_unknown_and_zero_is_one(tmp_path, camera, number):
    picture(tmp_path / "1.jpg")
    assert read(manifest(tmp_path, f"path,camera\n1.jpg,{camera}\n")).train[0].camera == number


def test_person_minus_one_is_junk_among_names_too(tmp_path):
    tree(tmp_path, ["1.jpg", "2.jpg"])
    data = read(manifest(tmp_path, "path,person\n1.jpg,-1\n2.jpg,ann\n"))
    assert [image.person for image in data.train] == [JUNK, 0]


@pytest.mark.parametrize("name", ["9" * 19, "9" * 5000, "²", "①", "-2", "1_0"])
def test_what_64_bits_do_not_hold_is_a_name(tmp_path, name):
    tree(tmp_path, ["1.jpg", "2.jpg"])
    data = read(manifest(tmp_path, f"path,person,camera\n1.jpg,{name},{name}\n2.jpg,5,5\n"))
    facts = [(image.person, image.camera) for image in data.train]
    assert sorted(facts) == [(0, 0), (1, 1)] and data.cameras[facts[0][0]] == name


def test_names_have_one_order():
    names = ["cam10", "cam2", "Cam1", "①", "x²", "7", "007", "12"]
    assert sorted(names, key=lambda n: (natural(n), n)) == [
        *("007", "7", "12", "Cam1", "cam2", "cam10", "x²", "①"),
    ]


@pytest.mark.parametrize("between", [";", "\t"])
def test_cells_between_semicolons_or_tabs(tmp_path, between):
    tree(tmp_path, ["1,5.jpg"])
    text = "path,camera,Split\n1|5.jpg,door,\n".replace(",", between).replace("|", ",")
    data = read(manifest(tmp_path, text.replace("Split", "split")))
    assert data.train[0].path.name == "1,5.jpg" and data.cameras == {0: "door"}


def test_splits_are_written_in_any_case(tmp_path):
    tree(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    data = read(manifest(tmp_path, "path,split\n1.jpg,Train\n2.jpg,QUERY\n3.jpg, gallery\n"))
    assert len(data.train) == len(data.query) == len(data.gallery) == 1


def test_times_too_large_are_named(tmp_path):
    picture(tmp_path / "1.jpg")
    row = '{"path": "1.jpg", "time": 1' + "0" * 400 + "}"
    with pytest.raises(DataError, match=r"line 1: time is '1000.*401 characters"):
        read(manifest(tmp_path, row, "m.jsonl"))


def test_linked_folders_are_read_once_and_without_loops(tmp_path):
    disk = tree(tmp_path / "disk", ["cam2/1.jpg", "cam3/1.jpg"])
    crops = tree(tmp_path / "crops", ["cam1/1.jpg", "cam4/1.jpg"])
    for name in ("cam2", "cam3"):
        (crops / name).symlink_to(disk / name)
    (crops / "cam1" / "up").symlink_to(crops)
    (crops / "cam1" / "self").symlink_to("self")
    (crops / "again").symlink_to(crops / "cam4")
    (crops / "cam1" / "far").symlink_to(tmp_path)
    (crops / "cam1" / "gone.jpg").symlink_to("nowhere.jpg")
    data = read(crops)
    assert {i.path.relative_to(crops).as_posix() for i in data.train} == {
        f"cam{i}/1.jpg" for i in (1, 2, 3, 4)
    }
    assert "3 linked folder that was read already" in data.notes[0]
    assert "1 without a suffix" in data.notes[0]  # the link to itself
    assert "1 .jpg that is not a file" in data.notes[0]
    only = tmp_path / "links"
    only.mkdir()
    (only / "cam2").symlink_to(disk / "cam2")
    assert read(only).cameras == {0: "cam2"} and len(read(only).train) == 1


def test_other_suffixes_are_read_or_counted(tmp_path):
    tree(tmp_path, ["1.jpg", "2.JFIF", "3.gif", "4.jpe"])
    PIL.Image.new("RGB", (8, 16)).save(tmp_path / "5.ppm")
    for name in ("6.heic", "7.HEIC", "8.xml", "Thumbs.db", ".hidden.jpg", "9.mov"):
        (tmp_path / name).touch()
    data = read(tmp_path)
    assert len(data.train) == 5
    (note,) = data.notes
    assert all(count in note for count in ("not read: 2 .heic,", "1 .xml", "1 .mov"))
    assert "Save .heic as JPEG" in note and "reseen video" in note and "hidden" not in note


def test_videos_are_told_what_to_do(tmp_path):
    (tmp_path / "x.MP4").touch()
    with pytest.raises(DataError, match=r"is a video.*reseen video"):
        read(tmp_path / "x.MP4")
    with pytest.raises(DataError, match=r"holds no pictures.*1 \.mp4.*reseen video"):
        read(tmp_path)


def test_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    tree(tmp_path, ["cam1/1.jpg"])
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "cam1":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cam1 cannot be read \(Permission denied\)"):
        read(tmp_path)


def test_pipes_are_passed_over(tmp_path):
    tree(tmp_path, ["1.jpg"])
    os.mkfifo(tmp_path / "x.jpg")
    data = read(tmp_path)
    assert len(data.train) == 1 and "1 .jpg that is not a file" in data.notes[0]


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_line_ends_in_names_are_refused(tmp_path, end):
    tree(tmp_path, [f"a{end}1.jpg", "2.jpg"])
    with pytest.raises(DataError, match=r"1 picture with a line break in .* first is '.*a"):
        read(tmp_path)
    line = json.dumps({"path": f"a{end}1.jpg"})
    with pytest.raises(DataError, match="with a line break"):
        read(manifest(tmp_path, line, "m.jsonl"))


@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        ([f"person{p}/{i}.jpg" for p in range(20) for i in range(2)], "person", "their names"),
        ([f"{p:04d}/{i}.jpg" for p in range(3) for i in range(2)], "person", "such as 0000"),
        ([f"x{p}/{i}.jpg" for p in range(17) for i in range(2)], "person", "few pictures each"),
        ([f"x{p}/{i}.jpg" for p in range(16) for i in range(2)], "camera", "If each is a person"),
        ([f"cam{p}/{i}.jpg" for p in range(20) for i in range(2)], "camera", None),
    ],
)
def test_sub_folders_are_guessed_with_a_reason(tmp_path, monkeypatch, names, kind, says):
    for name in names:  # only names matter here
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = read(tmp_path)
    assert all((getattr(i, kind) is not None) for i in data.train)
    assert len(data.query) == (len(names) if kind == "person" else 0)
    assert bool(data.cameras) == (kind == "camera")
    assert [says in note for note in data.notes] == [True] if says else data.notes == ()
    for asked in ("person", "camera"):
        told = read(tmp_path, folders=asked)
        assert all(getattr(image, asked) is not None for image in told.train) and not told.notes
    monkeypatch.setattr("reseen.data.folder.FEW", 1)
    if says == "few pictures each":
        with pytest.raises(DataError, match=r"could be people or cameras. Use --folders person"):
            read(tmp_path)


def test_folders_that_cannot_be(tmp_path):
    tree(tmp_path, ["a/1.jpg"])
    with pytest.raises(SettingsError, match=r"folders is 'people'\. Use one of: auto"):
        read(tmp_path, folders="people")
    with pytest.raises(SettingsError, match="but the pattern says who and where"):
        read(tmp_path, folders="person", pattern="{camera}/{_}.jpg")
    manifest(tmp_path, "path\na/1.jpg\n")
    with pytest.raises(SettingsError, match=r"but .*manifest\.csv says"):
        read(tmp_path, folders="camera")
