"""Curves and ranges against the library, pairs against loops over all of them."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import det_curve, roc_curve

from reseen.errors import DataError, SettingsError
from reseen.metrics.operating import (
    bound_threshold,
    measure_threshold,
    operating_curve,
    pairs_at_once,
    pairs_of_anybody,
    pairs_with_truth,
    suggest_threshold,
)


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
        SettingsError, match=r"one pair in 1,000, but there are only 60 .* 1,000 or"
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
    with pytest.raises(DataError, match="groups for 3 pairs of 60"):
        suggest_threshold(same, different, 0.5, different_groups=np.zeros((3, 2)))
    for wrong in (dict(false_match_rate=0), dict(confidence=1), dict(resamples=0)):
        with pytest.raises(SettingsError, match="Give shares between 0 and 1"):
            suggest_threshold(same, different, **(dict(false_match_rate=0.5) | wrong))


def plain_pairs(n, alike, apart):
    """All pairs for which each of two questions has the answer yes."""
    every = list(combinations(range(n), 2))
    return {p for p in every if alike(*p)}, {p for p in every if apart(*p)}


def other(cameras, i, j):
    return cameras[i] != cameras[j] or cameras[i] < 0


@pytest.mark.parametrize("within", [False, True])
@given(n=st.integers(2, 40), seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_pairs_of_known_people_are_all_there_are(within, n, seed):
    draw = np.random.default_rng(seed)
    people, cameras = draw.integers(-1, 4, n), draw.integers(-1, 3, n)

    def counts(i, j):
        return min(people[i], people[j]) >= 0 and within != other(cameras, i, j)

    same, different = plain_pairs(
        n,
        lambda i, j: counts(i, j) and people[i] == people[j],
        lambda i, j: counts(i, j) and people[i] != people[j],
    )
    rows = unit(n)
    if not same or not different:
        with pytest.raises(DataError, match="no pairs to measure"):
            pairs_with_truth(rows, people, cameras, draw, within=within)
        return
    found = pairs_with_truth(rows, people, cameras, draw, within=within)
    assert as_set(found.same_pairs) == same and as_set(found.different_pairs) == different
    for distances, pairs in (
        (found.same, found.same_pairs),
        (found.different, found.different_pairs),
    ):
        expected = [1 - rows[i].astype(np.float64) @ rows[j] for i, j in pairs]
        np.testing.assert_allclose(distances, expected, atol=1e-7)
    np.testing.assert_array_equal(found.same_groups, people[found.same_pairs[:, 1]])
    np.testing.assert_array_equal(found.different_groups, people[found.different_pairs])
    few = pairs_with_truth(rows, people, cameras, draw, 3, within=within)
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


@given(st.integers(2, 40), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_pairs_of_anybody_and_at_once_are_those_of_a_loop(n, seed):
    draw = np.random.default_rng(seed)
    cameras, rows = draw.integers(-1, 3, n), unit(n, seed=seed)
    times = np.where(draw.random(n) < 0.2, np.nan, draw.integers(0, 3, n) / 2)
    across, at_once = plain_pairs(
        n,
        lambda i, j: other(cameras, i, j),
        lambda i, j: not other(cameras, i, j) and times[i] == times[j],
    )
    for pairs, lack, find in (
        (across, "All images are from one camera", partial(pairs_of_anybody, rows, cameras)),
        (at_once, "No camera took two", partial(pairs_at_once, rows, cameras, times)),
    ):
        if not pairs:
            with pytest.raises(DataError, match=lack):
                find(draw)
            continue
        distances, found = find(draw)
        assert as_set(found) == pairs
        expected = [1 - rows[i].astype(np.float64) @ rows[j] for i, j in found]
        np.testing.assert_allclose(distances, expected, atol=1e-7)
        few = as_set(find(draw, 3)[1])
        assert few <= pairs and len(few) == min(3, len(pairs))


def test_times_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"times has shape \(3,\) for 4 images"):
        pairs_at_once(unit(4), np.zeros(4), np.zeros(3), np.random.default_rng(0))


def crowd(seed, people=50, views=5, size=8, spread=0.5):
    """Features of people by three cameras, who they are, and the cameras."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), views)
    rows = draw.normal(size=(people, size))[who] + spread * draw.normal(size=(len(who), size))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), who, draw.integers(0, 3, len(who))


@pytest.mark.parametrize("rate", [0.1, 0.02])
def test_the_bound_holds_whoever_is_who(rate):
    """Of the few pairs that are drawn some show one person, and nobody says which."""
    kept = []
    for seed in range(60):
        rows, who, cameras = crowd(seed)
        draw = np.random.default_rng(seed)
        found = bound_threshold(pairs_of_anybody(rows, cameras, draw, 800)[0], rate)
        truth = pairs_with_truth(rows, who, cameras, draw)
        at = measure_threshold(found.distance, truth.same, truth.different, resamples=1)
        kept.append(at.false_matches <= rate)
    assert np.mean(kept) >= 0.95


def test_the_bound_holds_as_often_as_it_says_where_no_pair_shows_one_person():
    kept = []
    for seed in range(400):
        far = np.random.default_rng(seed).random(500)
        found = bound_threshold(far, 0.1, confidence=0.9)
        kept.append(found.distance <= 0.1)  # the true rate is the distance
    assert 0.87 < np.mean(kept) < 0.97


@given(st.integers(3, 300), st.sampled_from([0.3, 0.05, 0.01]), st.sampled_from([0.5, 0.95]))
@settings(deadline=None, max_examples=60)
def test_the_bound_is_the_farthest_that_the_library_allows(n, rate, confidence):
    far = np.linspace(0.2, 0.9, n)
    below = [k for k in range(n) if binomtest(k, n, rate, "less").pvalue <= 1 - confidence]
    if below in ([], [0]):
        with pytest.raises(SettingsError, match=rf"takes [\d,]+ pairs, but there are only {n:,}"):
            bound_threshold(far, rate, confidence=confidence)
        return
    found = bound_threshold(far, rate, confidence=confidence)
    assert (far <= found.distance).sum() == below[-1]
    assert (found.false_matches, found.confidence) == (rate, confidence)
    assert "misses unknown" in str(found)


def test_bounds_that_cannot_be_told_are_refused():
    with pytest.raises(DataError, match=r"nearest of 600 .* 0\.5.*collapsed"):
        bound_threshold(np.full(600, 0.5), 0.1)
    with pytest.raises(SettingsError, match=r"0\.95 takes 4,744 pairs, but there are only 4,000"):
        bound_threshold(np.arange(4000.0), 0.001)
    assert bound_threshold(np.arange(4744.0), 0.001).distance == 0.5
    with pytest.raises(DataError, match="anybody has shape"):
        bound_threshold(np.empty(0), 0.1)
    for wrong in (dict(false_match_rate=1), dict(confidence=0)):
        with pytest.raises(SettingsError, match="Give shares between 0 and 1"):
            bound_threshold(np.arange(9.0), **(dict(false_match_rate=0.5) | wrong))
