"""The distances of pairs, and the error rates of a threshold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.metrics.operating import (
    Bound,
    OperatingCurve,
    Pairs,
    Threshold,
    bound_threshold,
    measure_threshold,
    operating_curve,
    pairs_at_once,
    pairs_of_anybody,
    pairs_with_truth,
    suggest_threshold,
)
from reseen.records import JUNK, cameras_of, people_of
from reseen.report.evidence import Evidence, Tested
from reseen.report.plotting import INK, PALETTE, add_legend, colours, new_figure, shortened, styled
from reseen.report.section import Section, charts, paragraph, under, unfinished
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE = 0.01
"""Default share of the pairs of different people that may match."""

RATES = (0.1, 0.01, 0.001, 0.0001)
"""Rates in the table in addition to the given one, if there are enough pairs for them."""

RESAMPLES = 200
"""Number of bootstrap samples for the interval of a rate."""

BARS, POINTS = 60, 200
"""Number of bars of a histogram, and of points of a curve: more cannot be distinguished."""


def check_rate(rate: float) -> None:
    """Refuse an invalid rate of false matches.

    Raises:
        SettingsError: it is not above 0 and below 1.
    """
    if not 0 < rate < 1:
        raise SettingsError(
            f"false_match_rate is {rate}. Use a share above 0 and below 1: 0.01 is one in 100."
        )


@dataclass(frozen=True, slots=True)
class Known:
    """Pairs of known people.

    Args:
        source: description of where the pairs come from.
        across: pairs from two cameras, which a search compares.
        within: pairs from one camera, or None if there are none.
    """

    source: str
    across: Pairs
    within: Pairs | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Pairs of images of unknown people.

    Args:
        source: description of where the pairs come from.
        anybody: (P,) distances of pairs from two cameras, whoever they show.
        at_once: (T,) distances of pairs from one camera at the same time.
    """

    source: str
    anybody: np.ndarray
    at_once: np.ndarray


def draw_pairs(run: Evidence) -> Known | Unknown:
    """Draw pairs from queries and gallery, or else from the training images.

    Args:
        run: with an encoder.

    Raises:
        DataError: there are no such pairs.
    """
    rng = np.random.default_rng(0)
    training = "training images" if run.shipped else LEARNT
    if run.searchable:
        images, features, source = run.tested.images, run.tested.features, "queries and gallery"
        people = asked_for(run.tested)
        if run.data and {i.path for i in images} <= {i.path for i in run.data.train}:
            source = training
    else:
        images, features, source = run.learnt.images, run.learnt.features, training
        people = people_of(images)
    cameras = cameras_of(images)
    by = ALIKE if (cameras < 0).any() else "by two cameras"
    if (people != JUNK).any():
        across = pairs_with_truth(features, people, cameras, rng)
        same, different = len(across.same), len(across.different)
        pairs = f"{same:,} pairs of the same person and {different:,} of different people"
        within = _or_none(pairs_with_truth, features, people, cameras, rng, within=True)
        return Known(f"From {source}: {pairs}, {by}.", across, within)
    anybody, _ = pairs_of_anybody(features, cameras, rng)
    times = np.array([np.nan if image.time is None else image.time for image in images])
    at_once = _or_none(pairs_at_once, features, cameras, times, rng)
    return Unknown(
        f"From {source}: {len(anybody):,} random pairs {by}. {MIXED}",
        anybody,
        at_once[0] if at_once else np.empty(0),
    )


def _or_none(draw: Callable[..., Any], *given: Any, **settings: Any) -> Any:
    try:
        return draw(*given, **settings)
    except DataError:
        return None


def asked_for(tested: Tested) -> np.ndarray:
    """Return the person on each image (M,), or JUNK for people without a query.

    Benchmarks give all distractors, who are many people, the same number.
    """
    people = people_of(tested.images)
    return np.where(np.isin(people, people_of(tested.data.query)), people, JUNK)


def plot_distances(kinds: Mapping[str, np.ndarray], distance: float | None = None) -> "Figure":
    """Plot the distances of pairs.

    Args:
        kinds: name and distances of each kind of pairs.
        distance: the threshold, plotted as a line.
    """
    from matplotlib.ticker import PercentFormatter

    every = np.concatenate(list(kinds.values()))
    edges = np.linspace(every.min(), every.max() + 1e-9, BARS + 1)
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(
            title="Distances of pairs", xlabel="distance, 1 - cos", ylabel="share of pairs"
        )
        for (name, distances), colour in zip(kinds.items(), PALETTE, strict=False):
            counts, _ = np.histogram(distances, edges)
            share = counts / len(distances)
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.5, label=name)
        if distance is not None:
            axes.axvline(distance, color=INK, linestyle="--", label="threshold")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        add_legend(figure, 3)
    return figure


def plot_operating(
    curves: Mapping[str, OperatingCurve], thresholds: Mapping[str, Threshold] | None = None
) -> "Figure":
    """Plot misses over false matches, which are on a log scale.

    Args:
        curves: title and curve of each run.
        thresholds: of some of these runs, plotted as dots.
    """
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    tints = colours(len(curves))
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(
            title="False matches against misses",
            xlabel="pairs of different people that match",
            ylabel="pairs of the same person that do not",
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
    """Return the misses (R,) at which at most `rates` (R,) of the pairs of two people match."""
    slack = rates * (1 + 1e-12)  # rounding may put the last of a geometric series below its end
    return curve.misses[np.searchsorted(curve.false_matches, slack, "right") - 1]


def suggest(drawn: Known | Unknown, rate: float) -> Threshold | Bound:
    """Suggest a threshold at which at most a share of the pairs of different people match.

    Raises:
        DataError: the nearest pairs all have the same distance.
        SettingsError: there are too few pairs for this rate.
    """
    if isinstance(drawn, Unknown):
        return bound_threshold(drawn.anybody, rate, confidence=CONFIDENCE)
    pairs = drawn.across
    return suggest_threshold(pairs.same, pairs.different, rate, **_groups(pairs))


def _groups(pairs: Pairs) -> dict[str, Any]:
    return dict(
        same_groups=pairs.same_groups,
        different_groups=pairs.different_groups,
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
    )


def advice(found: Threshold | Bound) -> str:
    """Explain a threshold to a user."""
    at = f"At a distance of {found.distance:.3f} (similarity {1 - found.distance:.3f})"
    if isinstance(found, Bound):
        return (
            f"{at}, at most {_of(found.false_matches)} of 10,000 pairs of different people among "
            f"these images match (with {found.confidence:.0%} confidence). {NOT_TOLD}"
        )
    return f"{at}, {_errors(found)}"


def apart(drawn: Known | Unknown, distance: float) -> str:
    """Describe the errors of the threshold within one camera, if they can be measured."""
    if isinstance(drawn, Known) and (of := drawn.within):
        found = measure_threshold(distance, of.same, of.different, **_groups(of))
        return f"Within one camera, at the same distance, {_errors(found)}"
    if isinstance(drawn, Unknown) and len(drawn.at_once) >= FEW:
        return (
            f"Of {len(drawn.at_once):,} pairs of one camera at the same time, "
            f"{(drawn.at_once <= distance).mean():.2%} match. {AT_ONCE}"
        )
    return ""


def _errors(found: Threshold) -> str:
    (low, high), (least, most) = found.false_matches_range, found.misses_range
    return (
        f"about {_of(found.false_matches)} of 10,000 pairs of different people match (likely "
        f"{_of(low)} to {_of(high)}), and about {_of(found.misses)} of 10,000 pairs of the same "
        f"person are missed (likely {_of(least)} to {_of(most)})."
    )


def _of(share: float, among: int = 10_000) -> str:
    return f"{share * among:,.0f}"


def table_of_thresholds(
    drawn: Mapping[str, Known | Unknown], rates: Sequence[float]
) -> list[list[Any]]:
    """List the threshold of each run for each rate for which it has enough pairs.

    Cells that cannot be computed without labels are empty.
    """
    lines = []
    for title, of in drawn.items():
        for rate in rates:
            try:
                found = suggest(of, rate)
            except (DataError, SettingsError):
                continue
            if isinstance(found, Bound):
                numbers = ["", 0.0, found.false_matches, "", "", ""]
            else:
                ranges = *found.false_matches_range, found.misses, *found.misses_range
                numbers = [round(number, 6) for number in (found.false_matches, *ranges)]
            lines.append([title, rate, round(found.distance, 6), *numbers])
    head = ["run", "wanted", "distance", "false_matches", "false_matches_low"]
    return [[*head, "false_matches_high", "misses", "misses_low", "misses_high"], *lines]


def show_threshold(
    runs: Sequence[Evidence], pictures: Thumbnails, *, rate: float = RATE
) -> Section:
    """Show the distances of pairs, and the threshold for a rate of false matches."""
    title = "Distances and the threshold"
    waiting = unfinished(runs)
    runs = [run for run in runs if run.trained]
    drawn: dict[str, Known | Unknown] = {}
    found: dict[str, Threshold | Bound] = {}
    html, figures = "", {}
    for number, run in enumerate(runs, 1):
        said = ""
        try:
            drawn[run.title] = of = draw_pairs(run)
            said += paragraph(of.source)
            found[run.title] = line = suggest(of, rate)
            said += paragraph(advice(line)) + paragraph(apart(of, line.distance))
        except (DataError, SettingsError) as error:
            said += paragraph(f"No threshold can be computed. {error}")
        html += under(run.title if len(runs) > 1 else "", said)
        if run.title in drawn:
            name = f"threshold-distances-{number}" if len(runs) > 1 else "threshold-distances"
            kinds, about = shown(drawn[run.title])
            distance = found[run.title].distance if run.title in found else None
            figure = plot_distances(kinds, distance)
            figures[name] = figure, f"{run.title}. {about}" if len(runs) > 1 else about
    if not drawn:
        return Section(title, html + waiting)
    known = {name: of.across for name, of in drawn.items() if isinstance(of, Known)}
    if known:
        curves = {name: operating_curve(of.same, of.different) for name, of in known.items()}
        errors = ", ".join(f"{curve.equal_error:.1%}" for curve in curves.values())
        about = f"Lower is better. Both errors are equal at {errors}."
        dots = {name: of for name, of in found.items() if isinstance(of, Threshold)}
        about += " The dot marks the threshold given above." if dots else ""
        figures["threshold-operating"] = plot_operating(curves, dots), about
    html = paragraph(ABOUT) + html + waiting + charts(figures)
    tables = {"thresholds": table_of_thresholds(drawn, sorted({rate, *RATES}, reverse=True))}
    return Section(title, html, {name: figure for name, (figure, _) in figures.items()}, tables)


def shown(drawn: Known | Unknown) -> tuple[dict[str, np.ndarray], str]:
    """Return the kinds of pairs whose distances are plotted, and a sentence about them."""
    if isinstance(drawn, Unknown):
        about = "Random pairs: nearly all of them show different people, a few the same person."
        return {"any two images": drawn.anybody}, about
    kinds = {"the same person": drawn.across.same, "different people": drawn.across.different}
    return kinds, "Each kind adds up to 100%. Where they overlap, any threshold makes errors."


ABOUT = (
    "The distance of two vectors is 1 - cos: 0 means identical, 1 means nothing in common. A "
    "likely range is a 95% range over other people of the same kind. A threshold is only valid for "
    "this encoder and for similar cameras. A match is not proof of identity."
)

CONFIDENCE = 0.95

FEW = 1000
"""Minimum number of pairs from one camera at the same time for a measurement."""

LEARNT = (
    "training images of this encoder (for people that it has not seen, more pairs may match "
    "falsely or be missed)"
)

ALIKE = "by any cameras, as not all cameras are known (pairs by one camera are more similar)"

MIXED = (
    "Without labels, these include pairs of one person: with N people, about one pair in N. With "
    "few people, the threshold is therefore stricter than necessary."
)

LABEL = 100
"""Number of people to label in order to measure misses."""

NOT_TOLD = (
    "How many pairs of the same person are missed cannot be measured without labels; it may be "
    f"more than half of them. To measure both, choose {LABEL} people at random, label all their "
    "images (column person of a manifest), and write the report again."
)

AT_ONCE = (
    "These pairs show two different people if times are exact to a frame and nobody has two boxes; "
    "they share background and lighting."
)
