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
