import re
from dataclasses import replace

import numpy as np
import pytest

from reseen.errors import DataError
from reseen.metrics.ranking import rank
from reseen.report.evidence import Evidence
from reseen.report.page import write_page
from reseen.report.ranked import (
    draw_queries,
    neighbour_rows,
    ranked_rows,
    scores,
    show_ranked,
    worst_first,
)
from reseen.report.section import Section, table
from reseen.report.sheets import sheet_html
from reseen.report.thumbnails import Thumbnails


@pytest.fixture
def ranking(town):
    """The gallery in one order drawn by chance, the same for every query."""
    person, camera = (
        [np.array([getattr(i, name) for i in part]) for part in (town.query, town.gallery)]
        for name in ("person", "camera")
    )
    far = np.random.default_rng(2).permutation(len(town.gallery)).astype(np.float32)
    return rank(
        [(0, np.tile(far, (len(town.query), 1)))],
        query_person=person[0],
        gallery_person=person[1],
        query_camera=camera[0],
        gallery_camera=camera[1],
    )


def test_shows_what_the_ranking_holds(town, ranking, tmp_path):
    page, pictures = tmp_path / "page.html", Thumbnails()
    rankings = {"before": ranking, "after": ranking}
    rows = ranked_rows(town, rankings, draw_queries(rankings, 5))
    html = table(scores(rankings)) + sheet_html(rows, pictures)
    write_page(page, "a <b>", [Section("Ranked", html)], pictures)
    text = page.read_text(encoding="utf-8")
    drawn = np.random.default_rng(0).permutation(len(ranking.queries))[:5]
    order = np.argsort(ranking.average_precision, kind="stable")
    figures = re.findall(r'<figure class="crop (\w+)"><i [^>]*title="([^"]+)"', text)
    expected = []
    for row in order[np.sort(drawn)]:
        query = town.query[ranking.queries[row]]
        listed = [("query", f"query c{query.camera} {query.path.name}")]
        for i, right in zip(ranking.top[row], ranking.right[row], strict=True):
            if i >= 0:
                kind, image = "right" if right else "wrong", town.gallery[i]
                listed.append((kind, f"{kind} c{image.camera} {image.path.name}"))
        expected += 2 * listed
    assert figures == expected
    assert {kind for kind, _ in figures} == {"query", "right", "wrong"}
    assert text.count(f"<td>{ranking.mean_ap:.1%}</td>") >= 2
    assert "a &lt;b&gt;" in text and "<b>" not in text


def test_worst_first(town, ranking):
    order = worst_first({"one": ranking})
    assert (np.diff(ranking.average_precision[order]) >= 0).all()
    better = replace(ranking, average_precision=1 - ranking.average_precision)
    both = worst_first({"one": ranking, "two": better})
    np.testing.assert_array_equal(both, np.arange(len(order)))  # their means are all 0.5
    drawn = draw_queries({"one": ranking}, 4, seed=1)
    assert len(drawn) == 4 and (np.diff(ranking.average_precision[drawn]) >= 0).all()
    assert not np.array_equal(drawn, order[:4])


def test_neighbours_of_images_that_nobody_knows(blind_run):
    learnt = Evidence(blind_run).learnt
    place = {image.path: i for i, image in enumerate(learnt.images)}
    rows = neighbour_rows(learnt, show=3)
    assert len(rows) == 3
    for row in rows:
        query, *near = [place[cell.image.path] for cell in row.cells]
        similar = learnt.features @ learnt.features[query]
        others = [i for i in np.argsort(-similar, kind="stable") if i != query]
        np.testing.assert_allclose(similar[near], similar[others[:10]], atol=1e-6)
        assert query not in near and row.cells[1].text == f"{similar[near[0]]:.2f}"


def test_the_section_with_and_without_people(evidence, blind_run):
    section = show_ranked([evidence], Thumbnails())
    assert set(section.figures) == {"ranked-worst", "ranked-drawn"}
    assert "✓" in section.html and "with the worst results" in section.html
    ranking = evidence.tested.ranking
    head, *rows = section.tables["ranked"]
    assert len(rows) == len(ranking.queries) and head[:4] == [
        *("run", "query", "average_precision", "first_match")
    ]
    assert np.mean([row[2] for row in rows]) == pytest.approx(ranking.mean_ap, abs=1e-4)
    blind = Evidence(blind_run)
    section = show_ranked([blind, blind], Thumbnails())
    assert (
        set(section.figures) == {"ranked-1", "ranked-2"}
        and "No query has a picture of the same person" in section.html
    )
    assert "crop right" not in section.html and section.html.count("<h3 class=run>run") == 2
    bare = show_ranked([blind], Thumbnails(pictures=False))
    assert "Nothing is shown, as pictures are turned off." in bare.html and not bare.figures


def test_without_pictures_the_scores_stay(evidence):
    section = show_ranked([evidence], Thumbnails(pictures=False))
    assert not section.figures and "crop" not in section.html.replace("crops", "").replace(
        "A crop", ""
    )
    assert f"{evidence.tested.ranking.mean_ap:.1%}" in section.html and "ranked" in section.tables


def test_refuses_rankings_of_other_data(ranking):
    other = replace(ranking, queries=ranking.queries[1:])
    with pytest.raises(DataError, match="different queries"):
        draw_queries({"one": ranking, "two": other}, 5)
