import numpy as np
import pytest

from reseen.data.invented import film
from reseen.errors import SettingsError
from reseen.metrics.tracking import judge_tracks
from reseen.video.track import OverlapTracker, TrackSettings


def box(x, y=100.0, score=0.9, tall=100.0, wide=40.0):
    return (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2, score)


def follow(frames, settings=None, features=None, rate=5.0):
    """Give the tracks of each frame's boxes."""
    tracker, looks = OverlapTracker(settings), features or [None] * len(frames)
    return [
        tracker.update(np.array(boxes, float).reshape(-1, 5), i / rate, look).tolist()
        for i, (boxes, look) in enumerate(zip(frames, looks, strict=True))
    ]


def test_people_keep_their_numbers_when_they_cross():
    frames = [[box(100 + 20 * i), box(400 - 20 * i, 104)] for i in range(16)]
    assert follow(frames) == [[0, 1]] * 16


def test_somebody_hidden_for_a_second_is_found_where_expected():
    frames = [[box(100 + 15 * i)] if not 6 <= i < 11 else [] for i in range(16)]
    assert {n for ids in follow(frames) for n in ids} == {0}
    short = follow(frames, TrackSettings(patience=0.5))
    assert short[11] == [1]


def test_speed_matters_not_the_last_place_alone():
    """Each comes out where the other went in."""
    frames = []
    for i in range(20):
        hidden = 8 <= i < 12
        frames.append([box(100 + 20 * i, score=0.1 if hidden else 0.9), box(480 - 20 * i, 103)])
    ids = follow(frames)
    assert ids[0] == [0, 1] and ids[-1] == [0, 1]


def test_weak_boxes_go_on_but_do_not_begin():
    frames = [[box(100 + 10 * i, score=0.9 if i < 4 else 0.3)] for i in range(8)]
    assert follow(frames) == [[0]] * 8
    assert follow(frames[4:]) == [[-1]] * 4
    assert follow(frames, TrackSettings(weak_score=0.4))[5] == [-1]


def test_who_is_far_away_is_somebody_else():
    assert follow([[box(100)], [box(100)], [box(300)]]) == [[0], [0], [1]]


def test_looks_find_again_who_went_on_behind_something():
    """Out of the expected place: only looks tell who it is."""
    red, blue = np.eye(8)[0], np.eye(8)[1]
    frames = [[box(100 + 5 * i)] for i in range(6)] + [[]] * 4 + [[box(300)]]
    looks = [[red]] * 6 + [np.zeros((0, 8))] * 4
    same, other = ([np.array(f) for f in [*looks, [last]]] for last in (red, blue))
    assert follow(frames)[-1] == [1]
    assert follow(frames, features=same)[-1] == [0]
    assert follow(frames, features=other)[-1] == [1]
    frames[-1] = [box(700)]  # nobody walks that fast
    assert follow(frames, features=same)[-1] == [1]


def test_looks_decide_between_two_who_meet():
    red, blue = np.eye(8)[0], np.eye(8)[1]
    frames = [[box(100 + 20 * i), box(300 - 20 * i)] for i in range(5)]
    frames += [[box(185), box(215)]] * 3  # both stop and turn back
    frames += [[box(185 - 20 * i), box(215 + 20 * i)] for i in range(1, 5)]
    looks = [np.array([red, blue])] * len(frames)
    assert follow(frames, features=looks) == [[0, 1]] * len(frames)


def test_no_boxes_at_all():
    assert follow([[], []]) == [[], []]


@pytest.mark.parametrize("wrong", [dict(weak_score=0.6), dict(min_score=1.2), dict(patience=0.0)])
def test_settings_that_contradict(wrong):
    with pytest.raises(SettingsError, match="weak_score is"):
        TrackSettings(**wrong)


def test_invented_people_are_followed_through_errors_of_a_detector():
    """Boxes that shake, are missed and are invented; who is hidden by more than 0.7 is missed."""
    truth, found = [], []
    for camera in (1, 2):
        frames = film(people=(1, 2, 3), camera=camera, seconds=6, rate=5, height=36, width=48)
        rng, tracker = np.random.default_rng(camera), OverlapTracker()
        for i, frame in enumerate(frames):
            seen = frame.hidden < 0.7
            people, boxes = frame.people[seen], frame.boxes[seen]
            sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
            shaken = boxes + 0.04 * sides * rng.normal(size=boxes.shape)
            given = np.column_stack([shaken, 0.95 - frame.hidden[seen]])
            given = given[rng.random(len(given)) > 0.05]
            if rng.random() < 0.1:
                given = np.vstack([given, box(24, 18, 0.4, 16, 6)])
            ids = tracker.update(given, i / 5)
            truth.append((people + 100 * camera, boxes))
            found.append((ids[ids >= 0] + 100 * camera, given[ids >= 0, :4]))
    scores = judge_tracks(truth, found)
    assert scores.purity > 0.9 and scores.completeness > 0.75 and scores.idf1 > 0.8, scores
