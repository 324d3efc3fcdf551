import math
from types import SimpleNamespace

import PIL.Image
import pytest

from reseen.report import plotting, sweep
from reseen.report.evidence import Evidence
from reseen.report.report import write_report
from reseen.report.thumbnails import Thumbnails

PAIRS = [(0.2, 0.4), (0.3, 0.5)], [(0.5, 0.7), (0.5, 0.8), (0.8, 0.9)]
FACTS = {"method": "A", "data": {"train": "x"}, "settings": {"k": 2, "eps": 0.5, "net": {"h": 8}}}


def made(changes, mean_ap=None, rank1=0.0, *, title="", number=4, **told):
    """Make a run with changed settings, judged before and after learning, and at work again."""
    rows = [{"round": 0, "mAP": 0.01, "rank1": 0.01}, {"round": 1, "mAP": 0.9, "rank1": 0.9}]
    if mean_ap is not None:
        rows += [{"round": number, "mAP": mean_ap, "rank1": rank1}, {"round": number + 1}]
    facts = {**FACTS, "settings": FACTS["settings"] | changes, **told}
    return SimpleNamespace(facts=facts, rows=rows if mean_ap is not None else [], title=title)


def shown(*runs):
    return sweep.show_sweep(runs, Thumbnails())


def drawn(figure):
    """Give the places, means and ends of the bars of both curves."""
    found = []
    for curve in figure.axes[0].containers:
        line, _, (bars,) = curve
        ends = [[float(y) for _, y in segment] for segment in bars.get_segments()]
        found.append((*(list(map(float, part)) for part in line.get_data()), ends))
    return found


def test_means_and_standard_deviations_over_seeds():
    found = drawn(sweep.plot_sweep("own", {"0.6": PAIRS[1], "0.1": PAIRS[0]}))
    # Of 0.2 and 0.3 it is sqrt(2 * 0.05^2 / 1); of 0.5, 0.5 and 0.8 sqrt((2 * 0.1^2 + 0.2^2) / 2).
    a, b, c = math.sqrt(0.005), math.sqrt(0.03), 0.1
    for (places, means, ends), expected, spread in zip(
        found, [(0.25, 0.6), (0.45, 0.8)], [(a, b), (a, c)], strict=True
    ):
        assert places == [0.1, 0.6] and means == pytest.approx(expected)
        for end, mean, deviation in zip(ends, expected, spread, strict=True):
            assert end == pytest.approx([mean - deviation, mean + deviation])


def test_words_stand_in_their_order_and_one_seed_has_no_spread():
    figure = sweep.plot_sweep("pooling", {"max": [(0.2, 0.4)], "gem": [(0.1, 0.3)], "3": PAIRS[0]})
    places, means, ends = drawn(figure)[0]
    assert places == [0, 1, 2] and means == pytest.approx([0.2, 0.1, 0.25])
    assert all(map(math.isnan, [*ends[0], *ends[1]])) and not math.isnan(ends[2][0])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["max", "gem", "3"]
    alone = sweep.plot_sweep("pooling", {"max": [(0.2, 0.4)], "gem": [(0.1, 0.3)]})
    assert not any(curve.has_yerr for curve in alone.axes[0].containers)


def test_a_section_of_runs_that_differ_in_one_setting():
    runs = [
        made({"eps": 10}, 0.5, 0.75, seed=0),
        made({"eps": 2}, 0.25, 0.5, seed=0),
        made({"eps": 2}, 0.35, 0.5, seed=1),
    ]
    section = shown(*runs)
    assert section.tables["sweep"] == [
        ["eps", "runs", "mAP", "mAP_deviation", "rank1", "rank1_deviation"],
        ["2", 2, 0.3, round(math.sqrt(0.005), 6), 0.5, 0.0],
        ["10", 1, 0.5, "", 0.75, ""],
    ]
    assert "<th>2</th><td>2</td><td>30.0% ± 7.1</td><td>50.0% ± 0.0</td>" in section.html
    assert "<th>10</th><td>1</td><td>50.0%</td><td>75.0%</td>" in section.html
    assert [point[:2] for point in drawn(section.figures["sweep"])] == [
        ([2, 10], pytest.approx([0.3, 0.5])),
        ([2, 10], pytest.approx([0.5, 0.75])),
    ]
    assert "after rounds" not in section.html and "Without a search" not in section.html


def test_settings_inside_settings_words_and_lists():
    nets = [{"h": "a"}, {"h": ["b", "c"]}, {"h": []}]
    section = shown(*(made({"net": net}, 0.5, 0.5) for net in nets))
    assert [row[0] for row in section.tables["sweep"]] == ["net.h", "a", "b, c", "none"]


def test_runs_that_are_not_as_far_as_others_are_named():
    section = shown(
        made({"eps": 1}, 0.5, 0.6, number=2),
        made({"eps": 2}, 0.6, 0.7),
        made({"eps": 3}, title="late"),
    )
    assert len(section.tables["sweep"]) == 3 and "not in the curve: late." in section.html
    assert "after rounds 2, 4" in section.html
    none = shown(made({"eps": 1}), made({"eps": 2}))
    assert "No run has been evaluated" in none.html and not none.figures


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ([], "This is one run."),
        ([made({}, 0.5, seed=1)], "The runs differ in no setting."),
        ([made({"eps": 1, "net": {"h": 9}}, 0.5)], "The runs differ in 2 settings: eps, net.h."),
        ([made({"eps": 1}, 0.5, method="B")], "The runs differ in method."),
        ([made({}, 0.5, data={"train": "y"}, start="s")], "The runs differ in data, start."),
        ([made({"eps": 1}, 0.5, source={"images": 2})], "The runs differ in source."),
    ],
)
def test_why_runs_give_no_curve(others, says):
    section = shown(made({}, 0.5), *others)
    assert f"<p>{says}" in section.html and not section.figures and not section.tables


def test_a_real_run_beside_another_of_it(run, tmp_path):
    text = (run / "run.json").read_text(encoding="utf-8")
    assert '"eps": 0.7' in text
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(text.replace('"eps": 0.7', '"eps": 0.6'), encoding="utf-8")
    (other / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes())
    write_report([run, other], tmp_path / "page.html", only=["sweep"], quiet=True)
    rows = (tmp_path / "page.reseen" / "sweep.csv").read_text(encoding="utf-8").splitlines()
    last = Evidence(run).rows[-1]
    assert [row.split(",")[:3] for row in rows[1:]] == [
        [eps, "1", str(last["mAP"])] for eps in ("0.6", "0.7")
    ]


def test_a_picture_of_its_own(tmp_path):
    path = tmp_path / "new" / "curve.PNG"
    plotting.save_figure(sweep.plot_sweep("own", {"1": PAIRS[0]}), path)
    with PIL.Image.open(path) as picture:
        assert picture.format == "PNG" and len(set(picture.convert("L").tobytes())) > 2
