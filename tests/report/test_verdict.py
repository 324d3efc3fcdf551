import shutil
from pathlib import Path

import numpy as np
import pytest

from reseen.engine.signs import Sign
from reseen.records import Dataset
from reseen.report import verdict
from reseen.report.evidence import Evidence
from reseen.report.thumbnails import Thumbnails

CLUSTERS = dict(clusters=4, noise=0.25, stability=0.8, loss=1.0)
KNOWN = CLUSTERS | dict(precision=0.9, recall=0.7, nmi=0.8)


class Told:
    """As much of a run as a verdict looks at."""

    settings = Evidence.settings

    def __init__(self, folder: Path, rows, sizes=(30, 20, 15, 10), **settings):
        self.folder, self.rows, self.title = folder, rows, "run"
        self.round, self.trained = rows[-1]["round"], rows[-1]["round"] > 0
        known = dict(eps=0.6, rate=4e-4, epochs=4, encoder=dict(height=128, width=64))
        self.facts = {"data": {"images": 100}, "settings": known | settings}
        (folder / "labels").mkdir(exist_ok=True)
        ids = np.repeat([*range(len(sizes)), -1], [*sizes, 100 - sum(sizes)])
        np.save(folder / "labels" / f"{max(1, self.round - 1):04d}.npy", ids)


def rounds(*accuracies, last=KNOWN):
    """Give the rows of a run: what each round found, the first one untrained."""
    return [
        {"round": n, **({} if a is None else dict(mAP=a, rank1=a + 0.1)), **(last if n else {})}
        for n, a in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("accuracies", "word", "more"),
    [
        ((0.293, 0.3, 0.414), "Yes.", "mAP went from 29.3% before training to 41.4% after round 2"),
        ((0.771, 0.7, 0.714), "No, training made it worse.", "before training is better"),
        ((0.5, 0.502), "Hardly.", "due to chance"),
        ((0.5, 0.6, 0.55), "Yes.", "Round 1 had 60.0%, but was chosen by these labels."),
        ((0.5, 0.6, None), "Yes.", "to 60.0% after round 1"),
    ],
)
def test_with_labels_the_search_before_and_after_decides(accuracies, word, more):
    first, *rest = verdict.helped(rounds(*accuracies), [])
    assert first == word and more in " ".join(rest)
    best = max(a for a in accuracies if a)
    assert ("was chosen" in " ".join(rest)) == (best == 0.6 and accuracies[-1] == 0.55)


def test_without_labels_the_signs_decide_and_nothing_is_promised():
    rows = [{"round": 1, "loss": 1.1}, {"round": 2, "loss": 2.4}]
    loss = Sign("loss", "The loss rose from 1.10 to 2.40.", "Lower --rate.")
    words = verdict.helped(rows, [loss])
    assert words[0] == "There are signs that it did not." and loss.said in words
    calm = " ".join(verdict.helped(rows[::-1], []))
    assert "no labelled queries" in calm and "from 2.40 to 1.10" in calm
    assert "does not prove" in calm and "Yes" not in calm
    alone = verdict.helped([{"round": 3, "mAP": 0.4}], [])
    assert alone[0] == "Unknown." and "40.0%" in alone[1]


@pytest.mark.parametrize(
    ("precision", "recall", "said"),
    [(0.35, 0.64, "No: most pairs"), (0.9, 0.2, "In part:"), (0.9, 0.7, "Mostly:")],
)
def test_clusters_of_known_people(precision, recall, said):
    row = {"round": 1, **KNOWN, "precision": precision, "recall": recall}
    words = " ".join(verdict.trusted([row], 2400, (116, 0.05), []))
    assert words.startswith(said) and f"{precision:.0%} show the same person" in words
    assert f"{recall:.0%} are in one cluster" in words and "NMI 0.80" in words
    assert "4 clusters of 2,400 images, with 25% of the images in no cluster" in words
    assert "the largest holds 116 images (5%)" in words and "ARI): 0.80" in words


def test_clusters_of_unknown_people():
    rows = [{"round": 1, **CLUSTERS}, {"round": 2, "loss": 1.0}]  # the last made none
    assert verdict.trusted(rows, 550, (30, 0.05), [])[0].startswith("Nothing speaks against them")
    crowd = verdict.trusted(rows, 550, (209, 0.38), [])
    assert crowd[0] == "Not as they are." and "on 38% of the images" in crowd[1]
    sign = Sign("noise", "80% are noise.", "Raise --eps.")
    assert sign.said in verdict.trusted(rows, 550, (30, 0.05), [sign])
    assert verdict.trusted([{"round": 1}], 550, (0, 0.0), []) == ["This run made no clusters."]


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (rounds(0.5, 0.45, 0.4, 0.4, 0.4), {}, ["Halve the learning rate: --rate 0.0002."]),
        (rounds(0.5, 0.6, 0.5, 0.4, 0.4), {}, ["Stop earlier: --epochs 1."]),
        (rounds(0.5, 0.6, 0.7, 0.7, 0.8), {}, ["still rising: train longer with --epochs 8."]),
        (rounds(0.5, 0.6, 0.7, 0.8, 0.8), {}, ["Nothing looks wrong. Still, similarity is not"]),
        (
            rounds(0.5, 0.8, 0.8, last=KNOWN | dict(precision=0.3)),
            dict(encoder=dict(height=48, width=24)),
            ["--eps 0.5.", "24 x 48 pixels (width x height)"],
        ),
        (rounds(0.5, 0.8, 0.8, last=KNOWN | dict(recall=0.3)), {}, ["--eps 0.7."]),
        (
            rounds(0.5, 0.8, 0.8, last=KNOWN | dict(recall=0.3)),
            dict(eps="auto"),
            ["Nothing looks wrong"],
        ),
        (rounds(None, None, last=CLUSTERS), dict(sizes=(70,)), ["--eps 0.5.", "reseen evaluate"]),
    ],
)
def test_what_to_try_next(tmp_path, rows, changes, said):
    run = Told(tmp_path, rows, **changes)
    found = verdict.advice(run, [], verdict.largest_cluster(run))
    assert len(found) == len(said) and all(map(str.__contains__, found, said)), found


def test_cures_of_signs_come_first_and_two_changes_are_enough(tmp_path):
    run = Told(tmp_path, rounds(None, None, last=CLUSTERS), sizes=(70,))
    found = [Sign("noise", "", f"Cure {n}.") for n in (1, 1, 2, 3)]
    assert verdict.advice(run, found, (70, 0.7)) == ["Cure 1.", "Cure 2."]


def test_signs_get_the_images_and_what_the_start_suggests(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(verdict, "best_round", lambda rows: None)
    monkeypatch.setattr(verdict, "signs", lambda *given: asked.append(given) or [])
    run = Told(tmp_path, rounds(None, None, last=CLUSTERS))
    verdict.judge(run)
    run.facts["automatic"] = {
        "survey": {"clusters": [6, 25]},
        "settings": {"eps": {"value": 0.45, "why": ""}},
    }
    run.facts["settings"]["eps"] = "auto"
    verdict.judge(run)
    assert verdict.number(run, "eps") == 0.45 and verdict.number(run, "k1") is None
    assert [given[:3] for given in asked] == [(run.rows, 100, None), (run.rows, 100, (6, 25))]
    assert asked[1][3] == run.settings and run.settings["eps"] == 0.45
    assert verdict.largest_cluster(run) == (30, 0.3)


def test_options_are_marked():
    marked = verdict._marked("<b>: --eps 0.5, --encoder.height 96.")
    assert marked == "&lt;b&gt;: <code>--eps</code> 0.5, <code>--encoder.height</code> 96."


def test_a_result_that_is_not_the_last_round_is_said(tmp_path, monkeypatch):
    run = Told(tmp_path, rounds(None, None, None, last=CLUSTERS))
    monkeypatch.setattr(verdict, "best_round", lambda rows: 1)
    for which, said in (("chosen", True), ("last", False)):
        monkeypatch.setattr(verdict, "result", lambda folder, which=which: which)
        words = " ".join(verdict.judge(run).helped)
        assert ("the encoder after round 1 is the result" in words) == said


def test_the_section(run: Path, town: Dataset, blind_run: Path, tmp_path: Path):
    known, blind = Evidence(run, town), Evidence(blind_run, title="<blind>")
    html = verdict.show_verdict([known], Thumbnails()).html
    assert [html.count(question) for question in verdict.QUESTIONS] == [1, 1, 1]
    row = known.rows[-1]
    assert f"to {row['mAP']:.1%} after round 3" in html and f"NMI {row['nmi']:.2f}" in html
    sizes = np.bincount(known.labels.ids[known.labels.ids >= 0])
    assert f"the largest holds {sizes.max()} images" in html
    both = verdict.show_verdict([known, blind], Thumbnails()).html
    assert both.count("<details>") == 2 and "&lt;blind&gt;: " in both and "(mAP" not in both
    begun = shutil.copytree(run, tmp_path / "begun", ignore=shutil.ignore_patterns("*.pt"))
    html = verdict.show_verdict([Evidence(begun)], Thumbnails()).html
    assert "No round is finished yet." in html and "Can the clusters" not in html


def test_the_score_without_labels_stands_first_where_nobody_is_known(tmp_path):
    rows = [{"round": n, "shared_neighbours": 0.4 + n / 50, **CLUSTERS} for n in range(4)]
    said = verdict.judge(Told(tmp_path, rows)).helped
    assert said[0] == "Probably, judging by the neighbours." and "46% of their nearest" in said[1]
    assert "40% before training" in said[1] and "does not prove" in said[-1]
