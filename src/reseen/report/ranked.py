"""Ranked lists as one HTML page: a query, and the crops that an encoder finds most like it."""

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np

from reseen.data.pictures import open_picture
from reseen.engine.files import written
from reseen.errors import DataError
from reseen.records import Dataset, Image, Ranking

HEIGHT = 128
"""Rows of the thumbnails, in pixels."""


def write_ranked(
    path: Path,
    data: Dataset,
    rankings: Mapping[str, Ranking],
    *,
    show: int = 12,
    seed: int = 0,
) -> None:
    """Write a page that shows the same queries as several encoders rank them.

    Args:
        path: the file to write; whole, or as it was.
        data: its queries and gallery were searched.
        rankings: title and result of each encoder, as `training.evaluate` gives it.
        show: queries to show; drawn by chance, so good and bad ones stand as often as they are.
        seed: of that draw.

    Raises:
        DataError: the rankings judged different queries, so they are not of the same data.
    """
    judged = [ranking.queries for ranking in rankings.values()]
    if any(not np.array_equal(judged[0], other) for other in judged[1:]):
        raise DataError("The rankings judge different queries: give rankings of the same data set.")
    drawn = np.random.default_rng(seed).permutation(len(judged[0]))[:show]
    lists = "".join(_query(data, rankings, row) for row in sorted(drawn))
    scores = "".join(
        f"<tr><th>{escape(title)}</th>"
        + "".join(f"<td>{value:.1%}</td>" for value in ranking.summary().values())
        + "</tr>"
        for title, ranking in rankings.items()
    )
    names = "".join(f"<th>{name}</th>" for name in next(iter(rankings.values())).summary())
    text = _PAGE.format(
        name=escape(data.name),
        names=names,
        scores=scores,
        lists=lists,
        shown=len(drawn),
        queries=len(judged[0]),
    )
    with written(path) as file:
        file.write(text.encode())


def _query(data: Dataset, rankings: Mapping[str, Ranking], row: int) -> str:
    position = int(next(iter(rankings.values())).queries[row])
    query = data.query[position]
    lists = []
    for title, ranking in rankings.items():
        found = "".join(
            _figure(data.gallery[i], "right" if right else "wrong")
            for i, right in zip(ranking.top[row], ranking.right[row], strict=True)
            if i >= 0
        )
        lists.append(
            f"<h3>{escape(title)} <small>AP {ranking.average_precision[row]:.0%}, first match at "
            f"{ranking.first_match[row]}</small></h3><div class=list>{found}</div>"
        )
    return f"<section>{_figure(query, 'query')}<div>{''.join(lists)}</div></section>"


def _figure(image: Image, kind: str) -> str:
    picture = open_picture(image.path)
    picture.thumbnail((HEIGHT, HEIGHT))
    packed = BytesIO()
    picture.save(packed, "JPEG", quality=80)
    source = b64encode(packed.getvalue()).decode()
    camera = "" if image.camera is None else f"camera {image.camera}"
    label = {"right": "✓ same person", "wrong": "✗ somebody else", "query": "query"}[kind]
    return (
        f'<figure class={kind}><img alt="{label}" title="{escape(image.path.name)}" '
        f'src="data:image/jpeg;base64,{source}">'
        f"<figcaption>{label.split()[0]} {camera}</figcaption></figure>"
    )


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>Ranked lists: {name}</title>
<style>
:root {{ color-scheme: light dark; --right: #1a7f37; --wrong: #c4432b; --line: #8886; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem;
       padding: 0 1rem; }}
table {{ border-collapse: collapse; }} th, td {{ padding: .2rem .8rem .2rem 0; text-align: right; }}
th:first-child {{ text-align: left; }}
section {{ display: flex; gap: 1.5rem; border-top: 1px solid var(--line); padding: 1rem 0; }}
h3 {{ font-size: 1rem; margin: 0 0 .4rem; }} small {{ font-weight: normal; opacity: .7; }}
.list {{ display: flex; flex-wrap: wrap; gap: .4rem; margin-bottom: .8rem; }}
figure {{ margin: 0; font-size: .7rem; text-align: center; width: 4.8rem; }}
img {{ display: block; margin: auto; width: 4rem; border: 3px solid var(--line);
      border-radius: 4px; }}
.right img {{ border-color: var(--right); }} .wrong img {{ border-color: var(--wrong);
             border-style: dashed; }}
.right figcaption {{ color: var(--right); }} .wrong figcaption {{ color: var(--wrong); }}
@media (max-width: 40rem) {{ section {{ flex-direction: column; }} }}
@media print {{ section {{ break-inside: avoid; }} }}
</style>
<h1>Who looks alike: {name}</h1>
<p>{shown} of {queries} queries, drawn by chance; the crops of the gallery that come first, nearest
first: ✓ the same person, ✗ somebody else. A crop of the same person by the same camera does not
count and is left out. A similarity is not proof of identity.</p>
<table><tr><th></th>{names}</tr>{scores}</table>
{lists}
</html>
"""
