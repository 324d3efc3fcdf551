import re
from dataclasses import replace

import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.metrics.operating import Pairs, Threshold, operating_curve
from reseen.records import JUNK
from reseen.report import threshold
from reseen.report.evidence import Evidence, gapless
from reseen.report.thumbnails import Thumbnails


def pairs(same, different):
    far = np.array(different)
    return Pairs(
        *(np.array(same), np.zeros((len(same), 2)), np.arange(len(same)), "people"),
        *(far, np.zeros((len(far), 2)), np.stack([np.arange(len(far))] * 2, 1), "people"),
    )


@pytest.fixture
def drawn():
    rng = np.random.default_rng(1)
    return pairs(rng.normal(0.3, 0.1, 500), rng.normal(0.8, 0.15, 2000))


def test_the_figure_of_distances_holds_all_pairs(drawn):
    figure = threshold.plot_distances(drawn, threshold.suggest(drawn, 0.01))
    same, different = figure.axes[0].patches
    for shown, distances in ((same, drawn.same), (different, drawn.different)):
        values, edges, _ = shown.get_data()
        for value, low, high in zip(values, edges, edges[1:], strict=False):
            inside = ((distances >= low) & (distances < high)).mean()
            assert value == pytest.approx(inside)
        assert values.sum() == pytest.approx(1)
    (line,) = figure.axes[0].lines
    assert (drawn.different <= line.get_xdata()[0]).mean() == 0.01


def test_the_curve_against_a_loop(drawn):
    curve = operating_curve(drawn.same, drawn.different)
    found = threshold.suggest(drawn, 0.01)
    figure = threshold.plot_operating({"a": curve}, {"a": found})
    line, dot = figure.axes[0].lines
    assert figure.axes[0].get_xscale() == "log"
    rates, misses = line.get_data()
    assert rates[0] == pytest.approx(1 / 2000) and rates[-1] == pytest.approx(1)
    order = np.sort(drawn.different)
    for rate, miss in zip(rates, misses, strict=True):
        allowed = int(rate * 2000 + 1e-6)
        least = 0.0 if allowed == 2000 else (drawn.same >= order[allowed]).mean()
        assert miss == pytest.approx(least)
    assert dot.get_data() == (found.false_matches, found.misses)


def test_misses_by_hand():
    curve = operating_curve(np.array([0.1, 0.3]), np.array([0.2, 0.4]))
    rates = np.array([0.4, 0.5, 0.9, 1])
    np.testing.assert_array_equal(threshold.misses_at(curve, rates), [0.5, 0, 0, 0])


def test_advice_is_in_numbers_of_pairs():
    found = Threshold(0.25, 0.01, (0.005, 0.02), 0.2, (0.1, 0.3), "95%")
    said = threshold.advice(found)
    assert "distance is at most 0.250" in said and "similarity of 0.750" in said
    assert "about 100 then match all the same (likely 50 to 200)" in said
    assert "about 2,000 are missed (likely 1,000 to 3,000)" in said


def test_the_table_leaves_out_what_too_few_pairs_cannot_tell(drawn):
    head, *rows = threshold.table_of_thresholds({"a": drawn}, [0.1, 0.01, 1e-4])
    assert [row[1] for row in rows] == [0.1, 0.01] and {len(row) for row in rows} == {len(head)}
    for row in rows:
        line = dict(zip(head, row, strict=True))
        assert line["false_matches"] == (drawn.different <= line["distance"]).mean() <= row[1]
        assert line["misses_low"] <= line["misses"] <= line["misses_high"]


def test_queries_and_gallery_are_judged_without_distractors(evidence, town):
    of, told = threshold.draw_pairs(evidence)
    assert (
        told.startswith("From queries and gallery.")
        and of.same_from == of.different_from == "people"
    )
    asked = {image.person for image in town.query}
    shown = evidence.tested.images
    for i, j in of.same_pairs:
        assert shown[i].person == shown[j].person and shown[i].camera != shown[j].camera
    used = {shown[i].person for i in np.unique([*of.same_pairs, *of.different_pairs])}
    assert used == asked and {image.person for image in shown} > asked


def test_training_images_where_nothing_is_searched(run, town):
    evidence = Evidence(run, replace(town, query=(), gallery=()))
    of, told = threshold.draw_pairs(evidence)
    assert (
        told.startswith("From training images, which this encoder has learnt from")
        and of.same_from == "people"
    )
    people = [evidence.learnt.images[i].person for i in of.same_pairs[0]]
    assert people[0] == people[1] != JUNK


def test_the_section(evidence, blind_run):
    section = threshold.show_threshold([evidence], Thumbnails(), rate=0.05)
    assert set(section.figures) == {"threshold-distances", "threshold-operating"}
    assert "From queries and gallery" in section.html and "guess" not in section.html
    of, _ = threshold.draw_pairs(evidence)
    distance = re.search(r"distance is at most ([\d.]+)", section.html).group(1)
    assert float(distance) == pytest.approx(threshold.suggest(of, 0.05).distance, abs=5e-4)
    blind = Evidence(blind_run, title="blind")
    section = threshold.show_threshold([evidence, blind], Thumbnails(), rate=0.05)
    assert section.html.count("is a guess") == 2 and "near the middle of one" in section.html
    assert {"threshold-distances-1", "threshold-distances-2"} <= set(section.figures)
    assert len(section.figures["threshold-operating"].axes[0].lines) == 4


def test_what_cannot_be_told_is_said(evidence):
    section = threshold.show_threshold([evidence], Thumbnails(), rate=1e-5)
    assert "No threshold can be told. false_match_rate is 1e-05" in section.html
    assert "threshold-operating" in section.figures
    with pytest.raises(SettingsError, match="above 0 and below 1"):
        threshold.check_rate(1)


def test_a_few_strangers_or_unknown_cameras_are_not_passed_for_more(blind_run, town):
    evidence = Evidence(blind_run)
    _, told = threshold.draw_pairs(evidence)
    assert "not all cameras are known" in told and "by two cameras" not in told
    cameras = [image.camera for image in sorted(town.train, key=lambda image: image.path.name)]
    images = tuple(
        replace(image, camera=cameras[int(image.path.stem)], time=float(i if i != 1 else 0))
        for i, image in enumerate(evidence.learnt.images)
    )
    evidence.__dict__["learnt"] = evidence.learnt._replace(images=images)
    of, told = threshold.draw_pairs(evidence)
    assert of.different_from == "clusters" and "pairs by two cameras, near" in told


def test_a_run_that_waits_is_named(run, evidence, tmp_path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_bytes((run / "run.json").read_bytes())
    section = threshold.show_threshold([evidence, Evidence(tmp_path / "begun")], Thumbnails())
    assert "No round is finished yet: begun." in section.html


def test_clusters_without_gaps():
    assert gapless(np.array([3, -1, 0, 3])).ids.tolist() == [1, -1, 0, 1]
    assert gapless(np.array([1, 0, -1])).ids.tolist() == [1, 0, -1]
