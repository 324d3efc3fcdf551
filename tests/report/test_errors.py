from dataclasses import replace

import numpy as np
import pytest

from reseen.metrics.errors import FirstErrors, first_errors, triplet_margins
from reseen.report import errors
from reseen.report.evidence import Evidence
from reseen.report.threshold import asked_for
from reseen.report.thumbnails import Thumbnails

FOUND = FirstErrors(
    right=4,
    in_camera=3,
    cross_camera=2,
    unknown=1,
    cameras=np.array([1, 4]),
    asked=np.array([8, 0]),
    wrong=np.array([[3, 2], [0, 0]]),
)
"""Ten queries, of which camera 1 asks eight and an unknown one two."""


def test_the_bars_of_first_errors():
    figure = errors.plot_first_errors({"a": FOUND, "b": replace(FOUND, right=14)})
    bars = {
        of.get_label(): pytest.approx([bar.get_width() for bar in of])
        for of in figure.axes[0].containers
    }
    assert bars == {
        "by the same camera": [0.3, 0.15],
        "by another camera": [0.2, 0.1],
        "camera unknown": [0.1, 0.05],
    }
    known = errors.plot_first_errors({"a": replace(FOUND, unknown=0)})
    assert len(known.axes[0].containers) == 2


def test_errors_by_pair_of_cameras():
    figure = errors.plot_camera_pairs(FOUND, ["1", "door"])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[3 / 8, 2 / 8], [0, 0]])
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "3", (1, 0): "2", (0, 1): "0", (1, 1): "0"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "door"]
    assert errors.table_of_pairs({"a": FOUND}, ["1", "door"]) == [
        ["run", "query_camera", "queries", "wrong_1", "wrong_door"],
        ["a", "1", 8, 3, 2],
        ["a", "door", 0, 0, 0],
    ]


def test_the_summary_by_hand():
    head, row = errors.summary({"a": FOUND}, {"a": np.array([-1, 0, 2, 3.0])})
    assert row == ["a", 10, "6 (60.0%)", "3 (30.0%)", "2 (20.0%)", "1 (10.0%)", "50.0%"]
    assert len(head) == len(row) and errors.summary({"a": FOUND}, {})[1][-1] == ""


def test_the_histogram_of_margins_holds_all():
    rng = np.random.default_rng(2)
    margins = {"a": rng.normal(1, 1, 300), "b": rng.normal(0, 1, 200)}
    figure = errors.plot_margins(margins)
    for shown, of in zip(figure.axes[0].patches, margins.values(), strict=True):
        values, edges, _ = shown.get_data()
        for value, low, high in zip(values, edges, edges[1:], strict=False):
            assert value == pytest.approx(((of >= low) & (of < high)).mean())
        assert values.sum() == pytest.approx(1)


def test_the_section(evidence, blind_run, town):
    section = errors.show_errors([evidence], Thumbnails())
    assert set(section.figures) == {"errors-first", "errors-cameras", "errors-margins"}
    found = first_errors(evidence.tested.ranking, town)
    head, *rows = section.tables["errors-cameras"]
    assert [row[3:] for row in rows] == found.wrong.tolist() and len(head) == 6
    assert f"{found.in_camera} ({found.in_camera / found.queries:.1%})" in section.html
    people = asked_for(evidence.tested)
    assert (people == -1).any() and set(people) - {-1} == {q.person for q in town.query}
    margins = triplet_margins(evidence.tested.features, people, np.random.default_rng(0))
    assert f"{np.mean(margins <= 0):.1%}" in section.html
    blind = errors.show_errors([Evidence(blind_run)], Thumbnails())
    assert "Errors can only be counted with" in blind.html and not blind.figures


def test_runs_side_by_side(evidence, run, town):
    section = errors.show_errors([evidence, Evidence(run, town, title="other")], Thumbnails())
    assert {"errors-cameras-1", "errors-cameras-2", "errors-margins"} < set(section.figures)
    assert len(section.figures["errors-margins"].axes[0].patches) == 2
