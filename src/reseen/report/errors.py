"""Confusions of an encoder: wrong best matches by camera, and the margins of triplets.

The figures are those of Ji et al., An Attention-driven Two-stage Clustering Method (ADTC), ECCV
2020, Figs. 3C and 4.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reseen.errors import DataError
from reseen.metrics.errors import FirstErrors, first_errors, triplet_margins
from reseen.report.evidence import Evidence
from reseen.report.plotting import (
    GREY,
    INK,
    PALETTE,
    add_legend,
    colours,
    new_figure,
    shortened,
    styled,
    wrapped,
)
from reseen.report.section import Section, beside, charts, paragraph, table_of_runs, unfinished
from reseen.report.threshold import asked_for
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 60
"""Number of bars of a histogram."""

WRITTEN = 12
"""Number of cameras up to which numbers are written into the figure of camera pairs."""

LEVEL = 3
"""Characters of a camera's name that fit below a column; longer names are rotated."""


def plot_first_errors(found: Mapping[str, FirstErrors]) -> "Figure":
    """Plot the share of queries with a wrong best match, by its camera; a bar for each run."""
    from matplotlib.ticker import PercentFormatter

    parts = {
        "by the same camera": ("in_camera", PALETTE[3]),
        "by another camera": ("cross_camera", PALETTE[0]),
        "camera unknown": ("unknown", GREY),
    }
    with styled():
        figure = new_figure(4.2, 1.7 + 0.35 * len(found))
        axes = figure.add_subplot(title="Wrong first places", xlabel="share of queries")
        left, places = np.zeros(len(found)), np.arange(len(found))
        for name, (field, colour) in parts.items():
            share = np.array([getattr(of, field) / of.queries for of in found.values()])
            if field != "unknown" or share.any():
                axes.barh(places, share, left=left, color=colour, label=name, height=0.6)
            left += share
        axes.set_yticks(places, shortened(list(found), 16))
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(False, axis="y")
        add_legend(figure, 3)
    return figure


def plot_camera_pairs(found: FirstErrors, names: Sequence[str]) -> "Figure":
    """Plot how often queries of each camera have a wrong best match on each camera.

    Args:
        found: errors of C cameras.
        names: of the cameras, C.
    """
    from matplotlib.ticker import PercentFormatter

    share = shares(found)
    count = len(names)
    with styled():
        figure = new_figure(4.2, 3.4)
        axes = figure.add_subplot(
            title="Errors by camera",
            xlabel="camera of the wrong crop",
            ylabel="camera of the query",
        )
        shown = axes.imshow(share, cmap="Oranges", vmin=0, vmax=max(0.01, share.max(initial=0)))
        words = wrapped(names, 16)
        long = max(map(len, names), default=0) > LEVEL
        axes.set_xticks(range(count), words, rotation=90 if long else 0)
        axes.set_yticks(range(count), words)
        axes.grid(False)
        if count <= WRITTEN:
            for row in range(count):
                for column in range(count):
                    number = found.wrong[row, column]
                    # Not INK: cells are light or dark in both colour schemes.
                    tint = "#ffffff" if share[row, column] > 0.6 * share.max() else "#222222"
                    axes.text(column, row, str(number), ha="center", va="center", color=tint)
        bar = figure.colorbar(shown, ax=axes, format=PercentFormatter(1, decimals=None))
        bar.set_label("share of the query camera's queries")
    return figure


def shares(found: FirstErrors) -> np.ndarray:
    """Return the errors per query of each camera: (C, C), 0 for a camera without queries."""
    return found.wrong / np.maximum(found.asked, 1)[:, None]


def plot_margins(margins: Mapping[str, np.ndarray]) -> "Figure":
    """Plot the margins of triplets: how much farther the negative is than the positive.

    Args:
        margins: title and margins (T,) of each run; above 0 is correct.
    """
    from matplotlib.ticker import PercentFormatter

    every = np.concatenate(list(margins.values()))
    edges = np.linspace(every.min(), every.max() + 1e-9, BARS + 1)
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(
            title="Margins of triplets",
            xlabel="squared distance to somebody else minus that to the person",
            ylabel="share of triplets",
        )
        for (title, of), tint in zip(margins.items(), colours(len(margins)), strict=True):
            counts, _ = np.histogram(of, edges)
            label = shortened([title])[0]
            axes.stairs(counts / len(of), edges, color=tint, linewidth=1.6, label=label)
        axes.axvline(0, color=INK, linestyle="--")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        if len(margins) > 1:
            add_legend(figure, 3)
    return figure


def summary(found: Mapping[str, FirstErrors], margins: Mapping[str, np.ndarray]) -> list[list[Any]]:
    """List the errors of each run, and the share of its triplets that are wrong, as text."""
    head = ["run", "queries", "wrong", "same camera", "another camera", "camera unknown"]
    lines = []
    for title, of in found.items():
        numbers = of.in_camera, of.cross_camera, of.unknown
        wrong = [f"{n} ({n / of.queries:.1%})" for n in (sum(numbers), *numbers)]
        torn = f"{np.mean(margins[title] <= 0):.1%}" if title in margins else ""
        lines.append([title, of.queries, *wrong, torn])
    return [[*head, "wrong triplets"], *lines]


def table_of_pairs(found: Mapping[str, FirstErrors], names: Sequence[str]) -> list[list[Any]]:
    """List errors by the camera of the query and that of the wrong crop, for each run."""
    return [
        ["run", "query_camera", "queries", *(f"wrong_{name}" for name in names)],
        *(
            [title, name, int(of.asked[row]), *map(int, of.wrong[row])]
            for title, of in found.items()
            for row, name in enumerate(names)
        ),
    ]


def show_errors(runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    """Show the errors of the search by camera, and the margins of triplets."""
    title = "Errors"
    waiting = unfinished(runs)
    runs = [run for run in runs if run.trained]
    if not runs:
        return Section(title, waiting)
    if not runs[0].searchable:
        return Section(title, paragraph(UNKNOWN))
    data = runs[0].tested.data
    found = {run.title: first_errors(run.tested.ranking, run.tested.data) for run in runs}
    cameras = next(iter(found.values())).cameras  # of the data, so equal for all
    names = [str(data.cameras.get(int(camera), camera)) for camera in cameras]
    margins: dict[str, np.ndarray] = {}
    for run in runs:
        try:
            people = asked_for(run.tested)
            rng = np.random.default_rng(0)
            margins[run.title] = triplet_margins(run.tested.features, people, rng)
        except DataError:  # only one person: the search itself can be evaluated
            continue
    drawn = {"errors-first": (plot_first_errors(found), FIRST)}
    if len(names) > 1:
        for number, (name, of) in enumerate(found.items(), 1):
            several = len(found) > 1
            about = f"{name}. {PAIRS}" if several else PAIRS
            key = f"errors-cameras-{number}" if several else "errors-cameras"
            drawn[key] = plot_camera_pairs(of, names), about
    if margins:
        drawn["errors-margins"] = plot_margins(margins), MARGINS
    told = paragraph(ABOUT) + waiting + table_of_runs(summary(found, margins))
    html = beside(told, charts(drawn)) if len(runs) == 1 else told + charts(drawn)
    figures = {name: figure for name, (figure, _) in drawn.items()}
    return Section(title, html, figures, {"errors-cameras": table_of_pairs(found, names)})


UNKNOWN = (
    "Errors can only be counted with queries and a gallery of known people. Here, no query has a "
    "picture of the same person in the gallery."
)

ABOUT = (
    "An error is a query whose most similar crop shows somebody else. Crops of the same person by "
    "the same camera are left out of the search."
)

FIRST = (
    "Many errors within the camera of the query suggest that the encoder has learnt backgrounds "
    "and lighting along with people."
)

PAIRS = (
    "Number of errors, coloured by their share of the queries of that camera. The diagonal shows "
    "errors within the camera of the query."
)

MARGINS = (
    "Random triplets of a crop, another crop of the same person and a crop of somebody else. Left "
    "of the line, the crop of somebody else is nearer."
)
"""The caption of each figure."""
