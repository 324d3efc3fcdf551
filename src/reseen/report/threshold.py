"""Which distance means "the same person": how far pairs lie apart, and where to draw the line."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.metrics.operating import (
    OperatingCurve,
    Pairs,
    Threshold,
    operating_curve,
    pairs_with_truth,
    pairs_without_truth,
    suggest_threshold,
)
from reseen.records import JUNK, NOISE, PseudoLabels, cameras_of, people_of
from reseen.report.evidence import Evidence, Tested
from reseen.report.plotting import INK, PALETTE, add_legend, colours, new_figure, shortened, styled
from reseen.report.section import Section, charts, paragraph, under, unfinished
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE = 0.01
"""Share of the pairs of different people that may match, where nobody says."""

RATES = (0.1, 0.01, 0.001, 0.0001)
"""Those in the table, beside the wanted one and as far as there are pairs to tell them."""

RESAMPLES = 200
"""Draws of people for the range of a rate."""

BARS, POINTS = 60, 200
"""Bars of a histogram, and points of a curve: more of them cannot be told apart."""


def check_rate(rate: float) -> None:
    """Refuse a rate of false matches that is none.

    Raises:
        SettingsError: it is not above 0 and below 1.
    """
    if not 0 < rate < 1:
        raise SettingsError(
            f"false_match_rate is {rate}. Use a share above 0 and below 1: 0.01 is one in 100."
        )


def draw_pairs(run: Evidence) -> tuple[Pairs, str]:
    """Draw pairs of queries and gallery, else of training images; guess where nobody is known.

    Args:
        run: with an encoder.

    Returns:
        The pairs, and in words where they come from.

    Raises:
        DataError: nothing is known that would make pairs.
    """
    rng = np.random.default_rng(0)
    if run.searchable:
        tested = run.tested
        cameras = cameras_of(tested.images)
        pairs = pairs_with_truth(tested.features, asked_for(tested), cameras, rng)
        return pairs, origin(pairs, "queries and gallery", cameras)
    images, features, labels, _ = run.learnt
    people, cameras = people_of(images), cameras_of(images)
    if (people != JUNK).any():
        pairs = pairs_with_truth(features, people, cameras, rng)
        return pairs, origin(pairs, LEARNT, cameras)
    times = np.array([np.nan if image.time is None else image.time for image in images])
    labels = labels or PseudoLabels(np.full(len(images), NOISE))
    given = features, labels, cameras, times, rng
    pairs = pairs_without_truth(*given)
    if len(pairs.different) < FEW and labels.clusters > 1:
        pairs = pairs_without_truth(*given, different="clusters")
    return pairs, origin(pairs, LEARNT, cameras)


def asked_for(tested: Tested) -> np.ndarray:
    """Give who each image shows (M,), JUNK for people of whom there is no query.

    Benchmarks give distractors, who are many people, one number.
    """
    people = people_of(tested.images)
    return np.where(np.isin(people, people_of(tested.data.query)), people, JUNK)


def plot_distances(pairs: Pairs, threshold: Threshold | None = None) -> "Figure":
    """Draw how far pairs of the same person and of different people lie apart.

    Args:
        pairs: of both kinds.
        threshold: drawn as a line.
    """
    from matplotlib.ticker import PercentFormatter

    both = np.concatenate([pairs.same, pairs.different])
    edges = np.linspace(both.min(), both.max() + 1e-9, BARS + 1)
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(
            title="Distances of pairs", xlabel="distance, 1 - cos", ylabel="share of pairs"
        )
        for distances, name, colour in (
            (pairs.same, "the same person", PALETTE[0]),
            (pairs.different, "different people", PALETTE[1]),
        ):
            counts, _ = np.histogram(distances, edges)
            share = counts / len(distances)
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.5, label=name)
        if threshold:
            axes.axvline(threshold.distance, color=INK, linestyle="--", label="threshold")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        add_legend(figure, 3)
    return figure


def plot_operating(
    curves: Mapping[str, OperatingCurve], thresholds: Mapping[str, Threshold] | None = None
) -> "Figure":
    """Draw misses over false matches, which are on a log scale.

    Args:
        curves: title and curve of each run.
        thresholds: of some of these runs, drawn as dots.
    """
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    tints = colours(len(curves))
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(
            title="False matches against misses",
            xlabel="pairs of different people that match",
            ylabel="pairs of the same that do not",
        )
        for (title, curve), tint in zip(curves.items(), tints, strict=True):
            least = curve.false_matches[curve.false_matches > 0].min()
            rates = np.geomspace(least, 1, POINTS)
            axes.plot(rates, misses_at(curve, rates), color=tint, label=shortened([title])[0])
            found = (thresholds or {}).get(title)
            if found and found.false_matches:
                axes.plot(found.false_matches, found.misses, "o", color=tint, markersize=6)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set_ylim(-0.03, 1.03)
        if len(curves) > 1:
            add_legend(figure, 3)
    return figure


def misses_at(curve: OperatingCurve, rates: np.ndarray) -> np.ndarray:
    """Give the misses (R,) where at most `rates` (R,) of the pairs of different people match."""
    slack = rates * (1 + 1e-12)  # the last of a geometric series may lie just below its end
    return curve.misses[np.searchsorted(curve.false_matches, slack, "right") - 1]


def advice(found: Threshold) -> str:
    """Say what a threshold means to somebody who uses it."""
    (low, high), (least, most) = found.false_matches_range, found.misses_range
    return (
        f"Call two crops the same person where their distance is at most {found.distance:.3f}, "
        f"that is a similarity of {1 - found.distance:.3f} or more. Of 10,000 pairs of different "
        f"people about {_of(found.false_matches)} then match all the same (likely {_of(low)} to "
        f"{_of(high)}), and of 10,000 pairs of the same person about {_of(found.misses)} are "
        f"missed (likely {_of(least)} to {_of(most)}). Who is searched for among 10,000 crops of "
        f"others meets about {_of(found.false_matches)} false ones."
    )


def _of(share: float, among: int = 10_000) -> str:
    return f"{share * among:,.0f}"


def origin(pairs: Pairs, images: str, cameras: np.ndarray) -> str:
    """Say what pairs of some images come from, and which way a guess errs.

    Args:
        pairs: of the images.
        images: what they are, in words.
        cameras: (N,) of the images, -1 where unknown.
    """
    same, different = SAME[pairs.same_from], DIFFERENT[pairs.different_from]
    by = ALIKE if (cameras < 0).any() else "pairs by two cameras"
    return (
        f"From {images}. The same person: {len(pairs.same):,} {by}, {same} Different people: "
        f"{len(pairs.different):,} {different}"
    )


def suggest(pairs: Pairs, rate: float) -> Threshold:
    """Suggest a threshold at which at most a share of these pairs of different people match.

    Raises:
        DataError: the nearest pairs all lie at one distance.
        SettingsError: there are too few pairs to tell such a rate.
    """
    return suggest_threshold(
        pairs.same,
        pairs.different,
        rate,
        same_groups=pairs.same_groups,
        different_groups=pairs.different_groups,
        resamples=RESAMPLES,
    )


def table_of_thresholds(pairs: Mapping[str, Pairs], rates: Sequence[float]) -> list[list[Any]]:
    """Lay out the threshold of each run for each rate that its pairs can tell."""
    lines = []
    for title, of in pairs.items():
        for rate in rates:
            try:
                found = suggest(of, rate)
            except (DataError, SettingsError):
                continue
            ranges = *found.false_matches_range, found.misses, *found.misses_range
            numbers = (found.distance, found.false_matches, *ranges)
            lines.append([title, rate, *(round(number, 6) for number in numbers)])
    head = ["run", "wanted", "distance", "false_matches", "false_matches_low"]
    return [[*head, "false_matches_high", "misses", "misses_low", "misses_high"], *lines]


def show_threshold(
    runs: Sequence[Evidence], pictures: Thumbnails, *, rate: float = RATE
) -> Section:
    """Show how far pairs lie apart, and the threshold that a rate of false matches asks for."""
    title = "Distances and the threshold"
    waiting = unfinished(runs)
    runs = [run for run in runs if run.trained]
    pairs: dict[str, Pairs] = {}
    found: dict[str, Threshold] = {}
    html, drawn = "", {}
    for number, run in enumerate(runs, 1):
        said = ""
        try:
            pairs[run.title], source = draw_pairs(run)
            said += paragraph(source)
            found[run.title] = suggest(pairs[run.title], rate)
            said += f"<p><strong>{escape(advice(found[run.title]))}</strong></p>"
        except (DataError, SettingsError) as error:
            said += paragraph(f"No threshold can be told. {error}")
        html += under(run.title if len(runs) > 1 else "", said)
        if run.title in pairs:
            name = f"threshold-distances-{number}" if len(runs) > 1 else "threshold-distances"
            figure = plot_distances(pairs[run.title], found.get(run.title))
            about = "Each kind of pair adds up to 100%; where they overlap, errors cannot be helped"
            drawn[name] = figure, f"{run.title}. {about}." if len(runs) > 1 else f"{about}."
    if not pairs:
        return Section(title, html + waiting)
    curves = {name: operating_curve(of.same, of.different) for name, of in pairs.items()}
    errors = ", ".join(f"{curve.equal_error:.1%}" for curve in curves.values())
    guessed = any(of.same_from == "clusters" for of in pairs.values())
    lower = "Lower is better."
    if len(pairs) > 1 and guessed:
        lower = "Guessed pairs come from a run's own clusters: such curves cannot be compared."
    about = f"{lower} Both errors are equal at {errors}."
    about += " The dot is the threshold above." if found else ""
    drawn["threshold-operating"] = plot_operating(curves, found), about
    html = paragraph(ABOUT) + html + waiting + charts(drawn)
    tables = {"thresholds": table_of_thresholds(pairs, sorted({rate, *RATES}, reverse=True))}
    return Section(title, html, {name: figure for name, (figure, _) in drawn.items()}, tables)


ABOUT = (
    "A distance is 1 - cos of two vectors: 0 is the same, 1 has nothing in common. The range "
    "behind a number is what other people of the same kind would likely give, 95 times in 100. A "
    "threshold holds for this encoder and for cameras like these."
)

FEW = 1000
"""Fewer pairs of strangers than this tell too little: pairs of two clusters take their place."""

LEARNT = "training images, which this encoder has learnt from: others are harder to tell apart"

ALIKE = (
    "pairs, some maybe by one camera, as not all cameras are known (such pairs are nearer, so more "
    "are missed in truth)"
)

SAME = {
    "people": "of one person.",
    "clusters": "near the middle of one cluster. This is a guess: they are those that the encoder "
    "finds alike, so more are missed in truth.",
}
"""What pairs of the same person come from."""

DIFFERENT = {
    "people": "pairs of two people.",
    "strangers": "pairs of one camera at one time, who are two people if times are as fine as "
    "frames and nobody is boxed twice. They share background and light, so the threshold is then "
    "on the careful side.",
    "clusters": "pairs of two clusters. This is a guess: what the encoder mixes up is in one "
    "cluster, so more match falsely in truth.",
}
"""What pairs of different people come from."""
