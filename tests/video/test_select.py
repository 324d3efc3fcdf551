from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from reseen.errors import SettingsError
from reseen.video.select import CropSettings, Tracklet, hidden_shares, padded, sharpness

RNG = np.random.default_rng(0)
SHARP = RNG.integers(0, 255, (200, 300, 3), np.uint8)


def smooth(pixels, radius=8):
    from PIL import ImageFilter

    return np.asarray(PIL.Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def offer(tracklet, pixels, x, time, *, hidden=0.0, score=0.95, y=20, tall=160, number=None):
    box = np.array((x, y, x + 60, y + tall, score))
    number = round(10 * time) if number is None else number
    tracklet.offer(pixels, box, hidden, "a.mp4", number, time)


def tracklet(**settings):
    return Tracklet("a-000000", CropSettings(**settings))


def numbers(made):
    return [kept.number for kept in made.chosen]


def test_the_sharpest_and_least_hidden_stay():
    made = tracklet(keep=3, alike=0)
    pictures = [smooth(SHARP, 3), SHARP, SHARP, smooth(SHARP, 2), smooth(SHARP, 1)]
    for i, picture in enumerate(pictures):
        offer(made, picture, 10 * i, float(i), hidden=0.9 if i == 1 else 0)
    qualities = {kept.number: kept.quality for kept in made.kept}
    assert set(qualities) == {20, 30, 40} and max(qualities, key=qualities.get) == 20
    assert sharpness(np.asarray(PIL.Image.fromarray(SHARP).convert("L"), float)) > 5 * sharpness(
        np.asarray(PIL.Image.fromarray(smooth(SHARP, 2)).convert("L"), float)
    )


def test_frames_that_look_the_same_are_kept_once_the_better_one():
    made = tracklet()
    for i in range(6):
        offer(made, SHARP, 50, float(i), hidden=(0.3, 0.2, 0.0, 0.4, 0.1, 0.2)[i])
    assert numbers(made) == [20]
    offer(made, SHARP[::-1], 50, 7.0)
    assert numbers(made) == [20, 70]


def test_who_comes_in_at_the_border_is_kept_whole():
    made = tracklet(alike=0)
    for i, y in enumerate((150, 120, 30, 20, 10)):
        offer(made, SHARP, 10 * i, float(i), y=y, tall=min(160, 200 - y))
    assert numbers(made) == [20, 30, 40]
    cut = tracklet(alike=0)  # where nobody is ever seen whole, what there is stays
    for i in range(4):
        offer(cut, SHARP, 10 * i, float(i), y=100, tall=100)
    assert numbers(cut) == [0, 10, 20, 30]


def test_crops_are_padded_and_cut_at_the_border():
    assert padded(np.array((100.0, 50, 140, 150)), 0.05, (400, 400)) == (98, 45, 142, 155)
    assert padded(np.array((0.0, 0, 40, 100)), 0.1, (100, 42)) == (0, 0, 42, 100)
    made = tracklet(pad=0.1)
    offer(made, SHARP, 100, 0.0)
    (kept,) = made.chosen
    assert kept.box == (94, 4, 166, 196)
    picture = PIL.Image.open(BytesIO(kept.jpeg))
    assert picture.size == (72, 192)
    there = PIL.Image.fromarray(SHARP[4:196, 94:166]).convert("L")
    assert np.abs(np.asarray(picture.convert("L"), int) - np.asarray(there)).mean() < 12


def test_faces_are_blurred_where_asked():
    pictures = []
    for blur in (False, True):
        made = tracklet(blur_faces=blur, pad=0)
        offer(made, SHARP, 100, 0.0)
        pictures.append(np.asarray(PIL.Image.open(BytesIO(made.kept[0].jpeg)), float))
    whole, blurred = pictures
    assert blurred[:36].std() < 0.3 * whole[:36].std()
    assert blurred[48:].std() == pytest.approx(whole[48:].std(), rel=0.05)


def test_what_never_moves_is_a_thing_unless_it_is_surely_somebody():
    def fault(step, score, **settings):
        made = tracklet(**settings)
        for i in range(20):
            offer(made, SHARP, 50 + step * i + i % 2, i / 5, score=score)
        return made.fault

    assert fault(0, 0.68) == "still" and fault(0, 0.95) is None
    assert fault(4, 0.68) is None
    assert fault(0, 0.68, motion=0) is None and fault(0, 0.95, sure_score=0.99) == "still"


def test_short_tracks_are_nobody():
    made = tracklet(shortest=1.0)
    for i in range(3):
        offer(made, SHARP, 50 + 30 * i, i / 5)
    assert made.fault == "short"
    for i in range(3, 7):
        offer(made, SHARP, 50 + 30 * i, i / 5)
    assert made.fault is None


def test_who_stands_in_front_hides():
    boxes = np.array([(0.0, 0, 40, 100), (20.0, 10, 60, 110), (200.0, 0, 240, 100)])
    assert hidden_shares(boxes) == pytest.approx([0.45, 0, 0])
    assert hidden_shares(np.zeros((0, 5))).shape == (0,)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(keep=0), "keep is 0"),
        (dict(longest=0.5), "let longest be longer"),
        (dict(pad=-0.1), r"pad is -0\.1"),
    ],
)
def test_settings_that_contradict(wrong, says):
    with pytest.raises(SettingsError, match=says):
        CropSettings(**wrong)
