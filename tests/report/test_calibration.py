import numpy as np

from reseen.report.calibration import draw_cutoffs, plot_cutoffs, write_calibration


def test_pairs_and_both_cut_offs_are_drawn():
    rng = np.random.default_rng(0)
    kinds = {"two named people": rng.normal(0, 0.1, 300), "one named person": np.full(40, 0.7)}
    figure = plot_cutoffs(kinds, 0.6, 0.4)
    axes = figure.axes[0]
    marks = {line.get_label(): line.get_xdata()[0] for line in axes.lines}
    assert marks == {"same, from 0.600 on": 0.6, "maybe, from 0.400 on": 0.4}
    filled = [patch for patch in axes.patches if patch.get_label().startswith(tuple(kinds))]
    assert [patch.get_label() for patch in filled] == [
        *("two named people (300)", "one named person (40)")
    ]
    for patch in filled:
        assert np.isclose(patch.get_data().values.sum(), 1)


def test_the_picture_stands_in_a_page():
    svg = draw_cutoffs({"any two crops": np.linspace(-1, 1, 50)}, 0.6, 0.4)
    assert svg.startswith("<svg") and 'aria-label="Similarity of pairs' in svg
    assert "any two crops" in svg and "currentColor" in svg


def test_without_pairs_the_cut_offs_are_drawn_alone():
    assert "same, from 0.800 on" in draw_cutoffs({}, 0.8, 0.65)


def test_a_page_says_it_in_words_and_keeps_the_figure(tmp_path):
    page = tmp_path / "c.html"
    kinds = {"any two crops": np.linspace(-1, 1, 50)}
    write_calibration(page, kinds, 0.6, 0.4, ["At most 1 in 5 <pairs>."], title="Cut-offs of G")
    text = page.read_text()
    assert "At most 1 in 5 &lt;pairs&gt;." in text and "<svg" in text and "Cut-offs of G" in text
    beside = tmp_path / "c.reseen"
    assert {path.name for path in beside.iterdir()} >= {"cutoffs.svg", "cutoffs.csv"}
    assert "same,0.6" in (beside / "cutoffs.csv").read_text()
