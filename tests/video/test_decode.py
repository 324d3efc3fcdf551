import sys

import numpy as np
import pytest

from reseen.errors import DataError, SettingsError
from reseen.video.decode import Decoder
from tests.video.conftest import write_film


@pytest.fixture(scope="module")
def shade(tmp_path_factory):
    """A film of 30 frames that grow brighter, 10 a second."""
    pictures = [np.full((48, 64, 3), 20 + 7 * i, np.uint8) for i in range(30)]
    return write_film(tmp_path_factory.mktemp("film") / "shade.mp4", pictures)


def test_every_frame_with_its_number_and_time(shade):
    decoder = Decoder(str(shade))
    frames = list(decoder.frames())
    assert [f.number for f in frames] == list(range(30))
    assert [f.time for f in frames] == pytest.approx(np.arange(30) / 10)
    assert [f.pixels.mean() for f in frames] == pytest.approx(20 + 7 * np.arange(30), abs=6)
    assert (decoder.decoded, decoder.broken) == (30, 0)
    facts = Decoder(str(shade)).facts()
    assert (facts.seconds, facts.rate) == pytest.approx((3, 10))


def test_a_rate_takes_the_first_frame_of_each_stretch(shade):
    assert [f.number for f in Decoder(str(shade)).frames(5)] == list(range(0, 30, 2))
    assert [f.number for f in Decoder(str(shade)).frames(3)] == [0, 4, 7, 10, 14, 17, 20, 24, 27]
    assert len(list(Decoder(str(shade)).frames(50))) == 30  # no more than there are


def test_frames_after_a_moment_keep_their_numbers(shade):
    whole = [f for f in Decoder(str(shade)).frames(5) if f.time > 1.55]
    rest = list(Decoder(str(shade)).frames(5, after=1.55))
    assert [f.number for f in rest] == [f.number for f in whole]
    assert [f.time for f in rest] == pytest.approx([f.time for f in whole])


def test_time_is_that_of_the_file_where_its_rate_varies(tmp_path):
    stamps = [0, 10, 20, 200, 210, 300]
    pictures = [np.full((48, 64, 3), 40 * i, np.uint8) for i in range(6)]
    film = write_film(tmp_path / "varies.mp4", pictures, stamps=stamps)
    assert [f.time for f in Decoder(str(film)).frames()] == pytest.approx(np.array(stamps) / 100)
    assert [f.number for f in Decoder(str(film)).frames(1)] == [0, 3, 5]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_film_of_a_turned_camera_is_upright(tmp_path, turn):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255  # left above
    film = write_film(tmp_path / "turned.mp4", [picture] * 3, turn=turn)
    frame = next(Decoder(str(film)).frames())
    bright = np.rot90(picture, turn // 90)
    assert frame.pixels.shape == bright.shape
    assert np.abs(frame.pixels.astype(int) - bright).mean() < 12


def test_broken_frames_are_passed_over_and_counted(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(30)]
    film = write_film(tmp_path / "whole.avi", pictures)
    content = bytearray(film.read_bytes())
    begin = len(content) // 3
    content[begin : begin + 4000] = bytes(4000)
    (tmp_path / "broken.avi").write_bytes(content)
    decoder = Decoder(str(tmp_path / "broken.avi"))
    frames = list(decoder.frames())
    assert decoder.broken > 0 and 15 < len(frames) < 30
    assert decoder.decoded == len(frames)
    assert frames[-1].time == pytest.approx(2.9, abs=0.11)  # time goes on behind the gap


def test_half_a_film_is_read_as_far_as_it_goes(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(20)]
    film = write_film(tmp_path / "whole.avi", pictures)
    content = film.read_bytes()
    (tmp_path / "half.avi").write_bytes(content[: len(content) // 2])
    assert 1 < len(list(Decoder(str(tmp_path / "half.avi")).frames())) < 20


def test_what_is_no_film_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"text\.mp4 cannot be opened: .* Is it a complete"):
        Decoder(str(tmp_path / "text.mp4")).facts()
    with pytest.raises(DataError, match=r"//127\.0\.0\.1:9/x cannot be .* the address") as told:
        Decoder("http://me:secret@127.0.0.1:9/x").facts()
    assert "secret" not in str(told.value)


def test_without_the_extra_it_is_named(monkeypatch, shade):
    monkeypatch.setattr("reseen.errors.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "av", raising=False)
    with pytest.raises(SettingsError, match=r"needs av, .* pip install 'reseen\[video\]'"):
        Decoder(str(shade)).facts()
