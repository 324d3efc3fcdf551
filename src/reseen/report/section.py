"""What a part of a report is, and the small pieces of HTML that all parts share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from reseen.report.plotting import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reseen.report.evidence import Evidence

Rows = Sequence[Sequence[Any]]
"""Lines of a table; the first holds the titles of its columns."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: what the page shows, and what lies in files beside it."""

    title: str
    html: str
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    """Written as NAME.png and NAME.svg."""
    tables: Mapping[str, Rows] = field(default_factory=dict)
    """Written as NAME.csv."""


def table(rows: Rows, *, titled: bool = True) -> str:
    """Give a table; the first column is named, the others are numbers.

    Args:
        rows: its lines.
        titled: whether the first line holds the titles of the columns.
    """
    cells = [[escape(str(cell)) for cell in row] for row in rows]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0]) if titled else ""
    lines = "".join(
        f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in cells[titled:]
    )
    return f"<div class=scroll><table>{f'<tr>{head}</tr>' if head else ''}{lines}</table></div>"


def table_of_runs(rows: Rows) -> str:
    """Give a table with a line for each run, titled by the first column.

    Of one run its values stand below each other, each beside its name: a narrow window has room
    for them, and the name of the run need not be repeated.
    """
    head, *body = rows
    if len(body) != 1:
        return table(rows)
    return table(list(zip(head[1:], body[0][1:], strict=True)), titled=False)


def beside(*parts: str) -> str:
    """Put pieces of HTML side by side where the window is wide, else below each other."""
    return f"<div class=beside>{''.join(f'<div>{part}</div>' for part in parts if part)}</div>"


def paragraph(text: str) -> str:
    """Give a paragraph."""
    return f"<p>{escape(text)}</p>"


def charts(figures: Mapping[str, tuple["Figure", str]]) -> str:
    """Give figures side by side, as many as the window is wide.

    Args:
        figures: each with a sentence about it, which stands below.
    """
    shown = "".join(
        f"<figure>{inline(figure, about)}<figcaption>{escape(about)}</figcaption></figure>"
        for figure, about in figures.values()
    )
    return f"<div class=charts>{shown}</div>"


def unfinished(runs: Sequence["Evidence"]) -> str:
    """Say which runs have no finished round yet, if any."""
    waiting = [run.title for run in runs if not run.trained]
    if not waiting:
        return ""
    named = f": {', '.join(waiting)}" if len(runs) > 1 else ""
    return paragraph(f"No round is finished yet{named}.")


def under(title: str, html: str) -> str:
    """Put a heading above what belongs to one of several runs, if it has a title."""
    return f"<h3 class=run>{escape(title)}</h3>{html}" if title else html
