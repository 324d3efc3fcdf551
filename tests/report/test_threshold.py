import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.metrics.operating import Bound, Pairs, Threshold, operating_curve
from reseen.records import JUNK
from reseen.report import threshold
from reseen.report.evidence import Evidence, gapless
from reseen.report.thumbnails import Thumbnails


def pairs(same, different):
    far = np.array(different)
    return Pairs(
        *(np.array(same), np.zeros((len(same), 2)), np.arange(len(same))),
        *(far, np.zeros((len(far), 2)), np.stack([np.arange(len(far))] * 2, 1)),
    )


@pytest.fixture
def drawn():
    rng = np.random.default_rng(1)
    across = pairs(rng.normal(0.3, 0.1, 500), rng.normal(0.8, 0.15, 2000))
    return threshold.Known("From here.", across, pairs([0.1, 0.2, 0.9], [0.1, 0.2, 0.7, 0.9]))


@pytest.fixture
def blind():
    return threshold.Unknown("From here.", np.linspace(0.2, 1, 5000), np.array([]))


def test_the_figure_of_distances_holds_all_pairs(drawn):
    kinds, _ = threshold.shown(drawn)
    figure = threshold.plot_distances(kinds, threshold.suggest(drawn, 0.01).distance)
    same, different = figure.axes[0].patches
    for shown, distances in ((same, drawn.across.same), (different, drawn.across.different)):
        values, edges, _ = shown.get_data()
        for value, low, high in zip(values, edges, edges[1:], strict=False):
            inside = ((distances >= low) & (distances < high)).mean()
            assert value == pytest.approx(inside)
        assert values.sum() == pytest.approx(1)
    (line,) = figure.axes[0].lines
    assert (drawn.across.different <= line.get_xdata()[0]).mean() == 0.01


def test_the_curve_against_a_loop(drawn):
    same, different = drawn.across.same, drawn.across.different
    curve = operating_curve(same, different)
    found = threshold.suggest(drawn, 0.01)
    figure = threshold.plot_operating({"a": curve}, {"a": found})
    line, dot = figure.axes[0].lines
    assert figure.axes[0].get_xscale() == "log"
    rates, misses = line.get_data()
    assert rates[0] == pytest.approx(1 / 2000) and rates[-1] == pytest.approx(1)
    order = np.sort(different)
    for rate, miss in zip(rates, misses, strict=True):
        allowed = int(rate * 2000 + 1e-6)
        least = 0.0 if allowed == 2000 else (same >= order[allowed]).mean()
        assert miss == pytest.approx(least)
    assert dot.get_data() == (found.false_matches, found.misses)


def test_misses_by_hand():
    curve = operating_curve(np.array([0.1, 0.3]), np.array([0.2, 0.4]))
    rates = np.array([0.4, 0.5, 0.9, 1])
    np.testing.assert_array_equal(threshold.misses_at(curve, rates), [0.5, 0, 0, 0])


def test_advice_is_in_numbers_of_pairs():
    found = Threshold(0.25, 0.01, (0.005, 0.02), 0.2, (0.1, 0.3), "95%")
    said = threshold.advice(found)
    assert said.startswith("At a distance of 0.250 (similarity 0.750), about 100 of 10,000 pairs")
    assert "different people match (likely 50 to 200)" in said
    assert "about 2,000 of 10,000 pairs of the same person are missed (likely 1,000 to" in said


def test_misses_cannot_be_told_without_labels(blind):
    found = threshold.suggest(blind, 0.01)
    assert isinstance(found, Bound) and (blind.anybody <= found.distance).mean() <= 0.01
    said = threshold.advice(found)
    assert "at most 100 of 10,000 pairs of different people among these images match" in said
    assert "missed cannot be told without labels" in said and "100 people at random" in said
    assert not re.search(r"about|likely", said.split(threshold.NOT_TOLD)[0])
    _, row = threshold.table_of_thresholds({"a": blind}, [0.01])
    assert row[:2] == ["a", 0.01] and row[3:] == ["", 0, 0.01, "", "", ""]


def test_what_it_costs_within_one_camera(drawn, blind):
    said = threshold.apart(drawn, 0.3)
    assert said.startswith("Within one camera, at the same distance, about 5,000 of 10,000 pairs")
    assert "about 3,333 of 10,000 pairs of the same person are missed" in said
    assert threshold.apart(replace(drawn, within=None), 0.3) == ""
    assert threshold.apart(blind, 0.3) == ""
    timed = replace(blind, at_once=np.linspace(0, 1, threshold.FEW))
    said = threshold.apart(timed, 0.3)
    assert "Of 1,000 pairs of one camera at one time, 30.00% match." in said


def test_the_table_leaves_out_what_too_few_pairs_cannot_tell(drawn, blind):
    head, *rows = threshold.table_of_thresholds({"a": drawn, "b": blind}, [0.1, 0.01, 1e-4])
    assert [row[:2] for row in rows] == [["a", 0.1], ["a", 0.01], ["b", 0.1], ["b", 0.01]]
    assert {len(row) for row in rows} == {len(head)}
    for row in rows[:2]:
        line = dict(zip(head, row, strict=True))
        matched = (drawn.across.different <= line["distance"]).mean()
        assert line["false_matches"] == matched <= row[1]
        assert line["misses_low"] <= line["misses"] <= line["misses_high"]


def test_queries_and_gallery_are_judged_without_distractors(evidence, town):
    of = threshold.draw_pairs(evidence)
    assert of.source.startswith("From queries and gallery: ")
    asked = {image.person for image in town.query}
    shown = evidence.tested.images
    for i, j in of.across.same_pairs:
        assert shown[i].person == shown[j].person and shown[i].camera != shown[j].camera
    for i, j in [*of.across.different_pairs, *of.within.different_pairs]:
        assert shown[i].person != shown[j].person
    assert all(shown[i].camera != shown[j].camera for i, j in of.across.different_pairs)
    assert all(shown[i].camera == shown[j].camera for i, j in of.within.different_pairs)
    pairs = of.across
    used = {shown[i].person for i in np.unique([*pairs.same_pairs, *pairs.different_pairs])}
    assert used == asked and {image.person for image in shown} > asked


@pytest.mark.parametrize("searched", [False, True])
def test_training_images_are_said_to_be_learnt_from(run, town, searched):
    test = tuple(image for image in town.train if image.person != JUNK) if searched else ()
    evidence = Evidence(run, replace(town, query=test, gallery=test))
    of = threshold.draw_pairs(evidence)
    assert of.source.startswith("From training images of this encoder")
    shown = evidence.tested.images if searched else evidence.learnt.images
    people = [shown[i].person for i in of.across.same_pairs[0]]
    assert people[0] == people[1] != JUNK


def test_the_encoder_that_ships_has_not_learnt_from_them(town):
    blind = replace(town, query=(), gallery=())
    of = threshold.draw_pairs(Evidence("reseen-tiny", blind))
    assert of.source.startswith("From training images: ")


def test_the_section(evidence, blind_run):
    section = threshold.show_threshold([evidence], Thumbnails(), rate=0.05)
    assert set(section.figures) == {"threshold-distances", "threshold-operating"}
    assert "From queries and gallery" in section.html and "Within one camera" in section.html
    of = threshold.draw_pairs(evidence)
    distance = re.search(r"At a distance of ([\d.]+)", section.html).group(1)
    assert float(distance) == pytest.approx(threshold.suggest(of, 0.05).distance, abs=5e-4)
    blind = Evidence(blind_run, title="blind")
    both = threshold.show_threshold([evidence, blind], Thumbnails(), rate=0.05)
    assert {"threshold-distances-1", "threshold-distances-2"} <= set(both.figures)
    assert len(both.figures["threshold-operating"].axes[0].lines) == 2  # a curve and its dot
    alone = threshold.show_threshold([blind], Thumbnails(), rate=0.05)
    assert set(alone.figures) == {"threshold-distances"}
    assert (
        alone.html.count("cannot be told without labels")
        == 1
        == both.html.count("cannot be told without labels")
    )
    for page in (section, both, alone):
        assert "<strong>" not in page.html and "Call " not in page.html


def test_what_cannot_be_told_is_said(evidence):
    section = threshold.show_threshold([evidence], Thumbnails(), rate=1e-5)
    assert "No threshold can be told. false_match_rate is 1e-05" in section.html
    assert "threshold-operating" in section.figures
    with pytest.raises(SettingsError, match="above 0 and below 1"):
        threshold.check_rate(1)


def test_unknown_cameras_are_not_passed_for_two(blind_run, town):
    evidence = Evidence(blind_run)
    of = threshold.draw_pairs(evidence)
    assert "not all cameras are known" in of.source and len(of.at_once) == 0
    cameras = [image.camera for image in sorted(town.train, key=lambda image: image.path.name)]
    images = tuple(
        replace(image, camera=cameras[int(image.path.stem)], time=float(i if i != 1 else 0))
        for i, image in enumerate(evidence.learnt.images)
    )
    evidence.__dict__["learnt"] = evidence.learnt._replace(images=images)
    of = threshold.draw_pairs(evidence)
    assert "random pairs by two cameras" in of.source
    counts = np.bincount([image.camera for image in images])
    assert len(of.anybody) == (counts.sum() ** 2 - (counts**2).sum()) / 2
    assert len(of.at_once) == (images[0].camera == images[1].camera)


def test_the_bound_for_new_crops(run, town_folder, capsys):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "report.md"
    *_, code = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    exec(code.replace("runs/first", str(run)).replace("new/", str(town_folder)), {})
    said = capsys.readouterr().out
    assert re.search(r"distance 0\.\d+: at most 1\.000% false matches \(95%\); misses unkn", said)


def test_a_run_that_waits_is_named(run, evidence, tmp_path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_bytes((run / "run.json").read_bytes())
    section = threshold.show_threshold([evidence, Evidence(tmp_path / "begun")], Thumbnails())
    assert "No round is finished yet: begun." in section.html


def test_clusters_without_gaps():
    assert gapless(np.array([3, -1, 0, 3])).ids.tolist() == [1, -1, 0, 1]
    assert gapless(np.array([1, 0, -1])).ids.tolist() == [1, 0, -1]
