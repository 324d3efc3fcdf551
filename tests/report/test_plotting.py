import re
import xml.etree.ElementTree as ET

import pytest

from reseen.report import plotting


def drawn():
    with plotting.styled():
        figure = plotting.new_figure(2, 2)
        figure.add_subplot(title="A <title>", xlabel="round").plot([1, 2], [3, 4], label="x")
    return figure


def test_a_figure_in_a_page_asks_nobody_and_takes_the_colour_of_the_text():
    text = plotting.inline(drawn(), 'what "it" shows')
    root = ET.fromstring(text)
    assert root.tag == "svg" and root.get("aria-label") == 'what "it" shows'
    assert "://" not in text and plotting.INK not in text and "currentColor" in text
    assert "A &lt;title&gt;" in text  # letters are letters
    used = set(re.findall(r'(?:href="#|url\(#)(\w+)', text))
    assert used <= {element.get("id") for element in root.iter()}
    assert plotting.inline(drawn(), 'what "it" shows') == text


def test_files_are_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        for kind in ("png", "svg"):
            plotting.save_figure(drawn(), tmp_path / f"{name}.{kind}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("count", [0, 1, 10, 11, 300])
def test_every_thing_has_its_own_colour(count):
    tints = plotting.colours(count)
    assert len(tints) == len(set(tints)) == count
    assert all(re.fullmatch(r"#[0-9a-f]{6}", tint) for tint in tints)


def test_long_names_are_cut_in_the_middle():
    assert plotting.shortened(["short", "a" * 40 + "b" * 40], 11) == ["short", "aaaaa…bbbbb"]


def test_letters_without_a_font_are_code_points_and_no_warnings(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "_fonts", lambda letters: ())
    with plotting.styled():
        figure = plotting.new_figure(3, 2)
        axes = figure.add_subplot(title="入口 $5", ylabel="a\rb \udce9")
        axes.bar([0, 1], [1, 2], label="门 ✓")
        axes.set_xticks([0, 1], ["电梯", "door"])
        plotting.add_legend(figure, 3)
    text = plotting.inline(figure, "")
    assert all(name in text for name in ("入口 $5", "电梯", "门 ✓", r"a\rb \udce9"))
    assert not plotting.save_figure(figure, tmp_path / "a.svg")
    assert "电梯" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert plotting.save_figure(figure, tmp_path / "a.png")
    assert [label.get_text() for label in axes.get_xticklabels()] == [r"\u7535\u68af", "door"]
    assert axes.get_title(loc="left") == r"\u5165\u53e3 $5"
    assert figure.legends[0].get_texts()[0].get_text() == r"\u95e8 ✓"
    assert not plotting.save_figure(drawn(), tmp_path / "b.png")


def test_an_installed_font_that_has_the_letters_is_used(monkeypatch, tmp_path):
    import matplotlib
    from matplotlib.font_manager import fontManager

    (other,) = {font.fname for font in fontManager.ttflist if font.name == "cmsy10"}
    lost = frozenset("入")
    monkeypatch.setattr(plotting, "_covered", lambda path, letters: letters & lost)
    plotting._fonts.cache_clear()
    assert plotting._fonts(lost)[0][1] == lost and other not in plotting._fonts(lost)[0]
    plotting._fonts.cache_clear()
    monkeypatch.setattr(plotting, "_fonts", lambda letters: (("STIXGeneral", letters),))
    monkeypatch.setattr(plotting, "_letters", lambda figure: lost)
    assert not plotting.save_figure(drawn(), tmp_path / "a.png")
    with plotting._drawn(drawn()):
        assert matplotlib.rcParams["font.sans-serif"] == ["DejaVu Sans", "STIXGeneral"]


@pytest.mark.parametrize("length", [1, 10, 28, 60])
def test_a_legend_is_as_wide_as_its_figure(length):
    with plotting.styled():
        figure = plotting.new_figure(4.2, 2.9)
        axes = figure.add_subplot()
        for k in range(6):
            axes.plot([0, 1], [0, k], label=(f"{k}" * length)[:28])
        plotting.add_legend(figure, 4)
        figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert figure.legends[0]._ncols == (4 if length == 1 else 3 if length == 10 else 1)
