"""One HTML file that holds everything it shows, and asks no other host for anything."""

import csv
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from io import StringIO
from pathlib import Path

from reseen.engine.files import written
from reseen.errors import counted
from reseen.report.plotting import save_figure
from reseen.report.section import Section
from reseen.report.thumbnails import Thumbnails

LIST = "files.txt"
"""Names what a report wrote beside its page."""


def write_page(
    path: Path,
    title: str,
    sections: Sequence[Section],
    pictures: Thumbnails,
    notes: Sequence[str] = (),
) -> None:
    """Write sections as a page.

    Args:
        path: the file to write; whole, or as it was.
        title: of the page.
        sections: in their order.
        pictures: the thumbnails that they show.
        notes: sentences for the top of the page.
    """
    names = [f"part-{number}" for number in range(1, len(sections) + 1)]
    links = "".join(
        f'<a href="#{name}">{escape(section.title)}</a>'
        for name, section in zip(names, sections, strict=True)
    )
    parts = "".join(
        f"<section id={name}><h2>{escape(section.title)}</h2>{section.html}</section>"
        for name, section in zip(names, sections, strict=True)
    )
    said = "".join(f"<p>{escape(note)}</p>" for note in (*warning(pictures), *notes))
    text = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>\n"
        f"<style>\n{_own('page.css')}{pictures.css()}\n</style></head>\n<body>"
        f"<header><h1>{escape(title)}</h1><div class=notice>{said}</div>"
        f"<nav>{links if len(sections) > 1 else ''}</nav></header>\n<main>{parts}</main>\n"
        f"<footer>Made by reseen {version('reseen')}.</footer>\n"
        f"<script>\n{_own('page.js')}</script></body></html>\n"
    )
    with written(path) as file:
        file.write(text.encode(errors="surrogateescape"))


def warning(pictures: Thumbnails) -> list[str]:
    """Say what a page with or without pictures of people is, and what a similarity is not."""
    shown = []
    if len(pictures):
        faces = ", with the upper quarter of each blurred" if pictures.blur else ""
        shown = [
            f"This page holds {counted(len(pictures), 'picture')} of people{faces}. Keep it "
            "where the pictures themselves may be kept, and pass it on only to those who may see "
            "them."
        ]
    return [
        *shown,
        "A similarity is not proof of identity: two crops can look alike and show two people.",
    ]


def write_files(folder: Path, sections: Sequence[Section]) -> None:
    """Write the figures of sections as PNG and SVG, their numbers as CSV, and a list of all.

    Args:
        folder: made if it is not there; files of these names are replaced. What the list of an
            earlier report names is removed: it may show what this one is asked to leave out.
        sections: with figures and tables of different names.
    """
    former = folder / LIST
    names = [f"{n}.{kind}" for s in sections for n in s.figures for kind in ("png", "svg")]
    names += [f"{name}.csv" for section in sections for name in section.tables]
    for name in former.read_text(encoding="utf-8").splitlines() if former.exists() else ():
        (folder / Path(name).name).unlink(missing_ok=True)
    with written(former) as file:
        file.write("".join(f"{name}\n" for name in names).encode())
    for section in sections:
        for name, figure in section.figures.items():
            for kind in ("png", "svg"):
                save_figure(figure, folder / f"{name}.{kind}")
        for name, rows in section.tables.items():
            out = StringIO()
            csv.writer(out, lineterminator="\n").writerows(rows)
            with written(folder / f"{name}.csv") as file:
                file.write(out.getvalue().encode(errors="surrogateescape"))


def _own(name: str) -> str:
    return files("reseen.report").joinpath(name).read_text(encoding="utf-8")
