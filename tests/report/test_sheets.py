import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from reseen.report.sheets import FRAMES, Cell, Row, plot_sheet, sheet_html
from reseen.report.thumbnails import HEIGHT, WIDTH, Thumbnails


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
    pictures = Thumbnails()
    axes = plot_sheet(rows, pictures).axes[0]
    edges = [patch.get_edgecolor() for patch in axes.patches]
    assert edges[:3] == [to_rgba(FRAMES[kind][1]) for kind in ("query", "right", "wrong")]
    assert {"One <b>  a & b", "Two  ", "✓ c2", "✗ 0.5", "…"} <= {t.get_text() for t in axes.texts}
    (sheet,) = axes.images
    shown, left = sheet.get_array(), np.ones(sheet.get_array().shape[:2], bool)
    assert tuple(sheet.get_extent()) == (0, shown.shape[1], shown.shape[0], 0)
    cells = [cell for row in rows for cell in row.cells if cell]
    for cell, frame in zip(cells, axes.patches, strict=True):
        x, y = map(int, frame.get_xy())
        part = slice(y, y + HEIGHT), slice(x, x + WIDTH)
        np.testing.assert_array_equal(shown[part], pictures.pixels(cell.image))
        assert left[part].all()  # no two lie on each other
        left[part] = False
    assert (shown[left] == 255).all()


def test_odd_names_can_be_drawn(town):
    row = Row("a$_$b x${y}_{z$ \udcff.jpg", "", [Cell(town.train[0], "$c$")])
    figure = plot_sheet([row])
    figure.savefig(BytesIO(), format="svg")
    assert figure.axes[0].texts[0].get_text().startswith("a$_$b x${y}_{z$ ?.jpg")
