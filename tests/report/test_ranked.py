import re
from dataclasses import replace

import numpy as np
import pytest

from reseen.errors import DataError
from reseen.metrics.ranking import rank
from reseen.report.ranked import write_ranked


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
    page = tmp_path / "page.html"
    write_ranked(page, replace(town, name="a <b>"), {"before": ranking, "after": ranking}, show=5)
    text = page.read_text(encoding="utf-8")
    drawn = np.sort(np.random.default_rng(0).permutation(len(ranking.queries))[:5])
    figures = re.findall(r'<figure class=(\w+)><img alt="[^"]*" title="([^"]+)"', text)
    expected = []
    for row in drawn:
        expected.append(("query", town.query[ranking.queries[row]].path.name))
        listed = [
            ("right" if right else "wrong", town.gallery[i].path.name)
            for i, right in zip(ranking.top[row], ranking.right[row], strict=True)
            if i >= 0
        ]
        expected += 2 * listed
    assert figures == expected
    assert {kind for kind, _ in figures} == {"query", "right", "wrong"}
    assert text.count(f"<td>{ranking.mean_ap:.1%}</td>") >= 2
    assert "a &lt;b&gt;" in text and "<b>" not in text


def test_is_self_contained(town, ranking, tmp_path):
    write_ranked(tmp_path / "page.html", town, {"only": ranking})
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"(https?:)?//\w", re.sub(r"base64,[^\"]+", "", text))
    assert set(re.findall(r'src="([^,]+),', text)) == {"data:image/jpeg;base64"}


def test_refuses_rankings_of_other_data(town, ranking, tmp_path):
    other = replace(ranking, queries=ranking.queries[1:])
    with pytest.raises(DataError, match="different queries"):
        write_ranked(tmp_path / "page.html", town, {"one": ranking, "two": other})
    assert not list(tmp_path.iterdir())
