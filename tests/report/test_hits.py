import csv

import pytest

from reseen.errors import SettingsError
from reseen.records import Hit
from reseen.report.hits import write_hits
from tests.report.browser import opened


@pytest.fixture
def hits(town):
    """Two hits of each of two queries."""
    first, second, *others = town.train
    pairs = [(first, others[0]), (first, others[1]), (second, others[0]), (second, first)]
    return [Hit(q, image, 1 + i % 2, 0.9 - i / 10) for i, (q, image) in enumerate(pairs)]


def test_a_page_shows_queries_and_their_hits_and_a_table_lies_beside(hits, tmp_path):
    page = tmp_path / "found.html"
    cameras = {hit.image.camera: f"gate {hit.image.camera}" for hit in hits}
    write_hits(page, hits, cameras, title="Search <here>")
    text = page.read_text(encoding="utf-8")
    assert "<h1>Search &lt;here&gt;</h1>" in text and "not proof of identity" in text
    assert "This page contains 4 pictures of people." in text
    assert text.count("<div class=row>") == 2 and text.count('class="crop query"') == 2
    place = text.index(f"gate {hits[0].image.camera} 0.90")
    assert place < text.index(f"gate {hits[1].image.camera} 0.80")
    with (tmp_path / "found.reseen" / "hits.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], int(row["rank"]), float(row["similarity"])) for row in rows] == [
        (hit.image.path.as_posix(), hit.rank, round(hit.similarity, 4)) for hit in hits
    ]
    assert rows[0]["camera"] == cameras[hits[0].image.camera]

    write_hits(page, hits[:2], title="once more", blur=True)  # its own page may be replaced
    assert "upper quarter of each blurred" in page.read_text(encoding="utf-8")


def test_what_was_not_written_by_a_page_stays(hits, tmp_path):
    folder = tmp_path / "found.reseen"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="was not made by reseen report"):
        write_hits(tmp_path / "found.html", hits, title="a")
    assert [path.name for path in tmp_path.rglob("*")] == ["found.reseen", "mine.txt"]


def test_the_page_opens_and_fits_a_narrow_window(hits, tmp_path):
    write_hits(tmp_path / "found.html", hits, title="Search")
    with opened(tmp_path / "found.html", 400) as page:
        assert page.locator(".crop").count() == 6
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
