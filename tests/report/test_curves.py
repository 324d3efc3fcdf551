import pytest

from reseen.engine.folder import read_facts, read_metrics
from reseen.engine.settings import flat
from reseen.methods import METHODS
from reseen.report import curves
from reseen.report.evidence import Evidence
from reseen.report.thumbnails import Thumbnails

ROWS = [
    {"round": 0, "mAP": 0.1, "rank1": 0.2, "searching_seconds": 1.0},
    {"round": 1, "loss": 3.0, "clusters": 4, "round_seconds": 10.0, "extracting_seconds": 2.0},
    {
        "round": 2,
        "loss": 2.0,
        "clusters": 5,
        "round_seconds": 20.0,
        "mAP": 0.5,
        "rank1": 0.6,
        "extracting_seconds": 4.0,
        "searching_seconds": 3.0,
    },
    {"round": 3, "loss": 1.0, "clusters": 6, "round_seconds": 30.0, "mAP": 0.4, "rank1": 0.7},
]


def lines(figure):
    return [list(zip(*line.get_data(), strict=True)) for line in figure.axes[0].lines]


def test_curves_hold_the_numbers_of_the_rounds_that_have_them():
    one = curves.plot_rounds({"a": ROWS}, curves.PANELS["accuracy"])
    assert lines(one) == [[(0, 0.1), (2, 0.5), (3, 0.4)], [(0, 0.2), (2, 0.6), (3, 0.7)]]
    two = curves.plot_rounds({"a": ROWS, "b": ROWS[:2]}, curves.PANELS["loss"])
    assert lines(two) == [[(1, 3.0), (2, 2.0), (3, 1.0)], [(1, 3.0)]]
    assert [text.get_text() for text in two.legends[0].get_texts()] == ["a", "b"]
    assert curves.plot_rounds({"a": ROWS}, curves.PANELS["noise"]) is None
    empty = curves.plot_rounds({"a": ROWS, "b": []}, curves.PANELS["clusters"])
    assert lines(empty)[1] == []


def test_both_kinds_of_nmi_are_drawn_in_lines_that_differ():
    measured = {"nmi": 0.8, "nmi_labelled": 0.7, "ari": 0.5, "pairwise_f": 0.4}
    rows = [{"round": i, **measured} for i in (1, 2)]
    figure = curves.plot_rounds({"a": rows, "b": rows}, curves.PANELS["agreement"])
    assert lines(figure)[1] == [(1, 0.7), (2, 0.7)]
    assert len({line.get_linestyle() for line in figure.axes[0].lines[:4]}) == 4
    titles = curves.results({"a": rows})
    assert titles[1][titles[0].index("NMI without noise")] == "0.700"


def test_an_exponent_that_hardly_moves_looks_like_it():
    rows = [{"round": i, "gem_p": 3 + i / 1e4, "rate": 1e-4} for i in (1, 2)]
    for name, least in (("gem", 3), ("rate", 1e-4)):
        low, high = curves.plot_rounds({"a": rows}, curves.PANELS[name]).axes[0].get_ylim()
        assert low == 0 and high > 1.05 * least


def test_each_term_of_the_loss_is_drawn_by_its_name():
    rows = [{"round": i, "loss": 1.0, "loss_ce": 2.0, "loss_soft_triplet": 3.0} for i in (1, 2)]
    figure = curves.plot_rounds({"a": rows}, curves.PANELS["terms"])
    assert lines(figure) == [[(1, 2.0), (2, 2.0)], [(1, 3.0), (2, 3.0)]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ce", "soft triplet"]
    assert curves.plot_rounds({"a": ROWS}, curves.PANELS["terms"]) is None
    assert curves.CAPTIONS.keys() == {*curves.PANELS, "stages"}


def test_seconds_of_stages():
    stages = curves.stage_seconds(ROWS)
    assert stages == {"extracting": 2.0, "the rest": 18.0, "searching": 3.0}
    assert curves.stage_seconds([]) == {} and curves.plot_stages({"a": []}) is None
    figure = curves.plot_stages({"a": ROWS, "b": ROWS[:2]})
    widths = [[bar.get_width() for bar in bars] for bars in figure.axes[0].containers]
    assert widths == [[2.0, 2.0], [18.0, 8.0], [3.0, 0]]


def test_before_last_and_best():
    head, *rows = curves.results({"a": ROWS, "b": ROWS[:2], "c": []})
    assert head == ["run", "", "round", "mAP", "rank-1", "clusters", "loss"]
    assert rows == [
        ["a", "before", 0, "10.0%", "20.0%", "", ""],
        ["a", "last", 3, "40.0%", "70.0%", "6", "1.000"],
        ["a", "best on test", 2, "50.0%", "60.0%", "5", "2.000"],
        ["b", "before", 0, "10.0%", "20.0%", "", ""],
        ["b", "last", 1, "", "", "4", "3.000"],
    ]
    at_work = curves.results({"a": [*ROWS, {"round": 4, "loss": 0.5}]})
    assert [row[1:3] for row in at_work[2:4]] == [["last", 4], ["last searched", 3]]


def test_settings_that_differ(run):
    facts = read_facts(run)
    head, *rows = curves.settings({"a": facts})
    assert head == ["setting", "default", "a"]
    told = {row[0]: row[1:] for row in rows}
    assert told["epochs"] == [50, 3] and told["encoder.backbone"] == ["auto", "squeezenet1_1"]
    assert "temperature" not in told and "encoder.batch" not in told
    other = {**facts, "settings": {**facts["settings"], "temperature": 0.1}}
    head, *rows = curves.settings({"a": facts, "b": other})
    assert ["temperature", 0.05, 0.05, 0.1] in rows
    file = {"encoder": {"weights": "/home/somebody/weights/net.pth"}}
    shown = curves.settings({"a": {**facts, "settings": file}})
    assert ["encoder.weights", "timm", "net.pth"] in shown and "somebody" not in str(shown)
    mine = {"method": "Mine", "settings": {"depth": 3}}
    assert curves.settings({"m": mine}) == [["setting", "m"], ["depth", 3]]
    head, *rows = curves.settings({"a": facts, "m": mine})
    assert head == ["setting", "a", "m"] and ["depth", "", 3] in rows


@pytest.mark.parametrize("kind", METHODS.values())
def test_a_run_with_defaults_differs_in_nothing(kind):
    from json import dumps, loads

    facts = {"method": kind.__name__, "settings": loads(dumps(flat(kind()), default=str))}
    assert len(curves.settings({"a": facts})) == 1


def test_flat():
    assert curves.flat({"a": {"b": 1, "c": {"d": [2]}}, "e": {}}) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": {},
    }


def test_the_section_of_a_run(run, town):
    section = curves.show_run([Evidence(run, town)], Thumbnails())
    assert section.title == "The run"
    names = {
        *("accuracy", "loss", "rate", "clusters", "noise"),
        *("agreement", "stability", "stages"),
    }
    assert set(section.figures) == {f"run-{name}" for name in names}
    head, *rows = section.tables["run-rounds"]
    measured = read_metrics(run)
    assert len(rows) == len(measured) == 4
    for row, numbers in zip(rows, measured, strict=True):
        told = dict(zip(head, row, strict=True))
        assert {n: v for n, v in told.items() if v != "" and n != "run"} == numbers
    assert section.html.count("<svg") == len(names)
    assert "epochs</th><td>50</td><td>3</td>" in section.html


def test_without_people_stability_stands_for_agreement(blind_run):
    section = curves.show_run([Evidence(blind_run)], Thumbnails())
    assert "run-stability" in section.figures
    assert not {"run-agreement", "run-accuracy"} & set(section.figures)
    assert "chosen by the test set" not in section.html


def test_runs_of_several_methods_and_one_that_has_not_begun(run, blind_run, town):
    empty = Evidence(run, town, title="<empty>")
    empty.rows = []
    section = curves.show_run([Evidence(run, town), empty], Thumbnails())
    assert section.title == "The runs" and "&lt;empty&gt;" in section.html
    alone = curves.show_run([empty], Thumbnails())
    assert "No round is finished yet." in alone.html and not alone.figures
