"""Wrong first places and margins against loops, and by hand."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.errors import DataError, SettingsError
from reseen.metrics.errors import first_errors, triplet_margins
from reseen.metrics.ranking import rank
from reseen.records import JUNK, Dataset, Image


def made(cameras):
    return tuple(Image(Path(f"{i}.jpg"), 0, c if c >= 0 else None) for i, c in enumerate(cameras))


def judged(draw, queries=30, images=40):
    """A search by chance: people, cameras (-1 unknown) and the ranking."""
    person, persons = draw.integers(0, 6, queries), draw.integers(JUNK, 6, images)
    camera, cameras = draw.integers(-1, 4, queries) * 3, draw.integers(-1, 5, images) * 3
    camera, cameras = np.maximum(camera, -1), np.maximum(cameras, -1)
    far = draw.random((queries, images)).astype(np.float32)
    result = rank(
        [(0, far)],
        query_person=person,
        gallery_person=persons,
        query_camera=camera,
        gallery_camera=cameras,
    )
    return result, Dataset("made", Path("made"), (), made(camera), made(cameras))


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_errors_are_those_of_a_loop(seed):
    result, data = judged(np.random.default_rng(seed))
    found = first_errors(result, data)
    counts = dict.fromkeys(("right", "in_camera", "cross_camera", "unknown"), 0)
    wrong, asked = np.zeros((2, 5, 5), int)
    index = {camera: i for i, camera in enumerate(found.cameras)}
    for row, q in enumerate(result.queries):
        mine, theirs = data.query[q].camera, data.gallery[result.top[row, 0]].camera
        if mine is not None:
            asked[index[mine]] += 1
        if result.right[row, 0]:
            counts["right"] += 1
        elif mine is None or theirs is None:
            counts["unknown"] += 1
        else:
            counts["in_camera" if mine == theirs else "cross_camera"] += 1
            wrong[index[mine], index[theirs]] += 1
    assert {name: getattr(found, name) for name in counts} == counts
    assert found.queries == len(result.queries) == sum(counts.values())
    c = len(found.cameras)
    assert found.wrong.shape == (c, c) and not wrong[c:].any() and not wrong[:, c:].any()
    np.testing.assert_array_equal(found.wrong, wrong[:c, :c])
    np.testing.assert_array_equal(found.asked, asked[:c, 0])
    assert result.cmc(1) == pytest.approx(found.right / found.queries)


def test_errors_by_hand():
    """Queries by cameras 2, 2, 7; first are a wrong one by 2, the right one, a wrong one by 2."""
    far = np.array([[0, 1, 2, 3], [3, 0, 1, 2], [0, 1, 3, 3]], np.float32)
    result = rank(
        [(0, far)],
        query_person=np.array([5, 5, 6]),
        gallery_person=np.array([8, 5, 6, 8]),
        query_camera=np.array([2, 2, 7]),
        gallery_camera=np.array([2, 7, 2, 2]),
    )
    found = first_errors(result, Dataset("", Path(), (), made([2, 2, 7]), made([2, 7, 2, 2])))
    assert (found.right, found.in_camera, found.cross_camera, found.unknown) == (1, 1, 1, 0)
    assert found.cameras.tolist() == [2, 7] and found.asked.tolist() == [2, 1]
    assert found.wrong.tolist() == [[1, 0], [1, 0]]


def test_a_ranking_of_other_data_is_refused():
    result, data = judged(np.random.default_rng(0))
    small = Dataset("", Path("elsewhere"), (), data.query, data.gallery[:1])
    with pytest.raises(DataError, match=r"than elsewhere \(30 and 1\)"):
        first_errors(result, small)


def unit(n, seed, size=5):
    rows = np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def all_margins(rows, people):
    return [
        float(((rows[a] - rows[n]) ** 2).sum() - ((rows[a] - rows[p]) ** 2).sum())
        for a, p, n in permutations(range(len(rows)), 3)
        if people[a] == people[p] != people[n] and min(people[a], people[n]) >= 0
    ]


@given(st.integers(2, 12), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_margins_are_those_of_triplets(n, seed):
    draw = np.random.default_rng(seed)
    people, rows = draw.integers(-1, 4, n), unit(n, seed)
    every = all_margins(rows.astype(np.float64), people)
    if not every:
        with pytest.raises(DataError, match="no triplets in"):
            triplet_margins(rows, people, draw)
        return
    found = triplet_margins(rows, people, draw, 300)
    assert found.shape == (300,)
    assert np.abs(found[:, None] - np.array(every)).min(1).max() < 1e-6


def test_every_triplet_of_an_anchor_is_drawn_as_often():
    people, rows = np.array([4, 9, 4, 9, 4, JUNK, 2]), unit(7, 0)
    found = triplet_margins(rows, people, np.random.default_rng(0), 60_000)
    expected = np.zeros(0)
    mean = []
    for a in (0, 1, 2, 3, 4):  # anchors alike, then positives, then negatives
        one = [
            ((rows[a] - rows[n]) ** 2).sum() - ((rows[a] - rows[p]) ** 2).sum()
            for p in range(7)
            for n in range(7)
            if p != a and people[p] == people[a] and people[n] not in (people[a], JUNK)
        ]
        expected = np.append(expected, one)
        mean.append(np.mean(one))
    assert found.mean() == pytest.approx(np.mean(mean), abs=0.03)
    values, counts = np.unique(np.round(found, 5), return_counts=True)
    np.testing.assert_allclose(values, np.unique(np.round(expected, 5)), atol=2e-5)
    assert counts.min() > 60_000 / 5 / 6 * 0.9 and counts.max() < 60_000 / 5 / 3 * 1.1


def test_margins_by_hand():
    """Anchor and positive at right angles (2), the stranger opposite to one, near the other."""
    rows = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = triplet_margins(rows, np.array([0, 0, 1]), np.random.default_rng(0), 100)
    assert set(found.tolist()) == {4.0 - 2.0, 2.0 - 2.0}


def test_triplets_that_cannot_be_drawn_are_refused():
    chance = np.random.default_rng(0)
    with pytest.raises(DataError, match="3 images of 3 known people"):
        triplet_margins(unit(4, 0), np.array([0, 1, 2, -1]), chance)
    with pytest.raises(DataError, match="4 images of 1 known people"):
        triplet_margins(unit(4, 0), np.zeros(4), chance)
    with pytest.raises(DataError, match=r"shape \(3,\) for 4"):
        triplet_margins(unit(4, 0), np.zeros(3), chance)
    with pytest.raises(SettingsError, match="count is 0"):
        triplet_margins(unit(4, 0), np.array([0, 0, 1, 1]), chance, 0)
