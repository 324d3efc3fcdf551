import csv
import json
from collections import Counter
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread

import numpy as np
import PIL.Image
import pytest

from reseen.data.reading import read
from reseen.errors import DataError, SettingsError
from reseen.metrics.tracking import judge_tracks
from reseen.video import CropSettings, TrackSettings, find_films, make_tracklets, pipeline
from reseen.video.decode import Frame
from tests.video.conftest import by_colour, toy, write_film

CROPS = CropSettings(min_height=30, min_area=500, alike=0, shortest=0.3)


def make(films, out, **how):
    """Make tracklets of toy films, all frames."""
    places = films if isinstance(films, list) else [films]
    found = how.pop("found", {})
    how = {"rate": 0, "crops": CROPS, "detector": by_colour} | how
    return make_tracklets(lambda: find_films(places, **found), out, **how)


def rows(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tracklets(out):
    """Give camera, first and last second and number of frames of each tracklet."""
    count = Counter((r["camera"], r["tracklet"], r["begin"], r["end"]) for r in rows(out))
    return [(c, float(b), float(e), n) for (c, _, b, e), n in count.items()]


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """Red and blue cross and hide each other; green walks away early."""
    pictures = toy(("red", 10, 130), ("blue", 130, 0), ("green", 60, 60, 0, 2), frames=24)
    return write_film(tmp_path_factory.mktemp("film") / "door.mp4", pictures)


def test_each_person_is_a_tracklet(crossing, tmp_path):
    summary = make(crossing, tmp_path)
    assert (summary.films, summary.tracklets, summary.decoded, summary.looked) == (1, 2, 24, 24)
    assert summary.dropped == {"short": 1} and summary.seconds == pytest.approx(2.4)
    assert set(summary.stages) == {"decode", "detect", "track", "crop"}
    assert "2 tracklets of" in str(summary) and "1 short" in str(summary)
    for row in rows(tmp_path):
        x0, y0, x1, y1 = map(int, row["box"].split())
        with PIL.Image.open(tmp_path / row["path"]) as picture:
            assert picture.size == (x1 - x0, y1 - y0)
        assert float(row["time"]) == pytest.approx(int(row["frame"]) / 10, abs=2e-3)
    for path in {(tmp_path / row["path"]).parent for row in rows(tmp_path)}:
        colours = [np.asarray(PIL.Image.open(p)).mean((0, 1)).argmax() for p in path.glob("*.jpg")]
        assert Counter(colours).most_common(1)[0][1] >= 0.8 * len(colours)  # one colour each
    data = read(tmp_path)
    assert data.format == "tracklets" and len(data.train) == 2


def test_asked_again_nothing_is_done_twice(crossing, tmp_path):
    make(crossing, tmp_path)
    before = (tmp_path / "manifest.csv").read_bytes()
    summary = make(crossing, tmp_path)
    assert (summary.films, summary.tracklets) == (0, 0)
    assert (tmp_path / "manifest.csv").read_bytes() == before
    with pytest.raises(SettingsError, match=r"other settings \(keep was 16, now 4\)"):
        make(crossing, tmp_path, crops=replace(CROPS, keep=4))


class KilledError(BaseException):
    """As kill -9: nothing is tidied up."""


def killing(after, error=KilledError):
    """Make a detector that dies after some frames."""
    left = [after]

    def detect(pixels):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return by_colour(pixels)

    return detect


@pytest.fixture(scope="module")
def passers(tmp_path_factory):
    """Four people one after the other, each there for a second, two and a half seconds apart."""
    colours = "red", "green", "blue", "red"
    walks = [(colour, 10, 130, 25 * i, 25 * i + 10) for i, colour in enumerate(colours)]
    return write_film(tmp_path_factory.mktemp("film") / "door.mp4", toy(*walks, frames=90))


SOON = TrackSettings(patience=0.5)


@pytest.mark.parametrize("kills", [[30], [7, 30], [24, 1, 60, 9], [89]])
def test_killed_at_any_time_no_tracklet_is_written_twice(passers, tmp_path, monkeypatch, kills):
    monkeypatch.setattr(pipeline, "MARK", 1.0)
    for after in kills:
        with pytest.raises(KilledError):
            make(passers, tmp_path, tracks=SOON, detector=killing(after))
    make(passers, tmp_path, tracks=SOON)
    frames = Counter(row["frame"] for row in rows(tmp_path))
    assert max(frames.values()) == 1
    spans = sorted((begin, end) for _, begin, end, _ in tracklets(tmp_path))
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    assert 4 - len(kills) <= len({int(b // 2.5) for b, _ in spans}) <= 4
    assert all(count >= 3 for *_, count in tracklets(tmp_path))


def test_ctrl_c_keeps_what_is_open_and_goes_on(passers, tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"stopped, 1 tracklet written\. Run the same"):
        make(passers, tmp_path, tracks=SOON, detector=killing(6, KeyboardInterrupt))
    ((_, begin, end, count),) = tracklets(tmp_path)
    assert (begin, count) == (0, 6) and end == pytest.approx(0.5)
    make(passers, tmp_path, tracks=SOON)
    assert [round(b, 1) for _, b, _, _ in tracklets(tmp_path)] == [0, 0.6, 2.5, 5, 7.5]
    assert max(Counter(row["frame"] for row in rows(tmp_path)).values()) == 1


def test_chunks_of_a_recorder_continue_each_other(tmp_path):
    """One walk in two files; the second half of the same walk an hour later is another one."""
    pictures = toy(("red", 10, 130), frames=20)
    films = tmp_path / "films"
    films.mkdir()
    write_film(films / "yard_2026-01-31_18-00-00.mp4", pictures[:10])
    write_film(films / "yard_2026-01-31_18-00-01.mp4", pictures[10:])
    write_film(films / "yard_2026-01-31_19-00-00.mp4", pictures[10:])
    make(films, tmp_path / "out")
    first, second = tracklets(tmp_path / "out")
    assert first[0] == "yard" and first[2] - first[1] == pytest.approx(1.9) and first[3] == 16
    assert second[2] - second[1] == pytest.approx(0.9)
    assert second[1] - first[1] == pytest.approx(3600)
    assert {row["film"][-6:-4] for row in rows(tmp_path / "out")[:16]} == {"00", "01"}


def test_chunks_without_a_time_follow_each_other_also_in_the_next_run(tmp_path):
    pictures = toy(("red", 10, 130), frames=30)
    films = tmp_path / "cam1"
    films.mkdir()
    write_film(films / "2.mp4", pictures[:15])
    make(tmp_path, tmp_path / "out", found=dict(start=1000.0))
    write_film(films / "10.mp4", pictures[15:])
    make(tmp_path, tmp_path / "out", found=dict(start=1000.0))
    assert [(c, round(b, 1)) for c, b, _, _ in tracklets(tmp_path / "out")] == [
        ("cam1", 1000),
        ("cam1", 1001.5),
    ]


def test_the_start_may_come_from_metadata(tmp_path):
    film = write_film(
        tmp_path / "door.mp4", toy(("red", 10, 130)), creation_time="2026-01-31T18:05:00Z"
    )
    make(film, tmp_path / "out")
    ((_, begin, _, _),) = tracklets(tmp_path / "out")
    assert begin == pytest.approx(1769882700)


def test_a_film_that_grew_goes_on(tmp_path):
    """A recorder was still writing it."""
    pictures = toy(("red", 10, 130), frames=30)
    film = write_film(tmp_path / "a.avi", pictures[:15])
    make(film, tmp_path / "out", found=dict(start=1000.0))
    write_film(film, pictures)
    make(film, tmp_path / "out", found=dict(start=1000.0))
    assert max(Counter(row["frame"] for row in rows(tmp_path / "out")).values()) == 1
    assert [round(b, 1) for _, b, *_ in tracklets(tmp_path / "out")] == [1000, 1001.5]


def test_two_cameras_are_not_one(tmp_path):
    for camera in ("cam1", "cam2"):
        (tmp_path / camera).mkdir()
        write_film(tmp_path / camera / "a.mp4", toy(("red", 10, 130)))
    summary = make(tmp_path, tmp_path / "out")
    assert summary.tracklets == 2
    assert sorted(c for c, *_ in tracklets(tmp_path / "out")) == ["cam1", "cam2"]


def test_long_stays_are_cut(tmp_path):
    film = write_film(tmp_path / "door.mp4", toy(("red", 10, 130), frames=40))
    make(film, tmp_path / "out", crops=replace(CROPS, longest=1.5))
    spans = [(round(b, 1), round(e, 1)) for _, b, e, *_ in tracklets(tmp_path / "out")]
    assert spans == [(0, 1.5), (1.6, 3.1), (3.2, 3.9)]


def test_areas_and_small_boxes_do_not_count(crossing, tmp_path):
    left = np.array([(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
    summary = make(crossing, tmp_path / "half", found=dict(areas=(left,)))
    assert summary.ignored > 0
    assert all(int(row["box"].split()[2]) > 80 for row in rows(tmp_path / "half"))
    tall = replace(CROPS, min_height=90)
    assert make(crossing, tmp_path / "tall", crops=tall).tracklets == 0


def test_things_that_never_move_are_left_out(tmp_path):
    film = write_film(tmp_path / "door.mp4", toy(("red", 10, 130), ("blue", 100, 100)))

    def unsure(pixels):
        boxes = by_colour(pixels)
        boxes[:, 4] = 0.7
        return boxes

    summary = make(film, tmp_path / "out", detector=unsure)
    assert summary.tracklets == 1 and summary.dropped == {"still": 1}


def test_a_tracker_of_somebody_else(crossing, tmp_path):
    class Everything:
        """Takes all boxes for one person."""

        def update(self, boxes, time, features=None):
            return np.arange(len(boxes)) * 0 - (np.arange(len(boxes)) > 0)

    assert make(crossing, tmp_path, tracker=Everything).tracklets == 1


def test_looks_are_asked_for_padded_boxes(crossing, tmp_path):
    asked = []

    def look(pixels, boxes):
        asked.extend(boxes)
        rows = np.array([pixels[y0:y1, x0:x1].mean((0, 1)) for x0, y0, x1, y1 in boxes])
        return rows.reshape(-1, 3) / np.linalg.norm(rows.reshape(-1, 3), axis=1, keepdims=True)

    assert make(crossing, tmp_path, look=look).tracklets == 2
    assert all(y1 - y0 > 60 for _, y0, _, y1 in asked)


def test_films_that_cannot_be_opened_are_left_out(crossing, tmp_path):
    (tmp_path / "bad.mp4").write_text("nothing")
    assert make([tmp_path / "bad.mp4", crossing], tmp_path / "out").films == 1
    with pytest.raises(DataError, match=r"bad\.mp4 cannot be opened"):
        make(tmp_path / "bad.mp4", tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There is no video"):
        make(tmp_path / "empty", tmp_path / "third")


def test_watch_takes_films_as_they_come(tmp_path, monkeypatch):
    pictures = toy(("red", 10, 130), frames=20)
    films = tmp_path / "films"
    films.mkdir()
    write_film(films / "a_2026-01-31_18-00-00.mp4", pictures[:10])
    turns = []

    def sleep(seconds):
        turns.append(seconds)
        if len(turns) == 1:
            write_film(films / "a_2026-01-31_18-00-01.mp4", pictures[10:])
        if len(turns) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("reseen.video.pipeline.clock.sleep", sleep)
    with pytest.raises(KeyboardInterrupt, match="stopped, 1 tracklet written"):
        make(films, tmp_path / "out", watch=True, settle=0.0)
    ((_, begin, end, _),) = tracklets(tmp_path / "out")
    assert end - begin == pytest.approx(1.9)


def test_watch_waits_until_a_film_is_whole(tmp_path, monkeypatch):
    write_film(tmp_path / "a.mp4", toy(("red", 10, 130)))

    def sleep(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("reseen.video.pipeline.clock.sleep", sleep)
    with pytest.raises(KeyboardInterrupt, match="stopped, 0 tracklets"):
        make(tmp_path, tmp_path / "out", watch=True, settle=3600.0)


def test_a_live_stream_is_opened_again_when_it_breaks_off(crossing, tmp_path, monkeypatch):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=crossing.parent))
    Thread(target=server.serve_forever, daemon=True).start()
    turns = []

    def sleep(seconds):
        turns.append(seconds)
        if len(turns) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("reseen.video.pipeline.clock.sleep", sleep)
    address = f"http://127.0.0.1:{server.server_port}/door.mp4"
    try:
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            make(address, tmp_path, found=dict(camera="door"))
    finally:
        server.shutdown()
        server.server_close()
    assert turns == [pipeline.AGAIN] * 2
    assert {row["camera"] for row in rows(tmp_path)} == {"door"}
    assert all(row["tracklet"].startswith("live-2") for row in rows(tmp_path))


def test_a_slow_machine_passes_over_frames_of_a_stream():
    summary = pipeline.Summary()
    frames = (Frame(np.zeros((2, 2, 3), np.uint8), i, i / 10) for i in range(50))
    given = pipeline._newest(frames, summary, most=4)
    first = next(given)
    seen = [first.number, *(frame.number for frame in given)]
    assert seen == sorted(seen) and seen[-1] == 49 and len(seen) + summary.late == 50

    def broken():
        yield Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0)
        raise DataError("gone")

    given = pipeline._newest(broken(), summary)
    next(given)
    with pytest.raises(DataError, match="gone"):
        next(given)


def test_memory_does_not_grow_with_the_film(tmp_path):
    """Of each open tracklet at most `keep` crops are held, packed."""
    film = write_film(tmp_path / "door.mp4", toy(("red", 10, 130), frames=60))
    held = []

    def detect(pixels):
        held.append(sum(len(t.kept) for c in live for t in c.open.values()))
        return by_colour(pixels)

    live = []
    real = pipeline._Camera

    def camera(tracker):
        live.append(real(tracker))
        return live[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_Camera", camera)
        make(film, tmp_path / "out", detector=detect, crops=replace(CROPS, keep=5))
    assert max(held) == 5


def test_a_summary_is_plain_numbers(crossing, tmp_path):
    summary = make(crossing, tmp_path)
    assert json.loads(json.dumps(vars(summary)))["tracklets"] == 2


@pytest.mark.slow  # detector, tracker and pipeline have tests of their own
def test_invented_people_become_pure_tracklets(town_film, tmp_path):
    """The whole way with the detector that ships: whose each crop is, by the truth."""
    path, frames = town_film
    crops = CropSettings(min_height=40, min_area=400, alike=0, keep=99)
    make_tracklets(lambda: find_films([path]), tmp_path, rate=10, crops=crops)
    truth, found = [], []
    names = {}
    for number, frame in enumerate(frames):
        own = [row for row in rows(tmp_path) if int(row["frame"]) == number]
        ids = [names.setdefault(row["tracklet"], len(names)) for row in own]
        boxes = np.array([row["box"].split() for row in own], float).reshape(-1, 4)
        truth.append((frame.people, frame.boxes))
        found.append((np.array(ids, np.int64), boxes))
    scores = judge_tracks(truth, found, 0.4)
    assert len(names) >= 3 and scores.purity > 0.85 and scores.completeness > 0.4, scores
    assert read(tmp_path).train[0].time == pytest.approx(float(rows(tmp_path)[0]["time"]))
