"""One HTML file that holds everything it shows, and asks no other host for anything."""

import csv
import re
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

from reseen.engine.files import written
from reseen.engine.progress import UNTRACKED, Track
from reseen.errors import SettingsError, counted
from reseen.report.plotting import save_figure
from reseen.report.section import Section
from reseen.report.thumbnails import Thumbnails

LIST = "files.txt"
"""Names what a report wrote beside its page."""

MARK = "reseen report wrote the files named below, and its next report removes them."
"""The first line of that list, by which a report knows a folder that it made."""

FORMULA = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""Letters with which a formula begins, or what comes before one; also those of full width."""

TOP = '<a href="#top" title="To the top" aria-label="To the top">↑</a>'

MADE_BY = "Made by reseen"
"""Ends a page, and tells it from other pages."""


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
        f"<header><h1>{escape(title)}</h1><div class=notice>{said}</div></header>\n"
        f"<nav>{TOP + links if len(sections) > 1 else ''}</nav>\n<main>{parts}</main>\n"
        f"<footer>{MADE_BY} {version('reseen')}.</footer>\n"
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
            f"This page contains {counted(len(pictures), 'picture')} of people{faces}. Store it "
            "only where the pictures themselves may be stored, and share it only with those who "
            "may see them."
        ]
    return [
        *shown,
        "Similarity is not proof of identity: two crops can look alike and show two people.",
    ]


def figures_folder(page: Path) -> Path:
    """Give the folder of a page's figures and numbers: no one names a folder so by accident."""
    return page.with_suffix(".reseen")


def check_page(page: Path) -> None:
    """Refuse a page, or a folder of figures, that is there and was not made by a report.

    Raises:
        SettingsError: it was made by something else.
    """
    if page.is_file() and MADE_BY.encode() not in page.read_bytes():
        raise SettingsError(
            f"{page} exists and was not written by reseen report. Move it, or use another name."
        )
    former_files(figures_folder(page))


def former_files(folder: Path) -> list[str]:
    """Name the figures and tables that an earlier report wrote into a folder.

    Raises:
        SettingsError: something is there that a report did not make.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise SettingsError(
            f"{folder} is a file or a link, but figures are written to a folder of that name. "
            "Move it."
        )
    try:
        text = (folder / LIST).read_bytes().decode(errors="replace")
    except OSError:
        text = ""
    mark, *names = text.split("\n")
    if mark != MARK and folder.exists() and any(folder.iterdir()):
        raise SettingsError(
            f"{folder} exists and was not made by reseen report, so no figures are written there. "
            "Move it, or give the page another name."
        )
    return [name for name in names if re.fullmatch(r"[^/\\:\0]+\.(png|svg|csv)", name)]


def write_files(folder: Path, sections: Sequence[Section], track: Track = UNTRACKED) -> bool:
    """Write the figures of sections as PNG and SVG, their numbers as CSV, and a list of all.

    Args:
        folder: made if it is not there. What the list of an earlier report names is removed: it
            may show what this one is asked to leave out.
        sections: with figures and tables of different names.
        track: shows how many of the figures are written.

    Returns:
        Whether letters in figures had to be replaced, as `save_figure` says.

    Raises:
        SettingsError: something is there that a report did not make.
    """
    former = former_files(folder)
    names = [f"{n}.{kind}" for s in sections for n in s.figures for kind in ("png", "svg")]
    names += [f"{name}.csv" for section in sections for name in section.tables]
    for name in names:
        path = folder / name
        if path.is_dir() or (path.exists() and name not in former):
            raise SettingsError(f"{path} was not written by reseen report. Move it.")
    for name in former:
        if not (folder / name).is_dir():
            (folder / name).unlink(missing_ok=True)
    with written(folder / LIST) as file:
        file.write("".join(f"{line}\n" for line in (MARK, *names)).encode())
    replaced = False
    figures = [item for section in sections for item in section.figures.items()]
    for name, figure in track(figures, len(figures)):
        save_figure(figure, folder / f"{name}.svg")  # before letters are replaced for the other
        replaced |= save_figure(figure, folder / f"{name}.png")
    for section in sections:
        for name, rows in section.tables.items():
            out = StringIO()
            csv.writer(out, lineterminator="\n").writerows([defused(c) for c in r] for r in rows)
            with written(folder / f"{name}.csv") as file:
                file.write(out.getvalue().encode(errors="surrogateescape"))
    return replaced


def defused(cell: Any) -> Any:
    """Put a ' before text that a spreadsheet would take for a formula; numbers stay."""
    if isinstance(cell, (int, float)) or not re.match(FORMULA, str(cell)):
        return cell
    try:
        float(str(cell))
    except ValueError:
        return f"'{cell}"
    return cell


def _own(name: str) -> str:
    return files("reseen.report").joinpath(name).read_text(encoding="utf-8")
