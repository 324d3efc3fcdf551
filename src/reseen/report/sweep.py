"""The effect of one setting: mAP and rank-1 of runs that differ only in it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reseen.errors import counted
from reseen.report.curves import differ, flat, judged
from reseen.report.evidence import Evidence
from reseen.report.plotting import PALETTE, add_legend, new_figure, shortened, styled
from reseen.report.section import Section, charts, paragraph, table
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Measured = Mapping[str, Sequence[tuple[float, float]]]
"""The values of a setting, and for each value mAP and rank-1 of every run, 0 to 1."""

SAME = ("method", "data", "source", "start")
"""What must be equal in all runs besides the other settings; their seeds may differ."""


class Point(NamedTuple):
    """The results of the runs with one value: mAP and rank-1, 0 to 1."""

    value: str
    runs: int
    mean: np.ndarray
    """(2,)"""
    deviation: np.ndarray
    """(2,) standard deviation over the runs; NaN for a single run."""


def points(measured: Measured) -> list[Point]:
    """Return mean and standard deviation of each value: numbers ascending, words in their order."""
    numbers = _numbers(measured)
    found = []
    for value in sorted(measured, key=numbers.__getitem__) if numbers else measured:
        pairs = np.array(measured[value])
        spread = pairs.std(0, ddof=1) if len(pairs) > 1 else np.full(2, np.nan)
        found.append(Point(value, len(pairs), pairs.mean(0), spread))
    return found


def plot_sweep(setting: str, measured: Measured) -> "Figure":
    """Plot mAP and rank-1 over the values of a setting, with the standard deviation over runs.

    Args:
        setting: its name.
        measured: results of each value; numbers are placed to scale, words in their order.
    """
    from matplotlib.ticker import PercentFormatter

    found = points(measured)
    places = list(_numbers(measured).values())
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(title="mAP and rank-1", xlabel=setting)
        across = sorted(places) or range(len(found))
        several = any(point.runs > 1 for point in found)
        for which, name in enumerate(("mAP", "rank-1")):
            axes.errorbar(
                across,
                [point.mean[which] for point in found],
                [point.deviation[which] for point in found] if several else None,
                color=PALETTE[which],
                marker="o",
                capsize=2.5,
                label=name,
            )
        if not places:
            axes.set_xticks(across, shortened([point.value for point in found], 12))
        axes.margins(y=0.08)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        add_legend(figure, 2)
    return figure


def misfit(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return why runs are not a sweep, by their facts; empty if they differ in one setting only."""
    if len(runs) == 1:
        return "This is one run. Several that differ in one setting give a curve over its values."
    others = [name for name in SAME if differ(facts.get(name) for facts in runs)]
    names = others or changed(runs)
    if not others and len(names) == 1:
        return ""
    count = "" if others else f"{counted(len(names), 'setting')}: "
    told = count + ", ".join(names) if names else "no setting"
    return f"The runs differ in {told}. Only runs that differ in one setting give a curve."


def changed(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which runs differ, by their facts."""
    asked = [flat(facts["settings"]) for facts in runs]
    names = dict.fromkeys(name for told in asked for name in told)
    return [name for name in names if differ(told.get(name) for told in asked)]


def show_sweep(runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    """Show mAP and rank-1 against the one setting in which the runs differ."""
    title = "Sweep of one setting"
    facts = [run.facts for run in runs]
    if why := misfit(facts):
        return Section(title, paragraph(why))
    (setting,) = changed(facts)
    measured: dict[str, list[tuple[float, float]]] = {}
    rounds: set[int] = set()
    missing = []
    for run in runs:
        if searched := judged(run.rows):
            last, value = searched[-1], flat(run.facts["settings"]).get(setting)
            measured.setdefault(_text(value), []).append((last["mAP"], last["rank1"]))
            rounds.add(int(last["round"]))
        else:
            missing.append(run.title)
    if not measured:
        return Section(title, paragraph("No run has been evaluated after a round."))
    found = points(measured)
    about = f"Last evaluation of each run, against {setting}."
    if any(point.runs > 1 for point in found):
        about += " Means and standard deviations over the runs with the same value."
    figures = {"sweep": (plot_sweep(setting, measured), about)}
    html = charts(figures) + table(
        [
            [setting, "runs", "mAP", "rank-1"],
            *([point.value, point.runs, *map(_percent, *point[2:])] for point in found),
        ]
    )
    if len(rounds) > 1:
        html += paragraph(
            f"The last evaluations were after rounds {', '.join(map(str, sorted(rounds)))}, so the "
            "runs were not all trained equally long."
        )
    if missing:
        html += paragraph(f"Not evaluated, so not in the curve: {', '.join(missing)}.")
    drawn = {name: figure for name, (figure, _) in figures.items()}
    return Section(title, html, drawn, {"sweep": _rows(setting, found)})


def _rows(setting: str, found: Sequence[Point]) -> list[list[Any]]:
    head = [setting, "runs", "mAP", "mAP_deviation", "rank1", "rank1_deviation"]
    lines = []
    for point in found:
        pairs = np.stack([point.mean, point.deviation], axis=1).ravel()
        numbers = ("" if np.isnan(number) else round(float(number), 6) for number in pairs)
        lines.append([point.value, point.runs, *numbers])
    return [head, *lines]


def _percent(mean: float, deviation: float) -> str:
    return f"{mean:.1%}" + ("" if np.isnan(deviation) else f" ± {100 * deviation:.1f}")


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _numbers(values: Iterable[str]) -> dict[str, float]:
    """Convert values to numbers, by their text; empty if one is a word."""
    try:
        return {value: float(value) for value in values}
    except ValueError:
        return {}
