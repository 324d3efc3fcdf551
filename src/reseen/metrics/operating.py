"""Which distance means "the same person": operating curves, and thresholds with their doubt.

Distances are those of search, 1 - cos, 0 to 2; a pair matches when its distance is at most the
threshold. Everything here holds for any other distance as well.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.special import betaincinv

from reseen.errors import DataError, SettingsError
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows
from reseen.records import NOISE, PseudoLabels

DIFFERENT = ("auto", "strangers", "clusters")


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """What each threshold costs: false matches against misses.

    Args:
        thresholds: (T,) rising: -inf, where nothing matches, then every distance that occurs.
        false_matches: (T,) share of pairs of different people that match, 0 to 1.
        misses: (T,) share of pairs of the same person that do not match, 1 to 0.
    """

    thresholds: np.ndarray
    false_matches: np.ndarray
    misses: np.ndarray

    @property
    def equal_error(self) -> float:
        """The rate where both errors are nearest to each other (EER), their mean there."""
        place = np.argmin(np.abs(self.false_matches - self.misses))
        return float(self.false_matches[place] + self.misses[place]) / 2


def operating_curve(same: np.ndarray, different: np.ndarray) -> OperatingCurve:
    """Tell false matches and misses at every threshold that makes a difference.

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
    """A distance up to which two crops are called the same person, and how often that is wrong.

    Args:
        distance: pairs at this distance or below match.
        false_matches: share of pairs of different people that match, on the pairs it was found on.
        false_matches_range: lowest and highest share that agree with these pairs.
        misses: share of pairs of the same person that do not match.
        misses_range: likewise.
        how: what the ranges come from.
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
    """Find the threshold that lets at most a share of the pairs of different people match.

    It stands halfway between the farthest pair that may match and the next one. The rates there are
    those of the pairs it was chosen on, so they are a little too good; the ranges take the
    threshold as given. Pairs of one person are not independent, so where groups are given, people
    are drawn anew with replacement, a pair counting as often as both of its people were drawn
    together; an end of a range is then the farther one of that and of the exact binomial range,
    which alone is meant for independent pairs.

    Args:
        same: (S,) distances of pairs of the same person.
        different: (T,) distances of pairs of different people.
        false_match_rate: the share of the latter that may match, above 0 and below 1.
        same_groups: (S,) the person or cluster of each pair.
        different_groups: (T, 2) the two people or clusters of each pair.
        confidence: of the ranges, above 0 and below 1.
        resamples: how often people are drawn anew.
        rng: draws them; always the same if None.

    Raises:
        DataError: there are no pairs of one kind, a distance is not a finite number, groups do not
            fit, or the nearest pairs of different people lie at one distance (a collapsed encoder).
        SettingsError: a setting is out of range, or there are too few pairs to tell such a rate:
            one in 1,000 takes 1,000 pairs, of which then one matches.

    Source: Clopper & Pearson, Biometrika 1934 (exact range); Owen, The Pigeonhole Bootstrap, Annals
    of Applied Statistics 2007 (pairs of people). Memory: O(S + T).
    """
    if not 0 < false_match_rate < 1 or not 0 < confidence < 1 or resamples < 1:
        raise SettingsError(
            f"false_match_rate is {false_match_rate}, confidence is {confidence} and resamples is "
            f"{resamples}: give shares between 0 and 1, and 1 or more."
        )
    far = _distances(different, "different")
    _distances(same, "same")
    needed = ceil(1 / false_match_rate)
    if len(far) < needed:
        raise SettingsError(
            f"false_match_rate is {false_match_rate:g}, one pair in {needed:,}, and there are only "
            f"{len(far):,} pairs of different people: give {needed:,} or more, or ask for a rate of"
            f" {1 / len(far):.2g} or more."
        )
    allowed = int(false_match_rate * len(far) + 1e-9)
    barred = far[allowed]
    below = far[: np.searchsorted(far, barred)]
    if len(below) == 0:
        raise DataError(
            f"The {allowed + 1} nearest of {len(far)} pairs of different people all lie at distance"
            f" {barred:g}, so no threshold lets {false_match_rate:g} of them match: look for a "
            "collapsed encoder, or for copies of pictures."
        )
    distance = float((below[-1] + barred) / 2)
    rng = rng or np.random.default_rng(0)
    settings = confidence, resamples, rng
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
class Pairs:
    """Distances of pairs of the same person and of different people, and how they are known.

    Args:
        same: (S,) float64 distances, 1 - cos.
        same_pairs: (S, 2) int64 positions of the two images.
        same_groups: (S,) int64, the person or cluster.
        same_from: `people`, or `clusters` where they are a guess.
        different: (T,) float64 distances.
        different_pairs: (T, 2) int64.
        different_groups: (T, 2) int64; an image in no cluster is a group of its own.
        different_from: `people`; `strangers`, two images of one camera at one time; or `clusters`,
            a guess.
    """

    same: np.ndarray
    same_pairs: np.ndarray
    same_groups: np.ndarray
    same_from: str
    different: np.ndarray
    different_pairs: np.ndarray
    different_groups: np.ndarray
    different_from: str


def pairs_with_truth(
    features: np.ndarray,
    people: np.ndarray,
    cameras: np.ndarray | None,
    rng: np.random.Generator,
    pairs: int = 100_000,
) -> Pairs:
    """Draw pairs of the same person by two cameras, and of two people by any.

    Args:
        features: (N, D) unit rows.
        people: (N,) int; below 0 (JUNK, unknown) is left out.
        cameras: (N,) int, -1 where unknown; an unknown camera equals no other. None: all unknown.
        rng: draws pairs, each at most once.
        pairs: of each kind; all there are where that is fewer.

    Raises:
        DataError: sizes do not fit, rows are unusable (see `check_rows`), or there are no pairs.

    Memory: O(N + pairs) and two blocks of features; never all pairs of N.
    """
    rows, n = check_rows(features), len(features)
    people, cameras = _column(people, n, "people"), _cameras(cameras, n)
    known = np.flatnonzero(people >= 0)
    same = _within(known, people, cameras, rng, pairs)
    different = _between(known, people, rng, pairs)
    _need(same, "No person is known to be seen by two cameras")
    _need(different, "There are not two people known")
    return _measured(rows, people, (same, "people"), (different, "people"))


def pairs_without_truth(
    features: np.ndarray,
    labels: PseudoLabels,
    cameras: np.ndarray | None,
    times: np.ndarray | None,
    rng: np.random.Generator,
    pairs: int = 100_000,
    *,
    near: float = 0.5,
    different: str = "auto",
) -> Pairs:
    """Guess pairs of the same person and of different people where nobody is known.

    What is a guess: that images of one cluster, by two cameras and near its centre, show one
    person. They are those that the encoder finds alike already, so real misses are more, unless
    clusters hold several people.

    What is no guess: that two images of one camera at one time show two people, as long as time
    stamps are as fine as frames and a detector does not box somebody twice. They share background
    and light, so they may be nearer to each other than strangers of two cameras: a threshold from
    them is on the careful side.

    Where there are none, pairs of different clusters are taken, a guess as well: a person spread
    over two clusters counts as different, and by making the clusters the encoder has kept what it
    mixes up out of these pairs, so real false matches are more.

    Args:
        features: (N, D) unit rows.
        labels: pseudo-labels of N images.
        cameras: (N,) int, -1 where unknown; an unknown camera equals no other. None: all unknown.
        times: (N,) float in any unit, NaN where unknown, or None.
        rng: draws pairs, each at most once.
        pairs: of each kind; all there are where that is fewer.
        near: the share of a cluster's images, those nearest its centre, at least two, that may make
            pairs of the same person, above 0, at most 1.
        different: strangers, clusters, or auto: strangers where there are any.

    Returns:
        `Pairs`, which say what they come from. Not labelled images are only in pairs of strangers.

    Raises:
        DataError: sizes do not fit, rows are unusable (see `check_rows`), or there are no pairs.
        SettingsError: near is out of range, or there is no such kind.

    Memory: as `pairs_with_truth`.
    """
    if not 0 < near <= 1 or different not in DIFFERENT:
        raise SettingsError(
            f"near is {near} and different is {different!r}. Use a share above 0, at most 1, and "
            f"one of: {', '.join(DIFFERENT)}."
        )
    rows, n = check_rows(features), len(features)
    ids, cameras = _column(labels.ids, n, "labels"), _cameras(cameras, n)
    same = _within(_near_centres(rows, labels, near), ids, cameras, rng, pairs)
    _need(same, "No cluster has images of two cameras")
    apart = np.empty((0, 2), np.int64)
    if times is not None and different != "clusters":
        times = _column(times, n, "times", np.float64)
        timed = np.flatnonzero((cameras >= 0) & ~np.isnan(times))
        apart = _at_once(timed, cameras, times, rng, pairs)
    if different == "auto":
        different = "strangers" if len(apart) else "clusters"
    if different == "clusters":
        apart = _between(np.flatnonzero(ids != NOISE), ids, rng, pairs)
    lack = {"strangers": "No camera took two images at one time", "clusters": "All is one cluster"}
    _need(apart, lack[different])
    groups = np.where(ids == NOISE, labels.clusters + np.arange(n), ids)
    return _measured(rows, groups, (same, "clusters"), (apart, different))


def _within(known, groups, cameras, rng, count):
    """Draw pairs of one group and two cameras: sorted by both, a row's partners are a range."""
    order = known[np.lexsort((cameras[known], groups[known]))]
    group, camera = groups[order], cameras[order]
    return order[_draw(_ends(group, camera), _ends(group), rng, count)]


def _between(known, groups, rng, count):
    """Draw pairs of two groups."""
    order = known[np.argsort(groups[known], kind="stable")]
    return order[_draw(_ends(groups[order]), len(order), rng, count)]


def _at_once(known, cameras, times, rng, count):
    """Draw pairs of one camera and one time."""
    order = known[np.lexsort((times[known], cameras[known]))]
    return order[_draw(np.arange(len(order)) + 1, _ends(cameras[order], times[order]), rng, count)]


def _ends(*columns: np.ndarray) -> np.ndarray:
    """Give for each row of some sorted columns where the run of its equals ends."""
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


def _near_centres(rows, labels, near):
    """Positions of the images that are among the nearest to the centre of their cluster."""
    ids, k = labels.ids, labels.clusters
    members = np.flatnonzero(ids != NOISE)
    members = members[np.argsort(ids[members], kind="stable")]
    if not k:
        return members
    group = ids[members]
    starts = np.searchsorted(group, np.arange(k))
    centres = np.add.reduceat(rows[members], starts, axis=0, dtype=np.float64)
    cosine = np.einsum("nd,nd->n", rows[members], centres[group].astype(np.float32))
    order = np.lexsort((-cosine, group))
    kept = np.maximum(2, np.ceil(near * np.bincount(group)))
    return members[order[np.arange(len(group)) - starts[group] < kept[group]]]


def _measured(rows, groups, same, different):
    (near, near_from), (far, far_from) = same, different
    return Pairs(
        same=_pair_distances(rows, near),
        same_pairs=near,
        same_groups=groups[near[:, 0]],
        same_from=near_from,
        different=_pair_distances(rows, far),
        different_pairs=far,
        different_groups=groups[far],
        different_from=far_from,
    )


def _pair_distances(rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Give 1 - cos of pairs (P, 2) of rows, a block of pairs at a time."""
    step = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
    cosines = [
        np.einsum("pd,pd->p", *(rows[part[:, side]] for side in (0, 1)), dtype=np.float64)
        for part in np.split(pairs, range(step, len(pairs), step))
    ]
    return 1 - np.concatenate(cosines)


def _range(hit, groups, confidence, resamples, rng):
    """Give the lowest and highest share that agree with what was hit (n,)."""
    tail, hits, n = (1 - confidence) / 2, int(hit.sum()), len(hit)
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0  # Clopper and Pearson
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    if groups is None:
        return low, high
    if len(groups) != n:
        raise DataError(f"There are groups of {len(groups)} pairs for {n}: give all.")
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
    """Give distances in float64, sorted."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise DataError(
            f"{name} has shape {values.shape}, or holds what is no finite number: give the "
            "distances of one pair or more."
        )
    return np.sort(values)


def _column(values, n, name, kind: type = np.int64):
    if np.shape(values) != (n,):
        raise DataError(f"{name} has shape {np.shape(values)} for {n} images; ({n},) is needed.")
    return np.asarray(values, kind)


def _cameras(cameras, n):
    """Give cameras, each unknown one a number below 0 of its own."""
    cameras = np.full(n, -1) if cameras is None else _column(cameras, n, "cameras")
    return np.where(cameras < 0, -1 - np.arange(n), cameras)


def _need(pairs: np.ndarray, lack: str) -> None:
    if len(pairs) == 0:
        raise DataError(
            f"{lack}, so there are no pairs to measure. Check what is known of people, clusters, "
            "cameras and times; where cameras are None, pairs of one camera count as the same too."
        )
