"""Contact sheets: rows of crops with a title and, if known, marks for right and wrong ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from reseen.records import JUNK, Image
from reseen.report.plotting import GREY, new_figure, shortened, styled, wrapped
from reseen.report.thumbnails import HEIGHT, WIDTH, Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = {"right": ("✓", "#1f8f45"), "wrong": ("✗", "#cf3f2c"), "query": ("", "#3584c9")}
"""The mark of a crop of each kind: a sign, and the colour of its frame."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One crop of a sheet."""

    image: Image
    text: str = ""
    """A short caption."""
    kind: str = ""
    """right, wrong, query, or empty."""
    heat: np.ndarray | None = None
    """(h, w) heat map over the crop, as in `thumbnails.draw`."""


@dataclass(frozen=True, slots=True)
class Row:
    """Crops that belong together; None between them is a gap."""

    title: str
    note: str
    cells: Sequence[Cell | None]
    mix: Sequence[tuple[str, float, str]] = ()
    """Parts of a bar: name, share, colour."""


def mark(person: int, most: int) -> str:
    """Return whether a crop shows the most frequent person of its row; empty if unknown."""
    return "" if JUNK in (person, most) else "right" if person == most else "wrong"


def seen_by(image: Image, named: Mapping[int, str] | None = None) -> str:
    """Return the camera of an image as a short text: its name, or c and its number, if known."""
    if image.camera is None:
        return ""
    name = str((named or {}).get(image.camera, image.camera))
    return f"c{name}" if name.isdigit() else name


def sheet_html(rows: Sequence[Row], pictures: Thumbnails) -> str:
    """Return rows of crops as HTML; if the page has no pictures, only their titles and notes."""
    return f"<div class=sheet>{''.join(_row(row, pictures) for row in rows)}</div>"


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
    name = " ".join(filter(None, (cell.kind, cell.text, cell.image.path.name)))
    return (
        f'<figure class="crop {cell.kind}">{pictures.html(cell.image, name, cell.heat)}'
        f"<figcaption>{_sign(cell)} {escape(cell.text)}</figcaption></figure>"
    )


def _sign(cell: Cell) -> str:
    return FRAMES.get(cell.kind, ("", ""))[0]


def plot_sheet(rows: Sequence[Row], pictures: Thumbnails | None = None) -> "Figure":
    """Plot rows of crops.

    Args:
        rows: R rows, each with at least one crop.
        pictures: how thumbnails are made; by default unchanged.
    """
    from matplotlib.patches import Rectangle

    pictures = pictures or Thumbnails()
    wide = max(len(row.cells) for row in rows) * STEP
    words = [[cell and f"{_sign(cell)} {cell.text}".strip() for cell in row.cells] for row in rows]
    lines = [[wrapped([word or ""], LETTERS)[0] for word in row] for row in words]
    high = TITLE + HEIGHT + LINE * (2 + max(line.count("\n") for row in lines for line in row))
    tall = len(rows) * high
    # One picture of all crops is drawn and written much faster than one for each crop.
    sheet = np.full((tall, wide, 3), 255, np.uint8)
    with styled():
        figure = new_figure(wide / 120, tall / 120)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for number, row in enumerate(rows):
            top = number * high + TITLE
            title = f"{row.title}  {row.note}".encode(errors="replace").decode()
            title = shortened([title], max(30, wide // 9))[0]
            axes.text(GAP, top - 8, title, fontsize=8)
            for column, cell in enumerate(row.cells):
                left = column * STEP + GAP
                if cell is None:
                    axes.text(left + WIDTH / 2, top + HEIGHT / 2, "…", ha="center")
                    continue
                _, colour = FRAMES.get(cell.kind, ("", GREY))
                thumbnail = pictures.pixels(cell.image, cell.heat)
                sheet[top : top + HEIGHT, left : left + WIDTH] = thumbnail
                frame = Rectangle((left, top), WIDTH, HEIGHT, fill=False, ec=colour)
                frame.set_linewidth(2 if cell.kind else 0.5)
                frame.set_linestyle("--" if cell.kind == "wrong" else "-")
                axes.add_patch(frame)
                below = left + WIDTH / 2, top + HEIGHT + 5
                axes.text(*below, lines[number][column], fontsize=5.5, ha="center", va="top")
        axes.imshow(sheet, extent=(0, wide, tall, 0), interpolation="nearest")
    return figure


GAP = 4
"""Space left of each crop; like those below, in pixels of a thumbnail."""

TITLE = 28
"""Space above the crops of a row."""

STEP = WIDTH + 2 * GAP
"""Distance between two crops."""

LINE, LETTERS = 12, 14
"""Height of a line of text below a crop, and the number of characters that fit into it."""
