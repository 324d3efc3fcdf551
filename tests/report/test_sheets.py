import re

import pytest

from reseen.report.sheets import FRAMES, Cell, Row, plot_sheet, sheet_html
from reseen.report.thumbnails import Thumbnails


@pytest.fixture
def rows(town):
    images = town.train
    mix = [("camera 1", 0.25, "#111111"), ("camera <2>", 0.75, "#222222")]
    first = [Cell(images[0], "c1", "query"), Cell(images[1], "c2", "right"), None]
    second = [Cell(images[2], "0.5", "wrong"), Cell(images[0])]
    return [Row("One <b>", "a & b", first, mix), Row("Two", "", second)]


def test_a_page_shows_every_crop_with_its_mark(rows):
    pictures = Thumbnails()
    html = sheet_html(rows, pictures)
    assert re.findall(r'<figure class="crop (\w*)">', html) == ["query", "right", "wrong", ""]
    assert "✓ c2" in html and "✗ 0.5" in html and html.count("class=gap") == 1
    assert "One &lt;b&gt;" in html and "a &amp; b" in html and "camera &lt;2&gt; 75%" in html
    assert len(pictures) == 3  # one of the four is there already


def test_a_page_without_pictures_keeps_titles(rows):
    pictures = Thumbnails(pictures=False)
    html = sheet_html(rows, pictures)
    assert "One" in html and "Two" in html and "crop" not in html and len(pictures) == 0


def test_a_figure_shows_every_crop_in_its_frame(rows):
    axes = plot_sheet(rows).axes[0]
    assert len(axes.images) == len(axes.patches) == 4
    edges = [patch.get_edgecolor() for patch in axes.patches]
    from matplotlib.colors import to_rgba

    assert edges[:3] == [to_rgba(FRAMES[kind][1]) for kind in ("query", "right", "wrong")]
    assert {"One <b>  a & b", "Two  ", "✓ c2", "✗ 0.5", "…"} <= {t.get_text() for t in axes.texts}
    low, high = axes.get_ylim()
    for image in axes.images:  # none lies outside
        left, right, bottom, top = image.get_extent()
        assert axes.get_xlim()[0] < left < right < axes.get_xlim()[1]
        assert high < top < bottom < low
