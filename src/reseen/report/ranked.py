"""Ranked lists: a query, and the crops that are most similar to it for an encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reseen.errors import DataError, counted
from reseen.records import Dataset, Ranking
from reseen.report.evidence import Evidence, Learnt
from reseen.report.section import Section, paragraph, table_of_runs, under, unfinished
from reseen.report.sheets import Cell, Row, plot_sheet, seen_by, sheet_html
from reseen.report.thumbnails import Thumbnails

WORST = 8
"""Number of queries with the worst results on a page."""

DRAWN = 8
"""Number of random queries on a page."""

LISTED = 10
"""Number of neighbours of an image that are shown if people are unknown."""


def draw_queries(rankings: Mapping[str, Ranking], show: int, seed: int = 0) -> np.ndarray:
    """Draw random rows of rankings, worst first (see `worst_first`).

    Raises:
        DataError: the rankings are for different queries.
    """
    order = worst_first(rankings)
    drawn = np.random.default_rng(seed).permutation(len(order))[:show]
    return order[np.sort(drawn)]


def worst_first(rankings: Mapping[str, Ranking]) -> np.ndarray:
    """Return the rows of rankings of V queries, sorted by their average precision (V,).

    For several rankings, their mean is used.

    Raises:
        DataError: the rankings are for different queries.
    """
    judged = [ranking.queries for ranking in rankings.values()]
    if any(not np.array_equal(judged[0], other) for other in judged[1:]):
        raise DataError("The rankings are for different queries. Give those of one data set.")
    precision = np.mean([ranking.average_precision for ranking in rankings.values()], axis=0)
    return np.argsort(precision, kind="stable")


def ranked_rows(data: Dataset, rankings: Mapping[str, Ranking], rows: np.ndarray) -> list[Row]:
    """Lay out queries and the results of each encoder, with marks for right and wrong ones.

    Args:
        data: its queries and gallery were searched.
        rankings: title and result of each encoder.
        rows: (r,) positions in the evaluated queries.
    """
    laid = []
    for row in map(int, rows):
        for number, (title, ranking) in enumerate(rankings.items()):
            query = data.query[int(ranking.queries[row])]
            hits = [
                Cell(
                    data.gallery[i],
                    seen_by(data.gallery[i], data.cameras),
                    "right" if right else "wrong",
                )
                for i, right in zip(ranking.top[row], ranking.right[row], strict=True)
                if i >= 0
            ]
            note = (
                f"AP {ranking.average_precision[row]:.0%}, first match at "
                f"{ranking.first_match[row]}"
            )
            name = title if len(rankings) > 1 else query.path.name
            name = f"{query.path.name}: {title}" if len(rankings) > 1 and not number else name
            asked = Cell(query, seen_by(query, data.cameras), "query")
            laid.append(Row(name, note, [asked, *hits]))
    return laid


def neighbour_rows(
    learnt: Learnt, show: int, seed: int = 0, named: Mapping[int, str] | None = None
) -> list[Row]:
    """Lay out random images and the most similar ones to each, if people are unknown.

    Memory: O(show N).
    """
    drawn = np.random.default_rng(seed).permutation(len(learnt.images))[:show]
    similar = learnt.features[drawn] @ learnt.features.T
    similar[np.arange(len(drawn)), drawn] = -np.inf
    laid = []
    for i, near in zip(drawn, similar, strict=True):
        order = np.argsort(-near, kind="stable")[: min(LISTED, len(near) - 1)]
        cells = [
            Cell(learnt.images[j], f"{seen_by(learnt.images[j], named)} {near[j]:.2f}".strip())
            for j in order
        ]
        image = learnt.images[i]
        note = "the most similar training images"
        laid.append(
            Row(image.path.name, note, [Cell(image, seen_by(image, named), "query"), *cells])
        )
    return laid


def scores(rankings: Mapping[str, Ranking]) -> list[list[str]]:
    """List mAP, CMC and mINP of each ranking."""
    names = next(iter(rankings.values())).summary()
    lines = [[t, *(f"{v:.1%}" for v in r.summary().values())] for t, r in rankings.items()]
    return [["", *names], *lines]


def table_of_queries(data: Dataset, rankings: Mapping[str, Ranking]) -> list[list[Any]]:
    """List every evaluated query: its average precision, and the rank of its first match."""
    lines = []
    for title, ranking in rankings.items():
        columns = ranking.queries, ranking.average_precision, ranking.first_match, ranking.top
        for query, precision, first, top in zip(*columns, strict=True):
            hits = [data.gallery[i].path.as_posix() if i >= 0 else "" for i in top]
            name = data.query[query].path.as_posix()
            lines.append([title, name, round(float(precision), 4), int(first), *hits])
    width = max((len(line) for line in lines), default=4) - 4
    head = ["run", "query", "average_precision", "first_match"]
    return [[*head, *(f"hit_{k + 1}" for k in range(width))], *lines]


def show_ranked(runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    """Show who looks alike: queries and their results, or neighbours if people are unknown."""
    title = "Who looks alike"
    waiting = unfinished(runs)
    runs = [run for run in runs if run.trained]
    if not runs:
        return Section(title, waiting)
    if not runs[0].searchable:
        return _unknown(title, runs, pictures)
    data = runs[0].tested.data
    rankings = {run.title: run.tested.ranking for run in runs}
    html = paragraph(ABOUT) + waiting + table_of_runs(scores(rankings))
    skipped = runs[0].tested.ranking.skipped
    left_out = f"{counted(skipped, 'query', 'queries')} without a match in the gallery left out."
    html += paragraph(left_out) if skipped else ""
    chosen = {
        "worst": ("Queries with the worst results", worst_first(rankings)[:WORST]),
        "drawn": ("Random queries, worst first", draw_queries(rankings, DRAWN)),
    }
    figures = {}
    if pictures.pictures:
        for name, (heading, rows) in chosen.items():
            laid = ranked_rows(data, rankings, rows)
            html += f"<h3>{heading}</h3>{sheet_html(laid, pictures)}"
            figures[f"ranked-{name}"] = plot_sheet(laid, pictures)
    return Section(title, html, figures, {"ranked": table_of_queries(data, rankings)})


def _unknown(title: str, runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    if not pictures.pictures:
        return Section(title, paragraph(f"{UNKNOWN} Nothing is shown, as pictures are turned off."))
    html, figures = paragraph(UNKNOWN), {}
    for number, run in enumerate(runs, 1):
        named = run.data.cameras if run.data else {}
        rows = neighbour_rows(run.learnt, DRAWN, named=named)
        html += under(run.title if len(runs) > 1 else "", sheet_html(rows, pictures))
        figures[f"ranked-{number}"] = plot_sheet(rows, pictures)
    return Section(title, html, figures)


ABOUT = (
    "Each row shows a query, framed in blue, and the gallery crops that are most similar to it, "
    "the most similar first: ✓ is the same person, ✗ somebody else. Crops of the same person by "
    "the same camera are left out, as in the Market-1501 protocol."
)

UNKNOWN = (
    "No query has a picture of the same person in a gallery, so it is unknown which results are "
    "right. Each row shows a random training image, framed in blue, and the images that are most "
    "similar to it, with their cosine similarity (1 is identical)."
)
