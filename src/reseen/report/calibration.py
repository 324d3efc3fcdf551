"""The similarities of pairs of crops, with the thresholds of a gallery."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reseen.report.page import figures_folder, write_files, write_page
from reseen.report.plotting import INK, PALETTE, add_legend, inline, new_figure, styled
from reseen.report.section import Section, charts, paragraph
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 60


def plot_cutoffs(kinds: Mapping[str, np.ndarray], same: float, maybe: float) -> "Figure":
    """Plot the similarities of pairs, with the thresholds of same and maybe.

    Args:
        kinds: name and similarities of each kind of pairs; each kind adds up to 100 %.
        same, maybe: the thresholds.
    """
    from matplotlib.ticker import PercentFormatter

    every = np.concatenate([*kinds.values(), [same, maybe]])
    edges = np.linspace(every.min(), every.max() + 1e-9, BARS + 1)
    with styled():
        figure = new_figure(6.4, 3.2)
        axes = figure.add_subplot(
            title="Similarity of pairs", xlabel="similarity, cosine", ylabel="share of pairs"
        )
        for (name, similarities), colour in zip(kinds.items(), PALETTE, strict=False):
            counts, _ = np.histogram(similarities, edges)
            share = counts / len(similarities)
            label = f"{name} ({len(similarities):,})"
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.45, label=label)
            axes.stairs(share, edges, color=colour, linewidth=1.2)
        for name, cut, line in (("maybe", maybe, ":"), ("same", same, "--")):
            axes.axvline(cut, color=INK, linestyle=line, label=f"{name}, from {cut:.3f} on")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        add_legend(figure, 3)
    return figure


def draw_cutoffs(kinds: Mapping[str, np.ndarray], same: float, maybe: float) -> str:
    """Return the same plot as SVG for a page; arguments as in `plot_cutoffs`."""
    said = f"Similarity of pairs of crops; same from {same:.3f} on, maybe from {maybe:.3f} on"
    return inline(plot_cutoffs(kinds, same, maybe), said)


def write_calibration(
    path: Path,
    kinds: Mapping[str, np.ndarray],
    same: float,
    maybe: float,
    said: Sequence[str],
    *,
    title: str,
) -> None:
    """Write the same plot as a page, and as figure and table in the folder beside it.

    Args:
        path: the .html file to write; `check_page` tells whether it may be replaced.
        kinds, same, maybe: as in `plot_cutoffs`.
        said: sentences about the thresholds.
        title: of the page.
    """
    figure = plot_cutoffs(kinds, same, maybe)
    html = "".join(paragraph(sentence) for sentence in said) + charts({"c": (figure, ABOUT)})
    tables = {"cutoffs": [["cutoff", "similarity"], ["same", same], ["maybe", maybe]]}
    section = Section("Thresholds", html, {"cutoffs": figure}, tables)
    write_files(figures_folder(path), [section])
    write_page(path, title, [section], Thumbnails())


ABOUT = (
    "The bars of each kind of pairs add up to 100%. Nearly all pairs of any two crops show two "
    "different people."
)
