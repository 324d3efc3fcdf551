from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen.data.reading import read
from reseen.engine.attention import attention_maps, attention_on_person
from reseen.engine.cam import class_cam, pair_cam
from reseen.engine.settings import varied
from reseen.errors import SettingsError
from reseen.methods import ADTC, ConsLearn
from reseen.records import distinct
from reseen.report import attention
from reseen.report.evidence import Evidence
from reseen.report.report import write_report
from reseen.report.thumbnails import Thumbnails
from reseen.training import train
from tests.conftest import TINY

QUICK = dict(encoder=TINY, iterations=1, k1=8, k2=2, min_samples=2)


@pytest.fixture(scope="module")
def attending(town, tmp_path_factory):
    """A run whose encoder has attention behind its last map."""
    folder = tmp_path_factory.mktemp("attending") / "run"
    small = dict(encoder=TINY, rounds=1, epochs=1, iterations=1, clusters=12, p=6, people=4)
    train(varied(ADTC(), small), town, folder, evaluate_every=0, quiet=True)
    return folder


@pytest.fixture(autouse=True)
def _two(monkeypatch):
    for name in ("PAIRS", "CROPS", "VIEWED"):
        monkeypatch.setattr(attention, name, 2)
    monkeypatch.setattr(attention, "MEASURED", 20)


def test_pairs_are_queries_and_their_first_hits_half_of_them_wrong(evidence, town, monkeypatch):
    monkeypatch.setattr(attention, "PAIRS", 6)
    ranking = evidence.tested.ranking
    first = {town.query[q].path: row for row, q in enumerate(ranking.queries)}
    pairs = attention.draw_pairs(evidence)
    assert len({pair.asked.path for pair in pairs}) == len(pairs) == 6
    for pair in pairs:
        row = first[pair.asked.path]
        assert pair.found == town.gallery[ranking.top[row, 0]]
        assert pair.kind == ("right" if pair.asked.person == pair.found.person else "wrong")
    kinds = [pair.kind for pair in pairs]
    right = int(ranking.right[:, 0].sum())
    assert kinds.count("right") == min(right, 6 - min(3, len(first) - right))


def test_pairs_of_unknown_people_are_nearest_neighbours(blind_run):
    run = Evidence(blind_run)
    learnt = run.learnt
    for pair in attention.draw_pairs(run):
        i = learnt.images.index(pair.asked)
        others = np.delete(learnt.features @ learnt.features[i], i)
        j = learnt.images.index(pair.found)
        assert j != i and learnt.features[j] @ learnt.features[i] == pytest.approx(others.max())


def test_the_same_images_are_drawn_whatever_their_order(town):
    one = {town.train[i] for i in attention.draw_images(town.train, 5)}
    turned = town.train[::-1]
    assert one == {turned[i] for i in attention.draw_images(turned, 5)} and len(one) == 5


def test_rows_of_pairs_hold_what_pair_cam_gives(attending, evidence, town):
    run = Evidence(attending, town)
    pairs = attention.draw_pairs(run)
    rows = attention.pair_rows([evidence, run], pairs)
    crops = run.crops([pairs[0].asked, pairs[0].found])
    assert [cell.text for cell in rows[0].cells] == [
        *("asked", "found", "1: asked, last map", "1: found, last map"),
        *("2: asked, before attention", "2: found, before attention"),
        *("2: asked, after attention", "2: found, after attention"),
    ]
    for place, stage in ((4, "before"), (6, "after")):
        a, b = pair_cam(run.encoder, crops.pixels[:1], crops.pixels[1:], stage)
        for cell, expected in zip(rows[0].cells[place:], (a[0], b[0]), strict=False):
            np.testing.assert_allclose(cell.heat, expected, atol=1e-5)
    with torch.inference_mode():
        one, two = run.encoder.eval()(crops.pixels)
    assert rows[0].note.endswith(f"2: similarity {one @ two:.2f}")


def test_rows_of_maps_hold_the_class_of_the_cluster_and_the_attention(attending, town):
    run = Evidence(attending, town)
    row = attention.map_rows(run)[0]
    learnt = run.learnt
    place = [image.path for image in learnt.images].index(row.cells[0].image.path)
    mean = learnt.features[learnt.labels.ids == learnt.labels.ids[place]].mean(0)
    crops = run.crops([learnt.images[place]])
    found = {cell.text: cell.heat for cell in row.cells[1:] if cell}
    for stage in ("3", "6", "before", "after"):
        expected = class_cam(run.encoder, crops.pixels, mean, stage)[0]
        np.testing.assert_allclose(found[attention.STAGES.get(stage, stage)], expected, atol=1e-4)
    maps = attention_maps(run.encoder, crops)
    for name, heat in maps.items():
        np.testing.assert_allclose(
            found[attention.SAID.get(name, name)], heat[0] / heat[0].max(), atol=1e-5
        )
    assert {"energy before attention", "voxel", "energy after attention"} < set(found)
    rows = attention.map_rows(run, ["0"])
    assert [cell.text for cell in rows[0].cells[:2]] == ["crop", "0"]


def test_two_views_lose_the_rectangles_of_the_method(town, tmp_path, evidence):
    method = varied(
        ConsLearn(), QUICK | dict(views=4, epochs=1, projected=16, eps=0.7, stages=(0, 1), people=4)
    )
    train(method, town, tmp_path / "run", evaluate_every=0, quiet=True)
    run = Evidence(tmp_path / "run", town)
    rows = attention.drop_rows(run)
    assert [row.note for row in rows] == ["view 1", "view 2"] * 2
    assert rows[0].title == rows[1].title != rows[2].title
    for row in rows:
        assert [cell.text for cell in row.cells if cell][:2] == ["drop 0", "drop 1"]
        hidden = np.isnan(row.cells[0].heat)
        assert hidden.shape == (48, 24) and hidden.sum() == round(0.4 * 48) * round(0.3 * 24)
    assert not np.array_equal(rows[0].cells[0].heat, rows[1].cells[0].heat, equal_nan=True)
    assert not np.array_equal(rows[0].cells[-1].heat, rows[1].cells[-1].heat)
    assert attention.drop_rows(evidence) == []


def test_the_section_with_masks_says_what_the_tables_say(evidence, town, attending):
    other = Evidence(attending, town, title="other")
    section = attention.show_attention([evidence, other], Thumbnails())
    assert set(section.figures) == {
        *("attention-person", "attention-pairs", "attention-maps-1", "attention-maps-2")
    }
    people = [i for i in distinct(town.train, town.query, town.gallery) if i.person > 0]
    chosen = [people[i] for i in attention.draw_images(people, 20)]
    expected = attention_on_person(other.encoder, other.crops(chosen), town.root)
    rows = [row for row in section.tables["attention-person"] if row[0] == "other"]
    assert {row[1]: row[2] for row in rows} == pytest.approx(
        {name: round(share, 4) for name, (share, _) in expected.items()}
    )
    axes = section.figures["attention-person"].axes[0]
    bars = [round(bar.get_width(), 4) for of in axes.containers for bar in of]
    assert bars == [row[2] for row in section.tables["attention-person"][1:]]
    area = expected["after"][1]
    assert axes.lines[0].get_xdata()[0] == pytest.approx(area) and f"{area:.1%}" in section.html
    pixels = other.crops(chosen[:1]).pixels
    high, wide = class_cam(other.encoder, pixels, np.ones(other.encoder.dimensions), "after")[
        0
    ].shape
    assert f"24 wide. Its last feature map has {high} x {wide} " in section.html
    bare = attention.show_attention([evidence], Thumbnails(pictures=False))
    assert set(bare.figures) == {"attention-person"} and "thumb" not in bare.html


def test_tracklets_are_seen_by_their_first_frames(video, tmp_path):
    from reseen.methods import ClusterContrast

    method = varied(ClusterContrast(), QUICK | dict(k1=4, epochs=1, people=4, views=2, eps=0.5))
    train(method, video, tmp_path / "run", evaluate_every=0, quiet=True)
    pictures = Thumbnails()
    section = attention.show_attention([Evidence(tmp_path / "run", video)], pictures)
    assert {"attention-pairs", "attention-maps"} <= set(section.figures) and len(pictures)


def test_without_data_and_without_clusters(blind_run, town_folder, tmp_path):
    from reseen.methods import Supervised

    section = attention.show_attention([Evidence(blind_run)], Thumbnails())
    assert set(section.figures) == {"attention-pairs", "attention-maps"}
    town = read(town_folder)
    method = Supervised(encoder=TINY, epochs=1, people=4, views=2)
    train(method, town, tmp_path / "run", evaluate_every=0, quiet=True)
    run = Evidence(tmp_path / "run", town)
    images, classes = attention._classes(run, 1)
    place = [image.path for image in run.learnt.images].index(images[0].path)
    person = run.learnt.images[place].person
    same = [i for i, image in enumerate(run.learnt.images) if image.person == person]
    np.testing.assert_allclose(classes[0], run.learnt.features[same].mean(0), atol=1e-6)
    nobody = Evidence(tmp_path / "run", replace(town, train=town.unlabelled(0), query=()))
    images, classes = attention._classes(nobody, 1)
    place = [image.path for image in nobody.learnt.images].index(images[0].path)
    np.testing.assert_array_equal(classes[0], nobody.learnt.features[place])


def test_a_stage_that_is_not_there_is_refused_before_any_work(run, tmp_path):
    with pytest.raises(SettingsError, match=r"no stage '3.squeze'.*3.squeeze"):
        write_report([run], tmp_path / "a.html", stages=["3.squeze"], quiet=True)
    assert not list(tmp_path.iterdir())
