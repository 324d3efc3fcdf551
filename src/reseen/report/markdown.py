"""Markdown tables that are kept up to date inside a page."""

from collections.abc import Sequence
from pathlib import Path

from reseen.engine.files import written
from reseen.errors import DataError


def around(path: Path, mark: str) -> tuple[str, str]:
    """Return the text of a page before and after a table.

    Args:
        path: a Markdown page; if it does not exist, the table will be all of it.
        mark: the table is between the lines `<!-- MARK -->` and `<!-- end of MARK -->`.

    Raises:
        DataError: the page exists, but does not have these two lines.
    """
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    page = path.read_text(encoding="utf-8") if path.exists() else begin + end
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise DataError(
            f"{path} has no place for the table. Write the lines {begin.strip()} and {end.strip()} "
            "where the table belongs, or use a new file."
        )
    return before + begin, end + after


def write_table(
    path: Path,
    mark: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    about: Sequence[str] = (),
) -> None:
    """Write a table into a page, and replace the one that was there before.

    Args:
        path, mark: as in `around`.
        titles: of the columns, C.
        rows: of C cells each.
        about: paragraphs below the table.

    Raises:
        DataError: as in `around`.
    """
    before, after = around(path, mark)
    lines = [titles, ["---"] * len(titles), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    text = "\n\n".join([table, *about])
    with written(path) as file:
        file.write(f"{before}{text}\n{after}".encode())
