"""A page: one HTML file that contains everything it shows, and contacts no other host."""

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
"""Name of the list of files that a report wrote beside its page."""

MARK = "reseen report wrote the files named below, and its next report removes them."
"""The first line of that list, by which a report recognises its own folder."""

FORMULA = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""Characters with which formulas begin, or that may precede them; also full-width ones."""

TOP = '<a href="#top" title="To the top" aria-label="To the top">↑</a>'

MADE_BY = "Made by reseen"
"""The end of a page, by which it is recognised."""


def write_page(
    path: Path,
    title: str,
    sections: Sequence[Section],
    pictures: Thumbnails,
    notes: Sequence[str] = (),
) -> None:
    """Write sections as a page.

    Args:
        path: the file to write, as a whole or not at all.
        title: of the page.
        sections: in their order.
        pictures: the thumbnails that they show.
        notes: sentences at the top of the page.
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
    """Return notices about privacy, and about what a similarity does not prove."""
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
    """Return the folder of a page's figures and numbers, whose name is unlikely to be in use."""
    return page.with_suffix(".reseen")


def check_page(page: Path) -> None:
    """Refuse a page, or a folder of figures, that exists and was not written by a report.

    Raises:
        SettingsError: it was not written by a report.
    """
    if page.is_file() and MADE_BY.encode() not in page.read_bytes():
        raise SettingsError(
            f"{page} exists and was not written by reseen report. Move it, or use another name."
        )
    former_files(figures_folder(page))


def former_files(folder: Path) -> list[str]:
    """Return the names of the figures and tables that an earlier report wrote into a folder.

    Raises:
        SettingsError: a file exists that a report did not write.
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
        folder: created if it does not exist. The files in the list of an earlier report are
            removed: they may show what this one is told to leave out.
        sections: with figures and tables of different names.
        track: shows the progress.

    Returns:
        Whether characters in figures had to be replaced, see `save_figure`.

    Raises:
        SettingsError: a file exists that a report did not write.
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
        save_figure(figure, folder / f"{name}.svg")  # before characters are replaced for PNG
        replaced |= save_figure(figure, folder / f"{name}.png")
    for section in sections:
        for name, rows in section.tables.items():
            out = StringIO()
            csv.writer(out, lineterminator="\n").writerows([defused(c) for c in r] for r in rows)
            with written(folder / f"{name}.csv") as file:
                file.write(out.getvalue().encode(errors="surrogateescape"))
    return replaced


def defused(cell: Any) -> Any:
    """Put a ' before text that a spreadsheet would read as a formula; numbers stay unchanged."""
    if isinstance(cell, (int, float)) or not re.match(FORMULA, str(cell)):
        return cell
    try:
        float(str(cell))
    except ValueError:
        return f"'{cell}"
    return cell


def _own(name: str) -> str:
    return files("reseen.report").joinpath(name).read_text(encoding="utf-8")
