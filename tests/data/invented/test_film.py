import numpy as np
import pytest

from reseen.data.invented import film
from reseen.errors import SettingsError

SMALL = dict(seconds=3, rate=4, height=72, width=96)


@pytest.fixture(scope="module")
def frames():
    return list(film(people=(1, 2, 3), camera=2, **SMALL))


def test_a_film_is_drawn_the_same_again(frames):
    again = list(film(people=(1, 2, 3), camera=2, **SMALL))
    assert len(again) == 12 and again[0].pixels.shape == (72, 96, 3)
    for one, other in zip(frames, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_people_move_cross_and_hide_each_other(frames):
    middles = {
        who: [f.boxes[f.people == who][0][[0, 2]].mean() for f in frames if who in f.people]
        for who in (1, 2, 3)
    }
    signs = [np.sign(np.diff(way)) for way in middles.values()]
    assert all(abs(way[-1] - way[0]) > 48 for way in middles.values())
    assert all((sign == sign[0]).mean() > 0.7 for sign in signs)
    assert len({float(sign[0]) for sign in signs}) == 2  # from both sides
    assert max(float(f.hidden.max(initial=0)) for f in frames) > 0.2


def test_boxes_are_where_people_are(frames):
    """Pixels that differ from the empty scene lie in boxes."""
    empty = np.median([f.pixels for f in frames], axis=0)
    for frame in frames:
        inside = np.zeros(frame.pixels.shape[:2], bool)
        for x0, y0, x1, y1 in frame.boxes.round().astype(int):
            inside[y0:y1, x0:x1] = True
        changed = np.abs(frame.pixels - empty).sum(2) > 150
        if inside.any():
            assert changed[inside].mean() > 3 * changed[~inside].mean()


def test_cameras_show_the_same_people_elsewhere(frames):
    other = list(film(people=(1, 2, 3), camera=1, **SMALL))
    assert not np.array_equal(frames[5].pixels, other[5].pixels)
    assert {*np.concatenate([f.people for f in other])} == {1, 2, 3}


def test_a_film_of_nobody_is_refused():
    with pytest.raises(SettingsError, match="must all be above 0"):
        next(film(people=()))
