import numpy as np
import pytest

from reseen.errors import DataError
from reseen.metrics.neighbourhood import shared_neighbours
from tests.cluster.test_survey import crops


def plainly(features, count, cameras=None):
    alike = features.astype(np.float64) @ features.T.astype(np.float64)
    np.fill_diagonal(alike, -2)
    near = [set(np.argsort(-row, kind="stable")[:count]) for row in alike]
    pairs = [
        (i, j)
        for i, found in enumerate(near)
        for j in found
        if cameras is None or (cameras[i] != cameras[j] and min(cameras[i], cameras[j]) >= 0)
    ]
    return np.mean([len(near[i] & near[j]) / count for i, j in pairs])


@pytest.mark.parametrize("cameras", [None, np.arange(-1, 59) % 4 - (np.arange(60) % 7 == 0)])
def test_same_as_a_plain_loop(cameras):
    features = crops([5] * 12, spread=1.5)
    assert shared_neighbours(features, 5, cameras) == pytest.approx(plainly(features, 5, cameras))


def test_grows_as_people_stand_apart():
    found = [shared_neighbours(crops([6] * 30, spread), 5) for spread in (3.0, 1.5, 1.0, 0.3)]
    assert found == sorted(found) and found[-1] == pytest.approx(4 / 5)  # itself is not counted


def test_one_camera_is_no_camera():
    features = crops([4] * 10)
    assert shared_neighbours(features, 4, np.zeros(40, int)) == shared_neighbours(features, 4)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_images(n):
    assert 0 <= shared_neighbours(crops([1] * n), 10) <= 1


def test_cameras_must_be_as_many():
    with pytest.raises(DataError, match="3 features and 2 cameras"):
        shared_neighbours(crops([1] * 3), 2, np.zeros(2, int))
