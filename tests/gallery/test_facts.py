from itertools import combinations

import numpy as np
import pytest

from reseen.gallery.facts import cannot_be_one, facts_of
from reseen.gallery.records import Crop
from tests.gallery.people import facts


def test_records_become_arrays():
    crops = [
        Crop("a", "gate", 5.0, "t1", "v.mp4", 7, (0, 0, 10, 20), "Ann", "hand"),
        Crop("b", "hall", None, "t1", "v.mp4", 7, (50, 0, 60, 20)),
        Crop("c", "gate", 6.0, "t1", "v.mp4", 8, None, "Ben", ignored=True),
        Crop("d"),
    ]
    found = facts_of(crops, [("b", "Ann"), ("b", "nobody"), ("gone", "Ben"), ("d", "Ben")])
    assert found.names == ("Ann", "Ben")
    assert found.people.tolist() == [0, -1, 1, -1]
    assert found.cameras.tolist() == [0, 1, 0, -1]
    assert found.tracklets.tolist() == [0, 1, 0, -1]  # t1 of another camera is another one
    assert found.frames.tolist() == [0, 0, 1, -1]
    assert np.array_equal(found.times, [5, np.nan, 6, np.nan], equal_nan=True)
    assert found.boxes[1].tolist() == [50, 0, 60, 20] and np.isnan(found.boxes[2:]).all()
    assert found.ignored.tolist() == [False, False, True, False]
    assert found.denied.tolist() == [[1, 0], [3, 1]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("tolerance", "overlapping"), [(0.0, False), (1.0, False), (2.0, True)])
def test_pairs_that_cannot_be_one_are_those_of_a_plain_loop(seed, tolerance, overlapping):
    rng, n = np.random.default_rng(seed), 40
    corners = rng.integers(0, 30, (n, 2)).astype(float)
    boxes = np.where(rng.random((n, 1)) < 0.2, np.nan, np.hstack([corners, corners + 20]))
    known = facts(
        n,
        cameras=rng.integers(-1, 3, n),
        times=np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 20, n)),
        frames=rng.integers(-1, 12, n),
        boxes=boxes,
        names=("A", "B"),
        people=rng.integers(-1, 2, n),
        denied=np.array([[3, 0], [4, 1], [5, 0]]),
    )

    def overlap(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        both = max(width, 0) * max(height, 0)
        return both / (800 - both)

    expected = []
    for i, j in combinations(range(n), 2):
        frame = known.frames[i] == known.frames[j] >= 0
        twice = np.isfinite(boxes[[i, j]]).all() and overlap(boxes[i], boxes[j]) > 0.3
        cameras = known.cameras[i] != known.cameras[j] and min(known.cameras[[i, j]]) >= 0
        at_once = abs(known.times[i] - known.times[j]) <= tolerance and cameras
        denied = any(
            (a == row and known.people[b] == person)
            for row, person in known.denied
            for a, b in ((i, j), (j, i))
        )
        if (frame and not twice) or (at_once and not overlapping) or denied:
            expected.append([i, j])
    found = cannot_be_one(known, tolerance=tolerance, overlapping=overlapping)
    assert found.tolist() == expected and expected


def test_of_nothing_nothing_is_impossible():
    assert cannot_be_one(facts(0)).shape == cannot_be_one(facts(5)).shape == (0, 2)
