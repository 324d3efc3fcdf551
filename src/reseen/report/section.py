"""Parts of a report, and small pieces of HTML that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from reseen.report.plotting import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reseen.report.evidence import Evidence

Rows = Sequence[Sequence[Any]]
"""Lines of a table; the first has the titles of its columns."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: its HTML in the page, and its files beside it."""

    title: str
    html: str
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    """Written as NAME.png and NAME.svg."""
    tables: Mapping[str, Rows] = field(default_factory=dict)
    """Written as NAME.csv."""


def table(rows: Rows, *, titled: bool = True) -> str:
    """Return a table; the first column has names, the others numbers.

    Args:
        rows: its lines.
        titled: whether the first line has the titles of the columns.
    """
    cells = [[escape(str(cell)) for cell in row] for row in rows]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0]) if titled else ""
    lines = "".join(
        f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in cells[titled:]
    )
    return f"<div class=scroll><table>{f'<tr>{head}</tr>' if head else ''}{lines}</table></div>"


def table_of_runs(rows: Rows) -> str:
    """Return a table with a line for each run, named by the first column.

    For a single run, the values are listed below each other, beside their names: this fits into a
    narrow window, and the name of the run is not repeated.
    """
    head, *body = rows
    if len(body) != 1:
        return table(rows)
    return table(list(zip(head[1:], body[0][1:], strict=True)), titled=False)


def beside(*parts: str) -> str:
    """Put pieces of HTML side by side if the window is wide, or else below each other."""
    return f"<div class=beside>{''.join(f'<div>{part}</div>' for part in parts if part)}</div>"


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def charts(figures: Mapping[str, tuple["Figure", str]]) -> str:
    """Return figures side by side, as many as fit into the window.

    Args:
        figures: each with a sentence for its caption.
    """
    shown = "".join(
        f"<figure>{inline(figure, about)}<figcaption>{escape(about)}</figcaption></figure>"
        for figure, about in figures.values()
    )
    return f"<div class=charts>{shown}</div>"


def unfinished(runs: Sequence["Evidence"]) -> str:
    """Return a note about runs without a finished round, if any."""
    waiting = [run.title for run in runs if not run.trained]
    if not waiting:
        return ""
    named = f": {', '.join(waiting)}" if len(runs) > 1 else ""
    return paragraph(f"No round is finished yet{named}.")


def under(title: str, html: str) -> str:
    """Put a heading above the HTML of one of several runs, if it has a title."""
    return f"<h3 class=run>{escape(title)}</h3>{html}" if title else html
