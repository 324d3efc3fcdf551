"""Contact sheets: rows of crops with a title, framed as right or wrong where that is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from reseen.records import Image
from reseen.report.plotting import GREY, new_figure, shortened, styled
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = {"right": ("✓", "#1f8f45"), "wrong": ("✗", "#cf3f2c"), "query": ("", "#3584c9")}
"""How a crop of each kind is marked: a sign, and the colour of its frame."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One crop of a sheet."""

    image: Image
    text: str = ""
    """Stands below it, in a few letters."""
    kind: str = ""
    """right, wrong, query, or nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """Crops that belong together; None between them is a gap."""

    title: str
    note: str
    cells: Sequence[Cell | None]
    mix: Sequence[tuple[str, float, str]] = ()
    """Parts of a whole to show as a bar: name, share, colour."""


def sheet_html(rows: Sequence[Row], pictures: Thumbnails) -> str:
    """Show rows of crops in a page; where it has no pictures, their titles and notes alone."""
    return "".join(_row(row, pictures) for row in rows)


def _row(row: Row, pictures: Thumbnails) -> str:
    bar = "".join(
        f'<span style="flex:{share:.4f};background:{colour}" title="{escape(name)} {share:.0%}">'
        "</span>"
        for name, share, colour in row.mix
    )
    mix = f"<div class=mix>{bar}</div>" if bar else ""
    cells = "".join(_cell(cell, pictures) for cell in row.cells) if pictures.pictures else ""
    return (
        f"<div class=row><h4>{escape(row.title)} <small>{escape(row.note)}</small></h4>{mix}"
        f"<div class=cells>{cells}</div></div>"
    )


def _cell(cell: Cell | None, pictures: Thumbnails) -> str:
    if cell is None:
        return "<span class=gap>…</span>"
    sign, _ = FRAMES.get(cell.kind, ("", ""))
    name = " ".join(filter(None, (cell.kind, cell.text, cell.image.path.name)))
    return (
        f'<figure class="crop {cell.kind}">{pictures.html(cell.image, name)}'
        f"<figcaption>{sign} {escape(cell.text)}</figcaption></figure>"
    )


def plot_sheet(rows: Sequence[Row], pictures: Thumbnails | None = None) -> "Figure":
    """Draw rows of crops.

    Args:
        rows: R of them, each with at least one crop.
        pictures: how the thumbnails are made; as they are where it is not given.
    """
    pictures = pictures or Thumbnails()
    across = max(len(row.cells) for row in rows)
    with styled():
        figure = new_figure(0.56 * across + 0.3, 1.5 * len(rows))
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, row in zip(parts, rows, strict=True):
            title = shortened([f"{row.title}  {row.note}"], 13 * across)[0]
            part.suptitle(title, x=0.01, ha="left", fontsize=8)
            places = part.subplots(1, across, squeeze=False)[0]
            for axes in places[len(row.cells) :]:
                axes.set_axis_off()
            for axes, cell in zip(places, row.cells, strict=False):
                _draw(axes, cell, pictures)
    return figure


def _draw(axes, cell: Cell | None, pictures: Thumbnails) -> None:
    if cell is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "…", ha="center", transform=axes.transAxes)
        return
    sign, colour = FRAMES.get(cell.kind, ("", GREY))
    axes.imshow(pictures.pixels(cell.image))
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.set_xlabel(f"{sign} {cell.text}".strip(), fontsize=6, labelpad=2)
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.5 if cell.kind else 0.5)
        spine.set_linestyle("--" if cell.kind == "wrong" else "-")
