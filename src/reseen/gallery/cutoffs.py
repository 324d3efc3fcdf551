"""The thresholds from which a match is called same or maybe, computed from pairs in the gallery.

Three kinds of pairs show how similar different people are to the encoder: random pairs by two
cameras (nearly all show two people, and those that do not only make the thresholds stricter), pairs
of two named people, and pairs that cannot be one person. Each kind gives the lowest similarity at
which, with the given confidence, no more than the given share of pairs of different people match;
the lowest of these is used. Named people also give the highest similarity of a wrong pair, and the
threshold of same is kept above it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from reseen.errors import DataError, SettingsError, counted
from reseen.gallery.facts import Facts, cannot_be_one
from reseen.gallery.records import Cutoffs, Verdict
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows
from reseen.metrics.operating import (
    bound_threshold,
    measure_threshold,
    pairs_of_anybody,
    pairs_with_truth,
)

RATE = 1e-4
"""Default share of the pairs of different people that may be called same."""
TIMES = 10
"""How many times as many may be called maybe."""
PAIRS = 500_000
"""Number of pairs of each kind that are used; for the floor, all pairs of named people and pairs
that cannot be one person."""
LEAST_PEOPLE = 20
"""Number of named people, or tracklets, from which their pairs represent those of others."""
LEAST_HITS = 5
"""Number of different pairs of people among the matches, from which their share is reliable."""
WORST_RATE = 0.01
"""The largest rate that is promised if there are too few pairs for a better one."""
GUESS = 6.0, 4.6
"""Standard deviations of Fisher's z above the median of any two crops (the deviation is estimated
by quartiles, because few pairs show one person) at which 1 in 10,000 and 1 in 1,000 pairs of
different
people matched: 5.0 to 6.1 and 3.9 to 4.7 with two encoders on Market-half, plain and centred."""
PLAIN_GUESS = 0.8, 0.65
"""Thresholds of a gallery that is too small for a guess by its similarities."""
FEW = 45
"""Number of pairs, of ten crops, below which it is too small."""
RESAMPLES = 200
"""Number of bootstrap samples for a threshold, and for the interval of a rate."""


def verdict(similarities: np.ndarray, cutoffs: Cutoffs) -> list[Verdict]:
    """Return the verdict of each similarity (N,): same, maybe or unknown."""
    return [cutoffs.verdict(similarity) for similarity in np.asarray(similarities).tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The similarities of pairs in a gallery, from which thresholds are computed.

    Args:
        anybody: (A,) similarities of pairs from two cameras, whoever they show.
        across: whether two cameras are known; otherwise these are pairs of any two crops.
        same: (S,) similarities of pairs of one named person.
        same_groups: (S,) the person.
        different: (T,) similarities of pairs of two named people.
        different_groups: (T, 2) the two people.
        impossible: (I,) similarities of pairs that cannot be one person.
        impossible_groups: (I, 2) their tracklets, or empty (0, 2) if a tracklet is unknown.
    """

    anybody: np.ndarray
    across: bool
    same: np.ndarray
    same_groups: np.ndarray
    different: np.ndarray
    different_groups: np.ndarray
    impossible: np.ndarray
    impossible_groups: np.ndarray

    @property
    def kinds(self) -> dict[str, np.ndarray]:
        """The similarities of each kind of pairs that exists, by its name, for a figure."""
        pairs = {
            "any two crops": self.anybody,
            "two named people": self.different,
            "cannot be one person": self.impossible,
            "one named person": self.same,
        }
        return {name: similarities for name, similarities in pairs.items() if len(similarities)}


def gather_evidence(
    features: np.ndarray,
    facts: Facts,
    *,
    pairs: int = PAIRS,
    overlapping: bool = False,
) -> Evidence:
    """Draw the pairs from which thresholds are computed, with a fixed seed.

    Args:
        features: (N, D) unit rows.
        facts: of the N crops.
        pairs: number of pairs of each kind.
        overlapping: as in `cannot_be_one`.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
    """
    rows, rng = check_rows(features), np.random.default_rng(0)
    nothing = np.empty(0)
    across = len(np.unique(facts.cameras[facts.cameras >= 0])) > 1
    anybody = nothing
    if len(rows) > 1:
        distances, drawn = pairs_of_anybody(rows, facts.cameras if across else None, rng, pairs)
        one = [
            (column[drawn[:, 0]] == column[drawn[:, 1]]) & (column[drawn[:, 0]] >= 0)
            for column in (facts.people, facts.tracklets)
        ]
        anybody = 1 - distances[~np.any(one, axis=0)]
    same = same_groups = different = nothing
    different_groups = np.empty((0, 2), np.int64)
    try:
        known = pairs_with_truth(rows, facts.people, facts.cameras, rng, pairs)
    except DataError:  # no named person has two crops, or there are no two named people
        pass
    else:
        same, same_groups = 1 - known.same, known.same_groups
        different, different_groups = 1 - known.different, known.different_groups
    apart = cannot_be_one(facts, overlapping=overlapping)
    if len(apart) > pairs:
        apart = apart[np.sort(rng.choice(len(apart), pairs, replace=False))]
    groups = facts.tracklets[apart]
    return Evidence(
        *(anybody, across, same, same_groups, different, different_groups),
        impossible=_similarities(rows, apart),
        impossible_groups=groups if (groups >= 0).all() else groups[:0],
    )


def _similarities(rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    step = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
    parts = [pairs[i : i + step] for i in range(0, len(pairs), step)]
    found = [np.einsum("pd,pd->p", rows[p[:, 0]], rows[p[:, 1]], dtype=np.float64) for p in parts]
    return np.concatenate([np.empty(0), *found])


@dataclass(frozen=True, slots=True, eq=False)
class LeaveOneOut:
    """Searches for each crop of a named person among all other crops of named people.

    Args:
        own: (E,) the highest similarity to another crop of the person, not of the same tracklet;
            -inf if there is none.
        stranger: (E,) the highest similarity to somebody else, -inf if there is none.
        closest: the highest similarity of crops of two named people, or None.
        names: the two people.
        other: the highest similarity of a crop of a named person and one that is known to be
            somebody else without a name (ignored, denied, cannot be one person), or None.
    """

    own: np.ndarray
    stranger: np.ndarray
    closest: float | None
    names: tuple[str, str] | None
    other: float | None

    @property
    def floor(self) -> float | None:
        """The highest similarity of a wrong pair, or None if there is none."""
        return max((s for s in (self.closest, self.other) if s is not None), default=None)


def leave_one_out(
    features: np.ndarray,
    facts: Facts,
    *,
    overlapping: bool = False,
) -> LeaveOneOut:
    """Search for each crop of a named person among all others.

    Args:
        features: (N, D) unit rows.
        facts: of the N crops.
        overlapping: as in `cannot_be_one`.

    Raises:
        DataError: the rows are invalid (see `check_rows`).

    Memory: O(N) and a block of similarities. Time: E times the number of named and ignored crops.
    """
    rows, people = check_rows(features), facts.people
    named = np.flatnonzero(people >= 0)
    pool = np.flatnonzero((people >= 0) | facts.ignored)
    own, other = np.full((2, len(named)), -np.inf)
    best, by = np.full(len(named), -np.inf), np.zeros(len(named), np.int64)
    step = max(1, BLOCK_BYTES // (16 * max(1, len(pool))))
    for start in range(0, len(named), step):
        some, part = named[start : start + step], slice(start, start + step)
        similar = rows[some] @ rows[pool].T
        alike = people[some, None] == people[pool]
        one = (facts.tracklets[some, None] == facts.tracklets[pool]) & (facts.tracklets[pool] >= 0)
        one |= some[:, None] == pool
        own[part] = np.where(alike & ~one, similar, -np.inf).max(1)
        other[part] = np.where(people[pool] < 0, similar, -np.inf).max(1)
        others = np.where(~alike & (people[pool] >= 0), similar, -np.inf)
        by[part], best[part] = pool[others.argmax(1)], others.max(1)
    pairs = cannot_be_one(facts, overlapping=overlapping)
    pairs = pairs[(people[pairs] >= 0).any(1)]
    apart = _similarities(rows, pairs)
    place = np.full(len(rows), -1)
    place[named] = np.arange(len(named))
    for side in (place[pairs[:, 0]], place[pairs[:, 1]]):
        np.maximum.at(other, side[side >= 0], apart[side >= 0])
    highest, names = other.max(initial=-np.inf), None
    if (closest := best.max(initial=-np.inf)) > -np.inf:
        i = int(best.argmax())
        names = facts.names[people[named[i]]], facts.names[people[by[i]]]
    return LeaveOneOut(
        own=own,
        stranger=np.maximum(best, other),
        closest=float(closest) if names else None,
        names=names,
        other=float(highest) if highest > -np.inf else None,
    )


def calibrate(
    features: np.ndarray,
    facts: Facts,
    *,
    false_match_rate: float = RATE,
    confidence: float = 0.95,
    floor: bool = True,
    overlapping: bool = False,
) -> Cutoffs:
    """Compute the thresholds of a gallery.

    Args:
        features: (N, D) unit rows, as they are searched.
        facts: of the N crops.
        false_match_rate: share of the pairs of different people that may be called same, above 0
            and below 1; TIMES as many may be called maybe. This is a share of pairs: a search
            compares one picture with all N crops, and so with N times as many strangers.
        confidence: of this promise, above 0 and below 1.
        floor: keep `same` above every wrong pair of a named person that was seen. The more people
            have names, the stricter this is.
        overlapping: as in `cannot_be_one`.

    Returns:
        `Cutoffs` whose `source` says how they were computed and what is promised. If there are too
        few pairs for the rate, the lowest rate that they allow is promised; if that is above
        WORST_RATE the thresholds are a guess, and `source` says so. Its `numbers`, if known:
        `crops`, `pairs`, `false_match_rate`, `maybe_rate`, `confidence`, `strangers_same` and
        `strangers_maybe` (expected in a search of all crops, at most), `people`, `closest_people`,
        `highest_stranger`, for each threshold `misses_*` with `misses_*_low` and `_high` (pairs of
        one named person from two cameras that do not reach it), of searches for each crop of a
        named person `searches`, `found_*` and `stranger_*`, and `impossible`, `impossible_*` (pairs
        that cannot be one person, and the share that reaches a threshold).

    Raises:
        SettingsError: a setting is out of range.
        DataError: the rows are invalid (see `check_rows`).
    """
    if not 0 < false_match_rate < 1 or not 0 < confidence < 1:
        raise SettingsError(
            f"false_match_rate is {false_match_rate} and confidence is {confidence}. Use numbers "
            "between 0 and 1; 0.0001 is 1 pair in 10,000."
        )
    if len(features) == 0:
        return Cutoffs(*PLAIN_GUESS, f"Only a guess: there are no crops. {TO_CALIBRATE}")
    found = gather_evidence(features, facts, overlapping=overlapping)
    searched = leave_one_out(features, facts, overlapping=overlapping)
    count = int((~facts.ignored).sum())
    numbers: dict[str, float] = {"crops": count, "confidence": confidence}
    if told := _best(found, false_match_rate, confidence, len(facts.names)):
        same, maybe, rate, pairs, source = told
        numbers |= {"pairs": pairs, "false_match_rate": rate, "maybe_rate": _maybe_rate(rate)}
        strangers = count * rate, count * _maybe_rate(rate)
        numbers |= dict(zip(("strangers_same", "strangers_maybe"), strangers, strict=True))
        source += (
            f" A search of all {counted(count, 'crop')} returns on average at most "
            f"{_some(strangers[0])} strangers as same and {_some(strangers[1])} as maybe."
        )
    else:
        same, maybe, source = _guess(found.anybody, false_match_rate, confidence)
    if searched.floor is not None:
        names = len(np.unique(facts.people[facts.people >= 0]))
        numbers |= {"people": names}
        for name in ("closest", "other"):
            if (value := getattr(searched, name)) is not None:
                numbers[{"closest": "closest_people", "other": "highest_stranger"}[name]] = value
        if floor and same <= searched.floor:
            same = searched.floor + MARGIN
            source += (
                f" The threshold of same was raised to {same:.3f}, just above the similarity of "
                f"{_reached(searched, names)}."
            )
    numbers |= _measured(found, searched, same, maybe, confidence)
    return Cutoffs(float(same), float(min(maybe, same)), source, searched.floor, numbers)


def _best(
    found: Evidence, rate: float, confidence: float, names: int
) -> tuple[float, float, float, int, str] | None:
    """Return same, maybe, the rate that is promised, the number of pairs, and a sentence."""
    kinds: list[tuple[np.ndarray, np.ndarray | None, str]] = [
        (found.anybody, None, ACROSS if found.across else ANY),
        (found.different, found.different_groups, f"of {names} named people by two cameras"),
        (found.impossible, found.impossible_groups, "that cannot be one person"),
    ]
    kinds = [(s, g, what) for s, g, what in kinds if len(s) and (g is None or len(g))]
    each = 1 - (1 - confidence) / max(1, len(kinds))  # so that the best of several has `confidence`
    bounds = ((_bound(s, g, rate, each), s, g, what) for s, g, what in kinds)
    usable = [(bound, s, g, what) for bound, s, g, what in bounds if bound]
    if not usable:
        return None
    (told, same), similarities, groups, what = min(usable, key=lambda found: found[0])
    _, maybe = _bound(similarities, groups, _maybe_rate(told), each) or (told, same)
    asked = f" ({_one_in(rate)}, as requested, would need more pairs)" if told > rate else ""
    source = (
        f"Computed from {len(similarities):,} pairs {what}: with {confidence:.0%} confidence, at "
        f"most {_one_in(told)} pairs of different people is called same{asked} and at most "
        f"{_one_in(_maybe_rate(told))} is called maybe."
    )
    return same, maybe, told, len(similarities), source


def _bound(
    similarities: np.ndarray, groups: np.ndarray | None, rate: float, confidence: float
) -> tuple[float, float] | None:
    """Return the rate that can be promised, at least `rate`, and the similarity for it.

    Args:
        similarities: (P,).
        groups: (P, 2) the two people of each pair, None if pairs are drawn at random.
        rate: the wanted rate.
        confidence: of the promise.
    """
    least, order, place = 1, np.empty(0, np.int64), np.empty((0, 2), np.int64)
    if groups is not None:
        people, place = np.unique(groups, return_inverse=True)
        place = np.sort(place.reshape(-1, 2), axis=1)
        order = np.argsort(-similarities, kind="stable")
        _, first = np.unique(place[order] @ (len(people), 1), return_index=True)
        if len(people) < LEAST_PEOPLE or len(first) < LEAST_HITS:
            return None
        least = int(np.sort(first)[LEAST_HITS - 1]) + 1
    told = max(rate, float(gammaincinv(least + 1, confidence)) / max(1, len(similarities)))
    if told > max(rate, WORST_RATE):
        return None
    try:
        cut = 1 - bound_threshold(1 - similarities, told, confidence=confidence).distance
    except DataError:  # so many pairs have equal similarities that no threshold separates them
        return told, 1 + MARGIN
    if groups is not None:
        cut = max(cut, _over_people(similarities[order], place[order], told, confidence))
    return told, cut


def _over_people(
    similarities: np.ndarray, place: np.ndarray, rate: float, confidence: float
) -> float:
    """Return the similarity that would hold for other people of the same kind.

    People are resampled with replacement, and a pair counts as often as both of its people were
    drawn together (the pigeonhole bootstrap of `suggest_threshold`).

    Args:
        similarities: (P,) descending.
        place: (P, 2) the two people of each pair, 0..K-1.
        rate: share of the pairs that may match.
        confidence: share of the bootstrap samples for which it holds.
    """
    rng, people = np.random.default_rng(0), int(place.max()) + 1
    pairs = np.zeros((people, people))
    np.add.at(pairs, (place[:, 0], place[:, 1]), 1)
    near = place[: min(len(place), int(20 * rate * len(place)) + 1000)]
    cuts = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(people, size=people), minlength=people)
        share = np.cumsum(times[near].prod(1)) / max(1, times @ pairs @ times)
        barred = min(int(np.searchsorted(share, rate, "right")), len(near) - 1)
        cuts.append(similarities[barred])
    return float(np.quantile(cuts, confidence)) + 1e-9  # so that this pair itself does not match


def guess_cutoffs(features: np.ndarray) -> Cutoffs:
    """Guess thresholds from a few crops, for a gallery that was never calibrated.

    Args:
        features: (N, D) unit rows; all pairs of them are compared, so give a few hundred at most.
    """
    similarities = (features @ features.T)[np.triu_indices(len(features), 1)]
    return Cutoffs(*_guessed(similarities), NEVER)


NEVER = "Only a guess: this gallery has not been calibrated yet (reseen gallery calibrate)."


def _guessed(similarities: np.ndarray) -> tuple[float, float]:
    """Return thresholds as far above random pairs as was right for another data set."""
    if len(similarities) < FEW:
        return PLAIN_GUESS
    z = np.arctanh(np.clip(similarities, -0.999, 0.999))
    low, middle, high = np.quantile(z, (0.25, 0.5, 0.75))
    same, maybe = (float(np.tanh(middle + times * (high - low) / 1.349)) for times in GUESS)
    return same, maybe


def _guess(anybody: np.ndarray, rate: float, confidence: float) -> tuple[float, float, str]:
    needed = int(np.ceil(gammaincinv(2, confidence) / max(rate, WORST_RATE)))
    said = (
        f"Only a guess: calibration needs at least {needed:,} pairs of crops, but only "
        f"{len(anybody):,} can be compared"
    )
    if len(anybody) >= FEW:
        said += (
            ". The thresholds are as far above the similarity of random pairs as was right for "
            "another data set"
        )
    return *_guessed(anybody), f"{said}. {TO_CALIBRATE}"


def _measured(
    found: Evidence, searched: LeaveOneOut, same: float, maybe: float, confidence: float
) -> dict[str, float]:
    """Measure the effect of the thresholds, if it can be measured."""
    numbers: dict[str, float] = {}
    judged = searched.own > -np.inf
    numbers |= {"searches": int(judged.sum())} if judged.any() else {}
    numbers |= {"impossible": len(found.impossible)} if len(found.impossible) else {}
    for name, cut in (("same", same), ("maybe", maybe)):
        if len(found.same):
            at = measure_threshold(
                *(1 - cut, 1 - found.same, 1 - found.different),
                same_groups=found.same_groups,
                confidence=confidence,
                resamples=RESAMPLES,
            )
            numbers[f"misses_{name}"] = at.misses
            low, high = at.misses_range
            numbers |= {f"misses_{name}_low": low, f"misses_{name}_high": high}
        if judged.any():
            numbers[f"found_{name}"] = float((searched.own[judged] >= cut).mean())
            numbers[f"stranger_{name}"] = float((searched.stranger[judged] >= cut).mean())
        if len(found.impossible):
            numbers[f"impossible_{name}"] = float((found.impossible >= cut).mean())
    return numbers


def explain(cutoffs: Cutoffs) -> list[str]:
    """Describe thresholds and their measured effect in sentences."""
    n = cutoffs.numbers
    said = [cutoffs.source]
    if "closest_people" in n:
        said.append(
            f"The most similar two of {n['people']:.0f} named people have a similarity of "
            f"{n['closest_people']:.3f}."
        )
    if "highest_stranger" in n:
        said.append(
            "The highest similarity of a named person to a crop that is known to show somebody "
            f"else is {n['highest_stranger']:.3f}."
        )
    if "misses_same" in n:
        shares = (
            f"{n[f'misses_{cut}']:.0%} ({n[f'misses_{cut}_low']:.0%} to "
            f"{n[f'misses_{cut}_high']:.0%}) are below the threshold of {cut}"
            for cut in ("same", "maybe")
        )
        said.append(f"Of the pairs of one named person by two cameras, {', '.join(shares)}.")
    if "searches" in n:
        said.append(
            f"In searches for each of {n['searches']:,.0f} crops of named people, another crop of "
            f"the same person is called same in {n['found_same']:.0%} and at least maybe in "
            f"{n['found_maybe']:.0%} of the searches; a crop of somebody else in "
            f"{n['stranger_same']:.0%} and {n['stranger_maybe']:.0%}."
        )
    if "impossible" in n:
        said.append(
            f"Of {n['impossible']:,.0f} pairs that cannot be one person, "
            f"{n['impossible_same']:.2%} are called same and {n['impossible_maybe']:.2%} maybe."
        )
    return said


def _maybe_rate(rate: float) -> float:
    return min(TIMES * rate, 0.5)


def _one_in(rate: float) -> str:
    return f"1 in {1 / rate:,.0f}"


def _some(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _reached(searched: LeaveOneOut, names: int) -> str:
    """Say which pair has the highest wrong similarity."""
    if searched.names and searched.closest == searched.floor:
        return f"{' and '.join(searched.names)}, the most similar two of {names} named people"
    return "the stranger most similar to a named person"


MARGIN = 1e-4
"""How far `same` is above the floor, so that the pair at the floor does not reach it."""

ACROSS = "of random crops by two cameras"
ANY = "of random crops, as fewer than two cameras are known"
TO_CALIBRATE = "Add crops or name people, and calibrate again."
