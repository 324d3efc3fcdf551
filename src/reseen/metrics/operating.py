"""Operating curves, thresholds with their uncertainty, and pairs to measure them.

Distances are those of search, 1 - cos, 0 to 2; a pair matches if its distance is at most the
threshold. Everything here works for any other distance as well.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.special import betainc, betaincinv, gammaincinv

from reseen.errors import DataError, SettingsError
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """The error rates of each threshold: false matches and misses.

    Args:
        thresholds: (T,) ascending: -inf, where nothing matches, then every distance that occurs.
        false_matches: (T,) share of pairs of different people that match, 0 to 1.
        misses: (T,) share of pairs of the same person that do not match, 1 to 0.
    """

    thresholds: np.ndarray
    false_matches: np.ndarray
    misses: np.ndarray

    @property
    def equal_error(self) -> float:
        """The equal error rate (EER): the mean of both rates where they differ least."""
        place = np.argmin(np.abs(self.false_matches - self.misses))
        return float(self.false_matches[place] + self.misses[place]) / 2


def operating_curve(same: np.ndarray, different: np.ndarray) -> OperatingCurve:
    """Compute false matches and misses at every threshold at which they change.

    Args:
        same: (S,) distances of pairs of the same person.
        different: (T,) distances of pairs of different people.

    Returns:
        An `OperatingCurve` of at most 1 + S + T points.

    Raises:
        DataError: there are no pairs of one kind, or a distance is not a finite number.

    Source: the detection error trade-off of Martin et al., The DET Curve in Assessment of Detection
    Task Performance, Eurospeech 1997. Memory: O(S + T).
    """
    same, different = _distances(same, "same"), _distances(different, "different")
    thresholds = np.concatenate([[-np.inf], np.union1d(same, different)])
    matched, false = (np.searchsorted(d, thresholds, "right") / len(d) for d in (same, different))
    return OperatingCurve(thresholds, false, 1 - matched)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A distance up to which two crops match, and its error rates.

    Args:
        distance: pairs at this distance or below match.
        false_matches: share of pairs of different people that match, on the pairs it was found on.
        false_matches_range: confidence interval of this share.
        misses: share of pairs of the same person that do not match.
        misses_range: confidence interval of this share.
        how: how the intervals were computed.
    """

    distance: float
    false_matches: float
    false_matches_range: tuple[float, float]
    misses: float
    misses_range: tuple[float, float]
    how: str

    def __str__(self) -> str:
        (low, high), (least, most) = self.false_matches_range, self.misses_range
        return (
            f"distance {self.distance:.4f}: {self.false_matches:.3%} false matches "
            f"({low:.3%} to {high:.3%}), {self.misses:.1%} misses ({least:.1%} to {most:.1%}; "
            f"{self.how})"
        )


def suggest_threshold(
    same: np.ndarray,
    different: np.ndarray,
    false_match_rate: float,
    *,
    same_groups: np.ndarray | None = None,
    different_groups: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    rng: np.random.Generator | None = None,
) -> Threshold:
    """Find the threshold at which at most a given share of the pairs of different people match.

    It is halfway between the farthest pair that may match and the next one. The rates are measured
    on the pairs that the threshold was chosen on, so they are slightly optimistic; the intervals
    treat the threshold as fixed. Pairs of one person are not independent, so if groups are given,
    people are resampled with replacement, and a pair counts as often as both of its people were
    drawn together. Each end of an interval is then the wider one of this bootstrap and of the exact
    binomial interval, which on its own is valid for independent pairs only.

    Args:
        same: (S,) distances of pairs of the same person.
        different: (T,) distances of pairs of different people.
        false_match_rate: the share of the latter that may match, above 0 and below 1.
        same_groups: (S,) the person or cluster of each pair.
        different_groups: (T, 2) the two people or clusters of each pair.
        confidence: of the intervals, above 0 and below 1.
        resamples: number of bootstrap samples.
        rng: random generator; a fixed seed if None.

    Raises:
        DataError: there are no pairs of one kind, a distance is not a finite number, groups do not
            fit, or the nearest pairs of different people have the same distance (a collapsed
            encoder).
        SettingsError: a setting is out of range, or there are too few pairs for this rate: one in
            1,000 takes 1,000 pairs, of which one then matches.

    Source: Clopper & Pearson, Biometrika 1934 (exact interval); Owen, The Pigeonhole Bootstrap,
    Annals of Applied Statistics 2007 (pairs of people). Memory: O(S + T).
    """
    if not 0 < false_match_rate < 1 or not 0 < confidence < 1 or resamples < 1:
        raise SettingsError(
            f"false_match_rate is {false_match_rate}, confidence is {confidence} and resamples is "
            f"{resamples}. Give shares between 0 and 1, and 1 or more resamples."
        )
    far = _distances(different, "different")
    needed = ceil(1 / false_match_rate)
    if len(far) < needed:
        raise SettingsError(
            f"false_match_rate is {false_match_rate:g}, one pair in {needed:,}, but there are only "
            f"{len(far):,} pairs of different people. Give {needed:,} or more, or use a rate of"
            f" {1 / len(far):.2g} or more."
        )
    distance = _place(far, int(false_match_rate * len(far) + 1e-9))
    return measure_threshold(
        distance,
        same,
        different,
        same_groups=same_groups,
        different_groups=different_groups,
        confidence=confidence,
        resamples=resamples,
        rng=rng,
    )


def measure_threshold(
    distance: float,
    same: np.ndarray,
    different: np.ndarray,
    *,
    same_groups: np.ndarray | None = None,
    different_groups: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    rng: np.random.Generator | None = None,
) -> Threshold:
    """Measure the error rates of a given threshold; arguments as in `suggest_threshold`.

    Raises:
        DataError: there are no pairs of one kind, a distance is not a finite number, or groups do
            not fit.
    """
    settings = confidence, resamples, rng or np.random.default_rng(0)
    _distances(same, "same")
    _distances(different, "different")
    false = np.asarray(different, np.float64) <= distance
    missed = np.asarray(same, np.float64) > distance
    how = "exact binomial"
    if same_groups is not None or different_groups is not None:
        how = "bootstrap over people or clusters, no narrower than exact binomial"
    return Threshold(
        distance=distance,
        false_matches=float(false.mean()),
        false_matches_range=_range(false, different_groups, *settings),
        misses=float(missed.mean()),
        misses_range=_range(missed, same_groups, *settings),
        how=f"{confidence:.0%}, {how}",
    )


@dataclass(frozen=True, slots=True)
class Bound:
    """A distance up to which two crops match, and an upper bound of its false matches.

    Args:
        distance: pairs at this distance or below match.
        false_matches: at most this share of the pairs of different people match.
        confidence: of this bound.
    """

    distance: float
    false_matches: float
    confidence: float

    def __str__(self) -> str:
        return (
            f"distance {self.distance:.4f}: at most {self.false_matches:.3%} false matches "
            f"({self.confidence:.0%}); misses unknown"
        )


def bound_threshold(
    anybody: np.ndarray, false_match_rate: float, *, confidence: float = 0.95
) -> Bound:
    """Find a threshold at which at most a share of pairs of different people match, without labels.

    A pair of the same person matches more often than a pair of different people. So among random
    pairs, the share that matches is at least that of the pairs of different people among them,
    which is therefore bounded without identities. The bound is tight if pairs of the same person
    are rare compared with the wanted share: with K people they are about one pair in K. How many
    pairs of the same person are missed cannot be measured on such pairs.

    Args:
        anybody: (P,) distances of pairs drawn at random, from `pairs_of_anybody`.
        false_match_rate: the share of pairs of different people that may match, above 0, below 1.
        confidence: that at most this share of all pairs, from which these are drawn, matches; above
            0 and below 1.

    Raises:
        DataError: there are no pairs, a distance is not a finite number, or the nearest pairs have
            the same distance (a collapsed encoder).
        SettingsError: a setting is out of range, or there are too few pairs for this rate: one in
            1,000 takes 4,744 pairs at a confidence of 0.95.

    Source: Clopper & Pearson, Biometrika 1934 (one-sided).
    """
    if not 0 < false_match_rate < 1 or not 0 < confidence < 1:
        raise SettingsError(
            f"false_match_rate is {false_match_rate} and confidence is {confidence}. Give shares "
            "between 0 and 1."
        )
    near = _distances(anybody, "anybody")
    hits = np.arange(len(near))
    # the probability of this many matches or fewer at the wanted rate
    chance = betainc(len(near) - hits, hits + 1, 1 - false_match_rate)
    allowed = int(np.searchsorted(chance, 1 - confidence, "right")) - 1
    if allowed < 1:
        needed = ceil(gammaincinv(2, confidence) / false_match_rate)  # Poisson, one may match
        raise SettingsError(
            f"false_match_rate is {false_match_rate:g}, for which a confidence of {confidence:g}"
            f" takes {needed:,} pairs, but there are only {len(near):,}. Give more, or use a "
            "higher rate."
        )
    return Bound(_place(near, allowed), false_match_rate, confidence)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Distances of pairs of the same person and of different people.

    Args:
        same: (S,) float64 distances, 1 - cos.
        same_pairs: (S, 2) int64 positions of the two images.
        same_groups: (S,) int64, the person.
        different: (T,) float64 distances.
        different_pairs: (T, 2) int64.
        different_groups: (T, 2) int64, the two people.
    """

    same: np.ndarray
    same_pairs: np.ndarray
    same_groups: np.ndarray
    different: np.ndarray
    different_pairs: np.ndarray
    different_groups: np.ndarray


def pairs_with_truth(
    features: np.ndarray,
    people: np.ndarray,
    cameras: np.ndarray | None,
    rng: np.random.Generator,
    pairs: int = 100_000,
    *,
    within: bool = False,
) -> Pairs:
    """Draw pairs of the same person and of two people, all from two cameras or all from one camera.

    Args:
        features: (N, D) unit rows.
        people: (N,) int; below 0 (JUNK, unknown) is left out.
        cameras: (N,) int, -1 if unknown; an unknown camera equals no other. None: all unknown.
        rng: random generator; each pair is drawn at most once.
        pairs: number of pairs of each kind; all pairs if there are fewer.
        within: whether both images of a pair are from the same known camera, or from two cameras.

    Raises:
        DataError: sizes do not fit, the rows are invalid (see `check_rows`), or there are no pairs.

    Memory: O(N + pairs) and two blocks of features; never all pairs of N, unless nearly all show
    one person.
    """
    rows, n = check_rows(features), len(features)
    people, cameras = _column(people, n, "people"), _cameras(cameras, n)
    known = np.flatnonzero(people >= 0)
    if within:
        order = known[np.lexsort((people[known], cameras[known]))]
        ends, camera_ends = _ends(cameras[order], people[order]), _ends(cameras[order])
        same = order[_draw(np.arange(len(order)) + 1, ends, rng, pairs)]
        different = order[_draw(ends, camera_ends, rng, pairs)]
    else:
        order = known[np.lexsort((cameras[known], people[known]))]
        ends, person_ends = _ends(people[order], cameras[order]), _ends(people[order])
        same = order[_draw(ends, person_ends, rng, pairs)]
        different = _unlike(known, people, cameras, rng, pairs)
    by = "by one camera" if within else "by two cameras"
    _need(same, f"No known person was seen {'twice ' * within}{by}")
    _need(different, f"There are no two known people who were seen {by}")
    return Pairs(
        same=_pair_distances(rows, same),
        same_pairs=same,
        same_groups=people[same[:, 0]],
        different=_pair_distances(rows, different),
        different_pairs=different,
        different_groups=people[different],
    )


def pairs_of_anybody(
    features: np.ndarray,
    cameras: np.ndarray | None,
    rng: np.random.Generator,
    pairs: int = 100_000,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw random pairs from two cameras, whoever they show.

    Args:
        features: (N, D) unit rows.
        cameras: (N,) int, -1 if unknown; an unknown camera equals no other. None: all unknown.
        rng: random generator; each pair is drawn at most once.
        pairs: number of pairs; all pairs if there are fewer.

    Returns:
        (P,) float64 distances, 1 - cos, and (P, 2) int64 positions of the two images.

    Raises:
        DataError: sizes do not fit, the rows are invalid (see `check_rows`), or there are no pairs.

    Memory: as `pairs_with_truth`.
    """
    rows, n = check_rows(features), len(features)
    found = _between(np.arange(n), _cameras(cameras, n), rng, pairs)
    _need(found, "All images are from one camera")
    return _pair_distances(rows, found), found


def pairs_at_once(
    features: np.ndarray,
    cameras: np.ndarray,
    times: np.ndarray,
    rng: np.random.Generator,
    pairs: int = 100_000,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs from one camera at the same time, which show two people.

    This is true if times are as fine as frames and the detector finds nobody twice. The pairs share
    background and light, so they say nothing about pairs from two cameras.

    Args:
        features: (N, D) unit rows.
        cameras: (N,) int; images with -1 (unknown) are left out.
        times: (N,) float in any unit; images with NaN (unknown) are left out.
        rng: random generator; each pair is drawn at most once.
        pairs: number of pairs; all pairs if there are fewer.

    Returns:
        (P,) float64 distances, 1 - cos, and (P, 2) int64 positions of the two images.

    Raises:
        DataError: sizes do not fit, the rows are invalid (see `check_rows`), or there are no pairs.

    Memory: as `pairs_with_truth`.
    """
    rows, n = check_rows(features), len(features)
    cameras, times = _column(cameras, n, "cameras"), _column(times, n, "times", np.float64)
    known = np.flatnonzero((cameras >= 0) & ~np.isnan(times))
    order = known[np.lexsort((times[known], cameras[known]))]
    ends = _ends(cameras[order], times[order])
    found = order[_draw(np.arange(len(order)) + 1, ends, rng, pairs)]
    _need(found, "No camera took two images at the same time")
    return _pair_distances(rows, found), found


def _between(known, groups, rng, count):
    """Draw pairs from two groups: in sorted order, the partners of a row are a range."""
    order = known[np.argsort(groups[known], kind="stable")]
    return order[_draw(_ends(groups[order]), len(order), rng, count)]


def _unlike(known, people, cameras, rng, count):
    """Draw pairs from two cameras and of two people: few pairs from two cameras show one person."""
    asked = 2 * count
    while True:
        drawn = _between(known, cameras, rng, asked)
        unlike = drawn[people[drawn[:, 0]] != people[drawn[:, 1]]]
        if len(unlike) >= count or len(drawn) < asked:
            return unlike[rng.permutation(len(unlike))[:count]]
        asked *= 2


def _ends(*columns: np.ndarray) -> np.ndarray:
    """Return for each row of sorted columns the end of the run of equal rows."""
    change = np.any([np.diff(column) != 0 for column in columns], axis=0)
    run = np.cumsum(np.concatenate([[0], change]))[: len(columns[0])]
    return np.searchsorted(run, run, "right")


def _draw(begin, end, rng, count):
    """Draw pairs (P, 2) of row i and a partner begin[i] .. end[i] - 1, none twice."""
    sizes = np.maximum(end - begin, 0)
    ends = np.cumsum(sizes)
    total = int(sizes.sum())
    picked = rng.choice(total, count, replace=False) if total > count else np.arange(total)
    i = np.searchsorted(ends, picked, "right")
    return np.stack([i, begin[i] + picked - (ends - sizes)[i]], 1)


def _pair_distances(rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Compute 1 - cos of pairs (P, 2) of rows, a block of pairs at a time."""
    step = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
    cosines = [
        np.einsum("pd,pd->p", *(rows[part[:, side]] for side in (0, 1)), dtype=np.float64)
        for part in np.split(pairs, range(step, len(pairs), step))
    ]
    return 1 - np.concatenate(cosines)


def _place(far: np.ndarray, allowed: int) -> float:
    """Return the threshold halfway between the `allowed`-th sorted distance and the next one."""
    barred = far[allowed]
    below = far[: np.searchsorted(far, barred)]
    if len(below) == 0:
        raise DataError(
            f"The {allowed + 1} nearest of {len(far)} pairs all have distance {barred:g}, so no "
            f"threshold lets {allowed} of them match. Check for a collapsed encoder, or for copies "
            "of pictures."
        )
    return float((below[-1] + barred) / 2)


def _range(hit, groups, confidence, resamples, rng):
    """Return the confidence interval of the share of `hit` (n,)."""
    tail, hits, n = (1 - confidence) / 2, int(hit.sum()), len(hit)
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0  # Clopper and Pearson
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    if groups is None:
        return low, high
    if len(groups) != n:
        raise DataError(f"There are groups for {len(groups)} pairs of {n}. Give all.")
    found, place = np.unique(groups, return_inverse=True)
    place = place.reshape(n, -1)
    shares = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(len(found), size=len(found)), minlength=len(found))
        weights = times[place].prod(1)
        if total := weights.sum():
            shares.append(weights[hit].sum() / total)
    ends = np.quantile(shares, (tail, 1 - tail)) if shares else (low, high)
    return min(low, float(ends[0])), max(high, float(ends[1]))


def _distances(values: np.ndarray, name: str) -> np.ndarray:
    """Return distances as float64, sorted."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise DataError(
            f"{name} has shape {values.shape}, or contains values that are not finite. Give the "
            "distances of at least one pair."
        )
    return np.sort(values)


def _column(values, n, name, kind: type = np.int64):
    if np.shape(values) != (n,):
        raise DataError(f"{name} has shape {np.shape(values)} for {n} images. Give ({n},).")
    return np.asarray(values, kind)


def _cameras(cameras, n):
    """Return cameras, with a different negative number for each unknown one."""
    cameras = np.full(n, -1) if cameras is None else _column(cameras, n, "cameras")
    return np.where(cameras < 0, -1 - np.arange(n), cameras)


def _need(pairs: np.ndarray, lack: str) -> None:
    if len(pairs) == 0:
        raise DataError(
            f"{lack}, so there are no pairs to measure. Check the people, clusters, cameras and "
            "times; if cameras are None, pairs from one camera count as well."
        )
