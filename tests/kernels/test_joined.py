import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.errors import DataError, SettingsError
from reseen.kernels.joined import nearest_by_camera, nearest_joined
from reseen.kernels.neighbours import nearest


def unit(n, seed, d=16):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "k"), [(70, 9, 12), (9, 70, 5), (5, 3, 40), (1, 1, 1)])
def test_joined_is_nearest_of_all_rows_together(n, m, k):
    features, extra = unit(n, 1), unit(m, 2)
    extra[: min(n, m) // 2] = features[: min(n, m) // 2]
    expected, similar = nearest(np.concatenate([features, extra]), k)
    ranks, similarities = nearest_joined(features, extra, k)
    assert ranks.dtype == np.int32
    np.testing.assert_allclose(similarities, similar, atol=1e-6)
    np.testing.assert_array_equal(ranks, expected)


def plain_by_camera(features, cameras, k, own, quota):
    """Walk down each full ranking and take a neighbour where the bounds allow it."""
    order = np.argsort(-(features @ features.T), axis=1, kind="stable")
    lists = []
    for i, row in enumerate(order):
        taken = []
        for j in row:
            here = sum(cameras[t] == cameras[i] for t in taken)
            if len(taken) == k or sum(cameras[t] == cameras[j] for t in taken) == quota:
                continue
            if own is not None and cameras[j] == cameras[i] and here == own:
                continue
            if own is not None and cameras[j] != cameras[i] and len(taken) - here == k - own:
                continue
            taken.append(int(j))
        lists.append(taken + [-1] * (k - len(taken)))
    return lists


@given(
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=50)
def test_by_camera_equals_the_plain_walk(n, count, k, own, quota, seed):
    """0 stands for no bound."""
    features = unit(n, seed)
    cameras = np.random.default_rng(seed).integers(count, size=n) * 7
    own, quota = (min(bound, k) or None for bound in (own, quota))
    found, similar = nearest_by_camera(features, cameras, k, own=own, quota=quota)
    cosines = np.take_along_axis(features @ features.T, found, axis=1)
    np.testing.assert_allclose(similar, np.where(found < 0, np.nan, cosines), atol=1e-6)
    assert found.tolist() == plain_by_camera(features, cameras, k, own, quota)


def test_without_bounds_cameras_change_nothing():
    features = unit(50, 3)
    found, similar = nearest_by_camera(features, np.arange(50) % 4, 10)
    expected = nearest(features, 10)
    np.testing.assert_array_equal(found, expected[0])
    np.testing.assert_allclose(similar, expected[1], atol=1e-6)


@pytest.mark.parametrize("bad", [{"k": 0}, {"own": 0}, {"own": 6}, {"quota": 0}])
def test_numbers_out_of_range_are_refused(bad):
    with pytest.raises(SettingsError, match=f"{next(iter(bad))} is"):
        nearest_by_camera(unit(9, 4), np.zeros(9, int), **{"k": 5, **bad})


def test_each_row_needs_a_camera():
    with pytest.raises(DataError, match=r"cameras has shape \(8,\)"):
        nearest_by_camera(unit(9, 5), np.zeros(8, int), 3)
