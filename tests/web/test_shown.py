import time
from datetime import datetime
from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from reseen.errors import DataError
from reseen.web import shown
from reseen.web.shown import Bar, marks, moment, span, stamp, timeline
from tests.web.conftest import photo

NOON = datetime(2026, 11, 28, 12).timestamp()


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_times_are_those_of_this_machine_or_a_clock_from_the_beginning(zone):
    noon = datetime(2026, 11, 28, 12, 0, 5).timestamp()
    assert moment(noon) == "28 Nov 2026 12:00:05" and datetime.fromisoformat(stamp(noon))
    assert datetime.fromisoformat(stamp(noon)).timestamp() == noon
    assert moment(3723.2) == "1:02:03" and stamp(3723.2) == ""


def test_a_span_says_the_day_once():
    assert span(NOON, NOON) == "28 Nov 2026 12:00:00"
    assert span(NOON, NOON + 61) == "28 Nov 2026 12:00:00 to 12:01:01"
    assert span(NOON, NOON + 86400) == "28 Nov 2026 12:00:00 to 29 Nov 2026 12:00:00"
    assert span(5, 65) == "0:00:05 to 0:01:05"
    assert span(None, None) == "Time unknown"


@pytest.mark.parametrize("length", [1, 50, 600, 7200, 86400, 5 * 86400, 400 * 86400, 1e10])
def test_marks_are_round_times_within_the_axis(zone, length):
    found = marks(NOON, NOON + length)
    assert len(found) <= shown.MARKS and all(NOON <= mark <= NOON + length for mark in found)
    if 600 <= length <= 86400:
        assert len(found) >= 2
        for mark in found:
            assert datetime.fromtimestamp(mark).second == 0


def test_every_sighting_has_its_place_in_the_lane_of_its_camera():
    bars = [
        Bar("b", NOON, NOON + 60, "same", "#1"),
        Bar("a", NOON + 3600, NOON + 3600, "maybe", "#2"),
        Bar(None, NOON + 1800, NOON + 1860, "unknown", "#3"),
    ]
    found = timeline(bars, undated=1)
    assert [lane.camera for lane in found.lanes] == ["a", "b", None]
    assert found.undated == "1 sighting"
    (second,), (first,), (third,) = (lane.bars for lane in found.lanes)
    assert 0 < first.left < first.right < third.left < second.left < second.right < 100
    assert third.left == pytest.approx((first.left + second.left) / 2, abs=0.02)
    assert "maybe" in found.lanes[0].label and "12:" not in found.lanes[0].label[:12]
    assert found.ticks[0][1] == "28 Nov" and not any(day for _, day, _ in found.ticks[1:])
    assert timeline([]) is None


def test_names_of_cameras_are_words():
    assert (shown.at("3"), shown.at("Gate"), shown.at(None)) == (
        "Camera 3",
        "Gate",
        "Camera unknown",
    )
    assert shown.cameras_said(("1", "2")) == "cameras 1, 2"
    assert shown.cameras_said(("1",)) == "camera 1"
    assert shown.cameras_said(("Gate", "Hall")) == "Gate, Hall"
    assert shown.cameras_said(()) == "camera unknown"


def opened(content: bytes) -> np.ndarray:
    with PIL.Image.open(BytesIO(content)) as picture:
        assert picture.format == "JPEG" and not picture.getexif()
        return np.asarray(picture).astype(int)


def test_a_blurred_picture_shows_no_face_and_the_rest_as_it_is():
    content = photo(size=(40, 80))
    plain, blurred = (opened(shown.drawn(content, blur=blur)) for blur in (False, True))
    assert plain.shape == blurred.shape == (80, 40, 3)
    assert blurred[:18].std() < plain[:18].std() / 3
    assert np.abs(blurred[24:] - plain[24:]).max() < 60 and plain[24:].std() > 40


def test_pictures_are_made_small_and_keep_nothing_but_pixels():
    picture = PIL.Image.fromarray(np.zeros((1000, 500, 3), np.uint8))
    exif = PIL.Image.Exif()
    exif[0x010F] = "Maker"
    file = BytesIO()
    picture.save(file, "JPEG", exif=exif)
    assert opened(shown.drawn(file.getvalue(), blur=False)).shape == (480, 240, 3)
    assert opened(shown.drawn(file.getvalue(), blur=False, size=None)).shape == (1000, 500, 3)
    with pytest.raises(DataError, match="cannot be read"):
        shown.drawn(b"nothing", blur=False)
