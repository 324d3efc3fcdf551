from dataclasses import replace

import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.gallery.cutoffs import (
    MARGIN,
    PLAIN_GUESS,
    _over_people,
    calibrate,
    explain,
    gather_evidence,
    guess_cutoffs,
    leave_one_out,
    verdict,
)
from reseen.gallery.records import Cutoffs
from tests.gallery.people import facts, invented, named


def true_rates(rows, who, cameras, cutoffs):
    """Give the share of all pairs of two people by two cameras that reach each cut-off."""
    i, j = np.triu_indices(len(rows), 1)
    pairs = (who[i] != who[j]) & (cameras[i] != cameras[j])
    similar = (rows @ rows.T)[i[pairs], j[pairs]]
    return (similar >= cutoffs.same).mean(), (similar >= cutoffs.maybe).mean()


@pytest.mark.parametrize("names", [0, 40])
def test_the_promised_rates_hold(names):
    kept = []
    for seed in range(5):
        rows, who, cameras = invented(people=80, crops=4, seed=seed)
        known = named(who, names)
        given = facts(len(rows), cameras, names=known[0], people=known[1])
        cutoffs = calibrate(rows, given, false_match_rate=0.002)
        assert cutoffs.numbers["false_match_rate"] == 0.002
        others, them, theirs = invented(people=200, crops=4, seed=seed + 100)
        same, maybe = true_rates(others, them, theirs, cutoffs)
        kept.append(same <= 0.002 and maybe <= 0.02)
        assert maybe > 0.0005  # not by calling nobody anything
    assert sum(kept) >= 4


def test_names_give_sharper_cut_offs_than_pairs_of_anybody():
    rows, who, cameras = invented(people=40, crops=8, spread=0.7)
    names, people = named(who, 40)
    blind = calibrate(rows, facts(len(rows), cameras), false_match_rate=0.005)
    seen = calibrate(
        rows, facts(len(rows), cameras, names=names, people=people), false_match_rate=0.005
    )
    assert "40 named people" in seen.source and "random crops" in blind.source
    assert seen.maybe < blind.maybe
    assert true_rates(rows, who, cameras, seen)[1] <= 0.05


def test_pairs_that_cannot_be_one_are_evidence_where_their_tracklets_are_known():
    rows, who, _ = invented(people=40, crops=8, spread=0.8)
    n = len(rows)
    nth = np.array([(who[:i] == who[i]).sum() for i in range(n)])  # in frame k everybody's k-th
    given = facts(n, np.zeros(n, np.int64), frames=nth, tracklets=2 * who + nth // 4)
    cutoffs = calibrate(rows, given, false_match_rate=0.005)
    assert "cannot be one person" in cutoffs.source
    assert cutoffs.numbers["impossible_same"] <= 0.005
    blind = calibrate(rows, replace(given, tracklets=np.full(n, -1)), false_match_rate=0.005)
    assert "random crops" in blind.source


def test_what_is_known_to_be_one_person_is_not_drawn_as_anybody():
    rows, who, _ = invented(people=5, crops=6)
    n = len(rows)
    assert len(gather_evidence(rows, facts(n)).anybody) == n * (n - 1) / 2
    expected = n * (n - 1) / 2 - 5 * 15
    names, people = named(who, 5)
    for known in (dict(names=names, people=people), dict(tracklets=who)):
        assert len(gather_evidence(rows, facts(n, **known)).anybody) == expected


def test_leave_one_out_is_a_plain_loop():
    rows, who, cameras = invented(people=8, crops=4, seed=3)
    n = len(rows)
    names, people = named(who, 5)
    given = facts(
        n,
        cameras,
        names=names,
        people=people,
        tracklets=np.where(np.arange(n) % 3 == 0, who, -1),
        ignored=who == 6,
        denied=np.array([[int(np.flatnonzero(who == 7)[0]), 2]]),
    )
    found = leave_one_out(rows, given)
    own, strangers, closest, other = [], [], (-2.0, None), -2.0
    for i in np.flatnonzero(people >= 0):
        mine, theirs = [-np.inf], [-np.inf]
        for j in range(n):
            s = float(rows[i] @ rows[j])
            if people[j] == people[i] and i != j:
                if not given.tracklets[i] == given.tracklets[j] >= 0:
                    mine.append(s)
            elif people[j] >= 0 and i != j:
                theirs.append(s)
                closest = max(closest, (s, tuple(sorted((names[people[i]], names[people[j]])))))
            elif given.ignored[j] or (j == given.denied[0, 0] and people[i] == 2):
                theirs.append(s)
                other = max(other, s)
        own.append(max(mine))
        strangers.append(max(theirs))
    assert np.allclose(found.own, own, atol=1e-6)
    assert np.allclose(found.stranger, strangers, atol=1e-6)
    assert found.closest == pytest.approx(closest[0]) and found.other == pytest.approx(other)
    assert tuple(sorted(found.names)) == closest[1]
    assert found.floor == max(found.closest, found.other)


def test_same_is_never_below_the_floor_and_says_who_raised_it():
    rows, who, cameras = invented(people=60, crops=4)
    twin = np.flatnonzero(who == 1)[0]
    rows[twin] = rows[np.flatnonzero(who == 0)[0]] * 0.9 + rows[twin] * 0.1
    rows[twin] /= np.linalg.norm(rows[twin])
    names, people = named(who, 3)
    cutoffs = calibrate(
        rows, facts(len(rows), cameras, names=names, people=people), false_match_rate=0.01
    )
    assert cutoffs.floor is not None and cutoffs.floor > 0.95
    assert cutoffs.same == pytest.approx(cutoffs.floor + MARGIN)
    assert "P0 and P1" in cutoffs.source or "P1 and P0" in cutoffs.source
    assert cutoffs.maybe < cutoffs.floor  # that one is about a rate
    given = facts(len(rows), cameras, names=names, people=people)
    free = calibrate(rows, given, false_match_rate=0.01, floor=False)
    assert free.floor == cutoffs.floor > free.same and "raised" not in free.source
    stranger = facts(
        len(rows), cameras, names=names[:1], people=np.where(who == 0, 0, -1), ignored=who == 1
    )
    raised = calibrate(rows, stranger, false_match_rate=0.01)
    assert raised.same > 0.95 and "stranger most similar" in raised.source


def test_too_few_pairs_promise_what_they_can_and_then_only_guess():
    rows, _, cameras = invented(people=100, crops=1)
    few = calibrate(rows, facts(100, cameras))
    assert few.numbers["false_match_rate"] > 1e-4 and "takes more pairs" in few.source
    guess = calibrate(rows[:20], facts(20, cameras[:20]))
    assert "Only a guess" in guess.source and "false_match_rate" not in guess.numbers
    assert 0 < guess.maybe < guess.same < 1
    for n in (0, 1, 5):
        plain = calibrate(rows[:n], facts(n))
        assert (plain.same, plain.maybe) == PLAIN_GUESS and "guess" in plain.source


@pytest.mark.parametrize("shift", [0.0, 4.0])
def test_a_guess_follows_how_alike_all_crops_are(shift):
    rows, who, cameras = invented(people=60, crops=3, spread=0.7)
    rows[:, 0] += shift / 4  # an encoder to which all crops look alike
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    guess = guess_cutoffs(rows)
    same, maybe = true_rates(rows, who, cameras, guess)
    assert same <= maybe < 0.005 and (guess.maybe > 0.8) == (shift > 0)
    plain = guess_cutoffs(rows[:0])
    assert (plain.same, plain.maybe) == PLAIN_GUESS


def test_an_encoder_that_makes_all_crops_alike_matches_nobody():
    rows = np.tile(np.eye(8, dtype=np.float32)[0], (60, 1))
    assert verdict(np.array([1.0]), calibrate(rows, facts(60))) == ["unknown"]


def test_the_bootstrap_is_a_plain_loop():
    rng = np.random.default_rng(0)
    similar = np.sort(rng.random(400))[::-1]
    place = np.sort([rng.choice(12, 2, replace=False) for _ in range(400)], axis=1)
    draws, cuts = np.random.default_rng(0), []
    people = int(place.max()) + 1
    for _ in range(200):
        times = np.bincount(draws.integers(people, size=people), minlength=people)
        weights = [times[a] * times[b] for a, b in place]
        total, so_far = sum(weights), 0
        for s, weight in zip(similar, weights, strict=True):
            so_far += weight
            if so_far > 0.05 * total:
                cuts.append(s)
                break
    assert _over_people(similar, place, 0.05, 0.9) == pytest.approx(np.quantile(cuts, 0.9))


def test_explain_tells_what_was_measured():
    rows, who, cameras = invented(people=40, crops=6)
    names, people = named(who, 25)
    cutoffs = calibrate(
        rows,
        facts(len(rows), cameras, names=names, people=people, ignored=who == 30),
        false_match_rate=0.005,
    )
    said = " ".join(explain(cutoffs))
    for words in ("25 named people", "most similar two", "are below the threshold", "In searches"):
        assert words in said
    assert cutoffs.source in said
    n = cutoffs.numbers
    assert n["strangers_same"] == pytest.approx(n["crops"] * n["false_match_rate"])
    assert n["crops"] == 39 * 6 and n["misses_same"] >= n["misses_maybe"]


def test_verdicts_are_words():
    cutoffs = Cutoffs(0.8, 0.6, "")
    assert verdict(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), cutoffs) == [
        *("same", "same", "maybe", "maybe", "unknown")
    ]


@pytest.mark.parametrize("wrong", [dict(false_match_rate=0), dict(confidence=1.0)])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="shares between 0 and 1"):
        calibrate(np.eye(3, dtype=np.float32), facts(3), **wrong)
