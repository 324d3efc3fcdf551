"""A page of search results: queries, and the crops most similar to each."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from reseen.errors import counted
from reseen.records import Hit
from reseen.report.page import figures_folder, write_files, write_page
from reseen.report.section import Section, paragraph
from reseen.report.sheets import Cell, Row, seen_by, sheet_html
from reseen.report.thumbnails import Thumbnails


def write_hits(
    path: Path,
    hits: Sequence[Hit],
    cameras: Mapping[int, str] | None = None,
    *,
    title: str,
    blur: bool = False,
) -> None:
    """Write hits as a page, and as `hits.csv` in the folder beside it.

    Args:
        path: the .html file to write. Only files of a report or a search are replaced.
        hits: from `search`, those of one query together.
        cameras: names of the cameras, if the data has them.
        title: of the page.
        blur: blur the upper quarter of every crop.

    Raises:
        SettingsError: a file exists that was not written by this package.
        OSError: a picture cannot be read.
    """
    pictures = Thumbnails(blur=blur)
    rows = [["query", "rank", "similarity", "camera", "path"]]
    sheet = []
    for query, group in groupby(hits, key=lambda hit: hit.query):
        found = list(group)
        cells = [
            Cell(hit.image, f"{seen_by(hit.image, cameras)} {hit.similarity:.2f}".strip())
            for hit in found
        ]
        sheet.append(Row(query.path.name, "", [Cell(query, "", "query"), *cells]))
        rows += [
            [
                query.path.as_posix(),
                hit.rank,
                round(hit.similarity, 4),
                seen_by(hit.image, cameras),
                hit.image.path.as_posix(),
            ]
            for hit in found
        ]
    about = f"{ABOUT} {counted(len(sheet), 'picture was', 'pictures were')} searched for."
    html = paragraph(about) + sheet_html(sheet, pictures)
    section = Section("Most similar crops", html, tables={"hits": rows})
    write_files(figures_folder(path), [section])
    write_page(path, title, [section], pictures, [f"{FILES} {figures_folder(path).name}/hits.csv."])


ABOUT = (
    "Each row shows the picture that was searched for, framed in blue, followed by the most "
    "similar crops. The caption of a crop gives its camera, if that is known, and the cosine "
    "similarity, at most 1. Some crop always comes first, even if the person is not among the "
    "crops."
)

FILES = "The hits are also in"
