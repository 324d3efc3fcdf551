from datetime import UTC, datetime

import numpy as np
import pytest

from reseen.errors import DataError, SettingsError
from reseen.video.films import find_films, inside, read_area, read_cameras


def local(*parts):
    return datetime(*parts).timestamp()


def facts(root, *names, **how):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [(f.name, f.camera, f.start) for f in find_films([root], **how)]


def test_cameras_and_times_by_name(tmp_path):
    found = facts(
        tmp_path,
        "door_2026-01-31_18-10-00.mp4",
        "door_2026-01-31_18-05-00.mp4",
        "yard-20260131T180000.mkv",
        "cam2/b.avi",
        "cam2/a.avi",
        "cam10/x.mp4",
        ".hidden.mp4",
        "notes.txt",
        "2026-01-31/18.00.00/x.mp4",
        "2026-01-31/18/hall/05.mp4",
    )
    assert found == [
        ("cam2/a.avi", "cam2", None),
        ("cam2/b.avi", "cam2", None),
        ("cam10/x.mp4", "cam10", None),
        ("door_2026-01-31_18-05-00.mp4", "door", local(2026, 1, 31, 18, 5)),
        ("door_2026-01-31_18-10-00.mp4", "door", local(2026, 1, 31, 18, 10)),
        ("2026-01-31/18/hall/05.mp4", "hall", None),
        ("2026-01-31/18.00.00/x.mp4", "x", local(2026, 1, 31, 18)),
        ("yard-20260131T180000.mkv", "yard", local(2026, 1, 31, 18)),
    ]


def test_a_pattern_says_camera_and_time(tmp_path):
    names = "2026-01-31/18/door/05.30.mp4", "2026-01-31/19/door/00.00.mp4"
    pattern = "{year}-{month}-{day}/{hour}/{camera}/{minute}.{second}.mp4"
    assert facts(tmp_path, *names, pattern=pattern) == [
        (names[0], "door", local(2026, 1, 31, 18, 5, 30)),
        (names[1], "door", local(2026, 1, 31, 19)),
    ]
    with pytest.raises(DataError, match="does not match the pattern"):
        find_films([tmp_path], pattern="{camera}.mp4")
    with pytest.raises(SettingsError, match=r"has the fields \['who'\]"):
        find_films([tmp_path], pattern="{who}.mp4")


def test_unix_times_and_one_camera_for_all(tmp_path):
    assert facts(tmp_path, "1769882700.mp4", pattern="{time}.mp4", camera="door") == [
        ("1769882700.mp4", "door", 1769882700.0)
    ]


def test_a_start_is_that_of_the_first_film_that_names_none(tmp_path):
    assert facts(tmp_path, "cam1/a.mp4", "cam1/b.mp4", start=5.0) == [
        ("cam1/a.mp4", "cam1", 5.0),
        ("cam1/b.mp4", "cam1", None),
    ]


@pytest.mark.parametrize("kind", ["yaml", "toml"])
def test_a_settings_file_says_what_names_do_not(tmp_path, kind):
    settings = tmp_path / f"cameras.{kind}"
    settings.write_text(
        {
            "yaml": "door:\n  films: rec1*\n  start: 2026-01-31T18:05:00Z\n"
            "  ignore: [[[0, 0], [0.5, 0], [0.5, 1]]]\nyard:\n  films: rec2*\n",
            "toml": '[door]\nfilms = "rec1*"\nstart = 2026-01-31T18:05:00Z\n'
            'ignore = [[[0, 0], [0.5, 0], [0.5, 1]]]\n[yard]\nfilms = "rec2*"\n',
        }[kind]
    )
    found = facts(tmp_path, "rec1a.mp4", "rec1b.mp4", "rec2.mp4", cameras=settings)
    begin = datetime(2026, 1, 31, 18, 5, tzinfo=UTC).timestamp()
    assert found == [
        ("rec1a.mp4", "door", begin),
        ("rec1b.mp4", "door", None),
        ("rec2.mp4", "yard", None),
    ]
    door, *_, yard = find_films([tmp_path], cameras=settings)
    assert door.areas[0].tolist() == [[0, 0], [0.5, 0], [0.5, 1]] and not yard.areas


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("door:\n  film: x\n", "film of door is unknown"),
        ("- door\n", "does not list cameras"),
        ("door: [", "cannot be read"),
        ("door:\n  ignore: [[0, 1]]\n", r"x\.yaml, door is not a polygon"),
    ],
)
def test_a_settings_file_that_is_wrong(tmp_path, text, says):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_cameras(tmp_path / "x.yaml")


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        find_films([tmp_path / "nowhere"])
    (tmp_path / "x-2026-13-31-18-00-00.mp4").touch()
    assert find_films([tmp_path])[0].start is None  # a number that only looks like a date
    with pytest.raises(DataError, match="contains an invalid date"):
        find_films([tmp_path], pattern="x-{year}-{month}-{day}-{_}.mp4")


def test_two_films_of_one_name_and_camera(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    with pytest.raises(DataError, match=r"are both a\.mp4 of the camera a\. Give the folder above"):
        find_films([tmp_path / "x" / "a.mp4", tmp_path / "y" / "a.mp4"])
    assert {film.camera for film in find_films([tmp_path])} == {"x", "y"}


def test_a_stream_is_named_by_its_address_without_the_password():
    (stream,) = find_films(["rtsp://me:secret@door.local:554/main"])
    assert (stream.camera, stream.live, stream.start) == ("door.local-554-main", True, None)
    assert find_films(["rtsp://x/y"], camera="door")[0].camera == "door"


def test_areas():
    square, pixels = read_area("0,0 0.5,0 0.5,1 0,1"), read_area("10,10 90,10 50,80")
    points = np.array([(8.0, 20), (90, 50), (50, 40)])
    assert inside(points, (square,), (100, 100)).tolist() == [True, False, False]
    assert inside(points, (pixels,), (100, 100)).tolist() == [False, False, True]
    assert inside(points, (square, pixels), (100, 100)).tolist() == [True, False, True]
    assert not inside(points, (), (100, 100)).any()
    for wrong in ("0,0 1,1", "a,b c,d e,f", "0,0,0 1,1,1 2,2,2", "-1,0 1,0 1,1"):
        with pytest.raises(SettingsError, match="is not a polygon"):
            read_area(wrong)
