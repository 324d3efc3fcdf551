import numpy as np
import pytest

from reseen.metrics.tracking import iou, judge_tracks

A, B = (0.0, 0, 10, 20), (50.0, 0, 60, 20)


def seen(*frames):
    """Make frames of {number: box}."""
    return [
        (np.array(list(f), np.int64), np.array(list(f.values()), float).reshape(-1, 4))
        for f in frames
    ]


def test_overlap_by_hand():
    one = np.array([A, (0, 0, 10, 10)])
    assert iou(one, np.array([(5.0, 0, 15, 20), B])) == pytest.approx(
        np.array([[1 / 3, 0], [50 / 250, 0]])
    )
    assert iou(np.zeros((0, 4)), one).shape == (0, 2)


def test_perfect_tracks_whatever_their_numbers():
    truth = seen({1: A, 2: B}, {1: A, 2: B})
    scores = judge_tracks(truth, seen({7: B, 9: A}, {9: A, 7: B}))
    assert (scores.mota, scores.idf1, scores.hota) == pytest.approx((1, 1, 1))
    assert (scores.purity, scores.completeness, scores.switches) == (1, 1, 0)


def test_one_person_in_two_tracks():
    """4 boxes found, the track changes once after two frames."""
    scores = judge_tracks(seen(*[{1: A}] * 4), seen({1: A}, {1: A}, {2: A}, {2: A}))
    assert scores.switches == 1 and (scores.missed, scores.false) == (0, 0)
    assert scores.mota == pytest.approx(1 - 1 / 4)
    assert scores.idf1 == pytest.approx(2 * 2 / (4 + 4))  # the one name can be right twice
    assert scores.hota == pytest.approx(np.sqrt(0.5))  # A(c) = 2 / 4 for all, DetA = 1
    assert (scores.purity, scores.completeness) == (1, 0.5)


def test_two_people_in_one_track():
    truth = seen({1: A}, {1: A}, {1: A}, {2: A})
    scores = judge_tracks(truth, seen(*[{5: A}] * 4))
    assert scores.switches == 0 and scores.mota == 1
    assert scores.idf1 == pytest.approx(2 * 3 / 8)
    # three pairs with A(c) = 3 / 4, one with 1 / 4
    assert scores.hota == pytest.approx(np.sqrt((3 * 3 / 4 + 1 / 4) / 4))
    assert (scores.purity, scores.completeness) == (0.75, 1)


def test_missed_and_false_boxes():
    truth = seen({1: A, 2: B}, {1: A}, {1: A})
    scores = judge_tracks(truth, seen({1: A}, {}, {1: A, 3: B}))
    assert (scores.missed, scores.false, scores.switches) == (2, 1, 0)
    assert scores.mota == pytest.approx(1 - 3 / 4)
    assert scores.idf1 == pytest.approx(2 * 2 / (4 + 3))
    # pairs: 2 of person 1, A(c) = 2 / (3 + 2 - 2); detections: 2 / (4 + 3 - 2)
    assert scores.hota == pytest.approx(np.sqrt(2 * (2 / 3) / 5))
    assert scores.completeness == pytest.approx(2 / 4)


def test_hota_is_averaged_over_overlaps():
    """An overlap of a half is right at the ten overlaps up to 0.5, and nowhere above."""
    scores = judge_tracks(seen({1: A}), seen({1: (0, 0, 10, 10)}))
    assert scores.hota == pytest.approx(10 / 19)


def test_a_pair_stays_while_it_overlaps():
    """Track 2 fits better in the second frame, but track 1 goes on."""
    truth = seen({1: A}, {1: A})
    found = seen({1: A}, {1: (2.0, 0, 12, 20), 2: A})
    assert judge_tracks(truth, found).switches == 0


def test_nobody_there():
    scores = judge_tracks(seen({}, {}), seen({}, {}))
    assert (scores.mota, scores.idf1, scores.hota) == (1, 0, 0)


def drawn(seed, people=6, frames=60):
    """Draw people who walk, and tracks of them with gaps, errors, strangers and mixed numbers."""
    rng = np.random.default_rng(seed)
    start, step = rng.uniform(0, 300, (people, 2)), rng.normal(0, 2, (people, 2))
    number, truth, found = {p: p for p in range(people)}, [], []
    for frame in range(frames):
        left_top = start + frame * step
        boxes = np.concatenate([left_top, np.add(left_top, (30, 80))], axis=1)
        there = rng.random(people) < 0.9
        truth.append((np.flatnonzero(there), boxes[there]))
        for one, other in rng.integers(people, size=(1, 2)):
            if rng.random() < 0.1:
                number[one], number[other] = number[other], number[one]
            if rng.random() < 0.05:
                number[one] = max(number.values()) + 1
        seen = there & (rng.random(people) < 0.85)
        rows = boxes[seen] + rng.normal(0, 5, (seen.sum(), 4))
        names = [number[p] for p in np.flatnonzero(seen)]
        if rng.random() < 0.3:
            stranger = np.add(np.tile(rng.uniform(0, 300, (1, 2)), 2), (0, 0, 30, 80))
            rows, names = np.concatenate([rows, stranger]), [*names, 1000 + frame // 7]
        found.append((np.array(names, np.int64), rows))
    return truth, found


@pytest.mark.parametrize(
    ("seed", "wanted"),
    [
        (0, (0.746914, 0.653784, 0.447752, 7, 51, 24)),
        (3, (0.697531, 0.691928, 0.444026, 11, 64, 23)),
        (5, (0.693750, 0.467532, 0.320342, 18, 52, 28)),
        (7, (0.704819, 0.700475, 0.470627, 13, 59, 26)),
    ],
)
def test_drawn_tracks_are_judged_as_by_trackeval(seed, wanted):
    """MOTA, IDF1, HOTA, IDSW, FN and FP as TrackEval 1.3.0 (PyPI) gave them for these tracks."""
    scores = judge_tracks(*drawn(seed))
    counts = scores.switches, scores.missed, scores.false
    assert (scores.mota, scores.idf1, scores.hota, *counts) == pytest.approx(wanted, abs=1e-6)
