"""Curves and ranges against the library, pairs against loops over all of them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import det_curve, roc_curve

from reseen.errors import DataError, SettingsError
from reseen.metrics.operating import (
    operating_curve,
    pairs_with_truth,
    pairs_without_truth,
    suggest_threshold,
)
from reseen.records import NOISE, PseudoLabels


def drawn(seed, same=40, different=60, levels=25):
    """Distances of few levels, so that many are equal."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, levels, same) / levels, draw.integers(5, levels + 5, different) / levels


def unit(n, size=6, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def as_set(pairs):
    listed = {tuple(sorted(pair)) for pair in pairs.tolist()}
    assert len(listed) == len(pairs)  # none twice
    return listed


@given(st.integers(0, 10_000), st.integers(1, 50), st.integers(1, 50))
@settings(deadline=None, max_examples=40)
def test_equals_the_curves_of_the_library(seed, n_same, n_different):
    same, different = drawn(seed, n_same, n_different)
    curve = operating_curve(same, different)
    is_same = np.repeat([1, 0], [n_same, n_different])
    score = -np.concatenate([same, different])
    false, right, thresholds = roc_curve(is_same, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.thresholds, -thresholds)
    np.testing.assert_allclose(curve.false_matches, false)
    np.testing.assert_allclose(curve.misses, 1 - right)
    false, missed, thresholds = det_curve(is_same, score)
    place = np.searchsorted(curve.thresholds, -thresholds)
    np.testing.assert_allclose(curve.false_matches[place], false)
    np.testing.assert_allclose(curve.misses[place], missed)


def test_a_curve_by_hand():
    curve = operating_curve(np.array([0.1, 0.3]), np.array([0.2, 0.3, 0.9]))
    assert curve.thresholds.tolist() == [-np.inf, 0.1, 0.2, 0.3, 0.9]
    np.testing.assert_allclose(curve.false_matches, np.array([0, 0, 1, 2, 3]) / 3)
    np.testing.assert_allclose(curve.misses, [1, 0.5, 0.5, 0, 0])
    assert curve.equal_error == pytest.approx((1 / 3 + 0.5) / 2)


@given(st.integers(0, 10_000), st.floats(0.02, 0.9))
@settings(deadline=None, max_examples=60)
def test_no_higher_threshold_keeps_the_rate(seed, rate):
    same, different = drawn(seed)
    try:
        found = suggest_threshold(same, different, rate)
    except DataError:
        nearest = (different == different.min()).mean()
        assert nearest > rate
        return
    assert found.false_matches == (different <= found.distance).mean() <= rate + 1e-9
    assert found.misses == (same > found.distance).mean()
    above = different[different > found.distance].min()
    assert (different <= above).mean() > rate
    for share, ends, n in (
        (found.false_matches, found.false_matches_range, len(different)),
        (found.misses, found.misses_range, len(same)),
    ):
        exact = binomtest(round(share * n), n).proportion_ci(0.95, "exact")
        assert ends == pytest.approx((exact.low, exact.high))
        assert ends[0] <= share <= ends[1]


def test_a_threshold_by_hand():
    """Two of ten may match: those at 0.1 and 0.2; the next is at 0.4."""
    different = np.array([0.9, 0.1, 0.8, 0.4, 0.2, 0.7, 0.7, 0.7, 0.6, 0.5], np.float32)
    found = suggest_threshold(np.array([0.1, 0.25, 0.31, 0.2]), different, 0.2)
    assert found.distance == pytest.approx(0.3)
    assert (found.false_matches, found.misses) == (0.2, 0.25)
    assert str(found).startswith(
        "distance 0.3000: 20.000% false matches (2.521% to 55.610%), 25.0%"
    )
    assert found.how == "95%, exact binomial"


def by_copies(hit, groups, resamples, rng):
    """Write every drawn person down as often as drawn, and every pair of two of these copies."""
    names = sorted({name for pair in groups for name in pair})
    shares = []
    for _ in range(resamples):
        copies = [names[i] for i in rng.integers(len(names), size=len(names))]
        right = count = 0
        for was_hit, pair in zip(hit, groups, strict=True):
            met = np.prod([sum(copy == name for copy in copies) for name in pair])
            count += met
            right += met * was_hit
        if count:
            shares.append(right / count)
    return np.quantile(shares, (0.025, 0.975))


def test_people_are_drawn_anew_as_a_loop_does():
    draw = np.random.default_rng(3)
    people = draw.normal(size=8)
    groups = np.array(list(combinations(range(10, 18), 2)) * 3)
    far = np.exp(people[groups - 10].sum(1)) + draw.random(len(groups))
    near_groups = np.repeat(np.arange(8), 5)
    near = np.exp(people[near_groups]) + draw.random(40)
    found = suggest_threshold(
        *(near, far, 0.3),
        same_groups=near_groups,
        different_groups=groups,
        resamples=60,
        rng=np.random.default_rng(7),
    )
    rng = np.random.default_rng(7)
    for ends, hit, of in (
        (found.false_matches_range, far <= found.distance, groups),
        (found.misses_range, near > found.distance, near_groups[:, None]),
    ):
        exact = binomtest(int(hit.sum()), len(hit)).proportion_ci()
        low, high = by_copies(hit, of.tolist(), 60, rng)
        assert (low, high) != (exact.low, exact.high)
        assert ends == pytest.approx((min(low, exact.low), max(high, exact.high)))
    assert "bootstrap" in found.how


def test_copies_of_pairs_make_no_range_narrower():
    """Forty people with a hundred equal pairs each tell as much as forty pairs."""
    far = np.arange(40) / 40
    once = suggest_threshold(far, far, 0.25)
    groups = np.repeat(np.arange(40), 100)
    many = suggest_threshold(
        *(np.repeat(far, 100), np.repeat(far, 100), 0.25),
        same_groups=groups,
        different_groups=np.stack([groups, 40 + groups], 1),
    )
    alone = suggest_threshold(np.repeat(far, 100), np.repeat(far, 100), 0.25)

    def width(ends):
        return ends[1] - ends[0]

    assert width(alone.misses_range) < 0.03
    assert width(many.misses_range) == pytest.approx(width(once.misses_range), rel=0.15)
    assert width(many.false_matches_range) > width(once.false_matches_range)


def test_ranges_hold_the_truth_where_people_are_seen_often():
    """A true 31.0 % lie beyond 0.7; of thirty people twenty pairs each are seen."""
    far, groups, inside = np.array([0.5, 0.9]), np.repeat(np.arange(30), 20), []
    for seed in range(150):
        draw = np.random.default_rng(seed)
        near = draw.normal(size=30)[groups] + draw.normal(size=600)
        options = dict(confidence=0.9, resamples=200)
        aware = suggest_threshold(near, far, 0.5, same_groups=groups, **options)
        blind = suggest_threshold(near, far, 0.5, **options)
        ranges = aware.misses_range, blind.misses_range
        inside.append([low <= norm.sf(0.7 / 2**0.5) <= high for low, high in ranges])
    aware, blind = np.mean(inside, axis=0)
    assert aware > 0.82 and blind < 0.7


def test_too_few_pairs_say_how_many_are_needed():
    same, different = drawn(0)
    with pytest.raises(
        SettingsError, match=r"one pair in 1,000, and there are only 60 .* 1,000 or"
    ):
        suggest_threshold(same, different, 1e-3)
    with pytest.raises(SettingsError, match=r"rate of 0\.017 or more"):
        suggest_threshold(same, different, 0.01)
    enough = np.linspace(0.5, 1, 1000)
    assert suggest_threshold(same, enough, 1e-3).false_matches == 1e-3


def test_what_cannot_be_measured_is_refused():
    same, different = drawn(0)
    with pytest.raises(DataError, match=r"21 nearest of 60 .* 0.5.*collapsed"):
        suggest_threshold(same, np.full(60, 0.5), 1 / 3)
    with pytest.raises(DataError, match="same has shape"):
        operating_curve(np.empty(0), different)
    with pytest.raises(DataError, match="different has shape"):
        suggest_threshold(same, np.array([0.1, np.nan]), 0.5)
    with pytest.raises(DataError, match="groups of 3 pairs for 60"):
        suggest_threshold(same, different, 0.5, different_groups=np.zeros((3, 2)))
    for wrong in (dict(false_match_rate=0), dict(confidence=1), dict(resamples=0)):
        with pytest.raises(SettingsError, match="give shares between 0 and 1"):
            suggest_threshold(same, different, **(dict(false_match_rate=0.5) | wrong))


def plain_pairs(n, alike, apart):
    """All pairs for which each of two questions has the answer yes."""
    every = list(combinations(range(n), 2))
    return {p for p in every if alike(*p)}, {p for p in every if apart(*p)}


def other(cameras, i, j):
    return cameras[i] != cameras[j] or cameras[i] < 0


@given(st.integers(2, 40), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_pairs_of_known_people_are_all_there_are(n, seed):
    draw = np.random.default_rng(seed)
    people, cameras = draw.integers(-1, 4, n), draw.integers(-1, 3, n)
    same, different = plain_pairs(
        n,
        lambda i, j: people[i] == people[j] >= 0 and other(cameras, i, j),
        lambda i, j: people[i] != people[j] and min(people[i], people[j]) >= 0,
    )
    rows = unit(n)
    if not same or not different:
        with pytest.raises(DataError, match="no pairs to measure"):
            pairs_with_truth(rows, people, cameras, draw)
        return
    found = pairs_with_truth(rows, people, cameras, draw)
    assert as_set(found.same_pairs) == same and as_set(found.different_pairs) == different
    assert (found.same_from, found.different_from) == ("people", "people")
    for distances, pairs in (
        (found.same, found.same_pairs),
        (found.different, found.different_pairs),
    ):
        expected = [1 - rows[i].astype(np.float64) @ rows[j] for i, j in pairs]
        np.testing.assert_allclose(distances, expected, atol=1e-7)
    np.testing.assert_array_equal(found.same_groups, people[found.same_pairs[:, 1]])
    np.testing.assert_array_equal(found.different_groups, people[found.different_pairs])
    few = pairs_with_truth(rows, people, cameras, draw, 3)
    assert as_set(few.same_pairs) <= same and len(few.same) == min(3, len(same))
    assert as_set(few.different_pairs) <= different and len(few.different) == min(3, len(different))


def test_every_pair_is_drawn_as_often():
    people = np.array([0] * 6 + [1] * 2 + [2] * 3)
    counts = {}
    for seed in range(2000):
        found = pairs_with_truth(unit(11), people, None, np.random.default_rng(seed), 4)
        for kind, pairs in (("same", found.same_pairs), ("different", found.different_pairs)):
            for pair in as_set(pairs):
                counts[kind, pair] = counts.get((kind, pair), 0) + 1
    for kind, total in (("same", 15 + 1 + 3), ("different", 12 + 18 + 6)):
        times = [count for (of, _), count in counts.items() if of == kind]
        assert len(times) == total
        np.testing.assert_allclose(times, 8000 / total, rtol=0.25)


def near_by_loop(rows, ids, near):
    kept = set()
    for cluster in set(ids.tolist()) - {NOISE}:
        members = np.flatnonzero(ids == cluster)
        centre = rows[members].astype(np.float64).mean(0)
        far = [float(np.linalg.norm(rows[i] - centre)) for i in members]
        count = max(2, int(np.ceil(near * len(members))))
        kept |= set(members[np.argsort(far)[:count]].tolist())
    return kept


@given(st.integers(6, 40), st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 1.0]))
@settings(deadline=None, max_examples=60)
def test_guessed_pairs_are_those_of_a_loop(n, seed, near):
    draw = np.random.default_rng(seed)
    ids = np.concatenate([[0, 1, 2], draw.integers(-1, 3, n - 3)])
    cameras, rows = draw.integers(-1, 3, n), unit(n, seed=seed)
    times = np.where(draw.random(n) < 0.2, np.nan, draw.integers(0, 3, n) / 2)
    kept = near_by_loop(rows, ids, near)
    same, strangers = plain_pairs(
        n,
        lambda i, j: {i, j} <= kept and ids[i] == ids[j] and other(cameras, i, j),
        lambda i, j: cameras[i] == cameras[j] >= 0 and times[i] == times[j],
    )
    _, clusters = plain_pairs(n, lambda i, j: 0, lambda i, j: -1 < ids[i] != ids[j] > -1)
    labels = PseudoLabels(ids)

    def pairs(**kind):
        return pairs_without_truth(rows, labels, cameras, times, draw, near=near, **kind)

    if not same:
        with pytest.raises(DataError, match="No cluster has images of two cameras"):
            pairs()
        return
    found = pairs()
    assert as_set(found.same_pairs) == same and found.same_from == "clusters"
    assert found.different_from == ("strangers" if strangers else "clusters")
    assert as_set(found.different_pairs) == (strangers or clusters)
    groups = np.where(ids < 0, 100 + np.arange(n), ids)[found.different_pairs]
    assert [a == b for a, b in groups] == [a == b for a, b in found.different_groups]
    assert as_set(pairs(different="clusters").different_pairs) == clusters
    if not strangers:
        with pytest.raises(DataError, match="No camera took two images at one time"):
            pairs(different="strangers")


def test_strangers_are_not_looked_for_where_no_times_exist():
    labels, cameras = PseudoLabels(np.array([0, 0, 1, 1, NOISE])), np.array([0, 1, 0, 1, 0])
    chance = np.random.default_rng(0)
    for times in (None, np.full(5, np.nan), np.arange(5.0)):
        found = pairs_without_truth(unit(5), labels, cameras, times, chance)
        assert found.different_from == "clusters" and len(found.different) == 4
    found = pairs_without_truth(unit(5), labels, cameras, np.array([3, 9, 3, 9.5, 3]), chance)
    assert as_set(found.different_pairs) == {(0, 2), (0, 4), (2, 4)}
    assert as_set(found.same_pairs) == {(0, 1), (2, 3)}
    assert len(np.unique(found.different_groups)) == 3  # noise is a group of its own


def test_guesses_that_cannot_be_made_are_refused():
    labels, chance = PseudoLabels(np.array([0, 0, 0])), np.random.default_rng(0)
    with pytest.raises(DataError, match="All is one cluster"):
        pairs_without_truth(unit(3), labels, None, None, chance)
    with pytest.raises(DataError, match="No cluster has images of two cameras"):
        pairs_without_truth(unit(3), labels, np.zeros(3), None, chance)
    with pytest.raises(DataError, match="No cluster"):
        pairs_without_truth(unit(3), PseudoLabels(np.full(3, NOISE)), None, None, chance)
    with pytest.raises(DataError, match=r"labels has shape \(3,\) for 4 images"):
        pairs_without_truth(unit(4), labels, None, None, chance)
    for wrong in (dict(near=0), dict(different="times")):
        with pytest.raises(SettingsError, match="auto, strangers, clusters"):
            pairs_without_truth(unit(3), labels, None, None, chance, **wrong)
