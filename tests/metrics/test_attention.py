import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.errors import DataError
from reseen.metrics.attention import person_share


def plain_share(attention, mask):
    """Spread the map over a grid that both sizes divide, and add up cell by cell."""
    (h, w), (height, width) = attention.shape, mask.shape
    on_person = whole = area = 0.0
    for i in range(h * height):
        for j in range(w * width):
            weight = attention[i // height, j // width]
            shown = mask[i // h, j // w]
            whole += weight
            on_person += weight * shown
            area += shown
    return on_person / whole, area / (h * height * w * width)


@given(st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(1, 7)] * 2), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_equals_a_loop_over_fine_cells(small, large, seed):
    draw = np.random.default_rng(seed)
    maps, masks = draw.random((3, *small)) + 0.01, draw.random((3, *large)) > 0.5
    share, area = person_share(maps, masks)
    for n in range(3):
        assert (share[n], area[n]) == pytest.approx(plain_share(maps[n], masks[n]))


def test_a_hand_worked_case():
    """A person fills the left half of the top place; 3 of 4 parts of attention are there."""
    mask = np.zeros((1, 4, 2), bool)
    mask[0, :2, 0] = True
    share, area = person_share(np.array([[[3.0], [1.0]]]), mask)
    assert (share[0], area[0]) == (3 / 8, 1 / 4)


def test_looking_everywhere_alike_is_the_area_and_nowhere_is_no_number():
    masks = np.random.default_rng(0).random((5, 9, 5)) > 0.3
    maps = np.full((5, 4, 2), 0.2, np.float32)
    maps[4] = 0
    share, area = person_share(maps, masks)
    np.testing.assert_allclose(share[:4], area[:4], rtol=1e-12)
    np.testing.assert_allclose(area, masks.mean((1, 2)), rtol=1e-12)
    assert np.isnan(share[4])


def test_all_on_the_person_is_one_and_none_is_zero():
    masks = np.zeros((2, 8, 4), bool)
    masks[:, 2:6] = True
    maps = np.zeros((2, 4, 2))
    maps[0, 1:3], maps[1, [0, 3]] = 1, 5
    assert person_share(maps, masks)[0].tolist() == [1, 0]


def test_what_cannot_be_compared_is_refused():
    maps, masks = np.ones((2, 4, 2)), np.ones((2, 8, 4), bool)
    with pytest.raises(DataError, match=r"\(2, 4, 2\) and masks \(1, 8, 4\)"):
        person_share(maps, masks[:1])
    with pytest.raises(DataError, match="below 0"):
        person_share(-maps, masks)
