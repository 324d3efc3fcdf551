from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reseen.metrics.clusters import centres, majority, merges, splits
from reseen.records import NOISE, Image, PseudoLabels, people_of
from reseen.report import clusters
from reseen.report.evidence import Evidence, Learnt
from reseen.report.thumbnails import Thumbnails


@pytest.fixture
def drawn():
    """Features, clusters and noise, cameras and people drawn by chance."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(120, 5)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = PseudoLabels(np.concatenate([np.arange(6), rng.integers(-1, 6, 114)]))
    images = tuple(
        Image(Path(f"{i}.jpg"), int(rng.integers(1, 4)), int(rng.choice([2, 5, 7])))
        for i in range(120)
    )
    return Learnt(images, features, labels)


def test_cameras_are_named(drawn):
    camera, names = clusters.named_cameras(drawn.images, {5: "door"})
    assert names == ["camera 2", "camera door", "camera 7"]
    assert [[2, 5, 7][c] for c in camera] == [image.camera for image in drawn.images]
    camera, names = clusters.named_cameras([Image(Path("a"))] * 3, {})
    assert camera.tolist() == [-1] * 3 and names == []
    camera, names = clusters.named_cameras([Image(Path("a")), Image(Path("b"), camera=9)], {})
    assert camera.tolist() == [-1, 0] and names == ["camera 9"]


def test_sheets_rank_members_by_distance_to_the_centre(drawn):
    found = centres(drawn.features, drawn.labels)
    rows = clusters.contact_rows(drawn, found)
    assert list(rows) == ["Typical", "Largest", "Tightest", "Loosest", "Noise"]
    sizes = [int(row.note.split()[0]) for row in rows["Largest"]]
    assert sizes == sorted(found.sizes, reverse=True)[:4]
    named = [[int(row.title.split()[1]) for row in rows[n]] for n in ("Tightest", "Loosest")]
    order = np.argsort(found.spread)
    assert named == [order[:4].tolist(), order[::-1][:4].tolist()]
    place = {image.path: i for i, image in enumerate(drawn.images)}
    steps = [int(row.title.split()[1]) for row in rows["Typical"]]
    assert steps == order[[0, 2, 3, 5]].tolist()  # of six
    who, share = majority(drawn.labels, people_of(drawn.images))
    for row in rows["Largest"]:
        k = int(row.title.split()[1])
        shown = [cell and place[cell.image.path] for cell in row.cells]
        members = np.flatnonzero(drawn.labels.ids == k)
        ranked = members[np.argsort(found.distances[members], kind="stable")].tolist()
        cut = ranked if len(ranked) <= 10 else [*ranked[:7], None, *ranked[-3:]]
        assert shown == cut
        for cell in filter(None, row.cells):
            right = "right" if cell.image.person == who[k] else "wrong"
            assert cell.kind == (right if share[k] > 0.5 else "")
        assert sum(share for _, share, _ in row.mix) == pytest.approx(1)
    outside = [place[cell.image.path] for cell in rows["Noise"][0].cells if cell]
    assert (drawn.labels.ids[outside] == NOISE).all() and (
        np.diff(found.distances[outside]) >= 0
    ).all()


@pytest.mark.parametrize("people", [5, 6])
def test_half_of_a_cluster_is_not_most_of_it(drawn, people):
    images = tuple(
        replace(image, person=1 if i < people else 2 + i) for i, image in enumerate(drawn.images)
    )
    ids = np.full(120, NOISE)
    ids[:10] = 0
    (row,) = sheets(drawn._replace(images=images), ids)["Largest"]
    kinds = [cell.kind for cell in row.cells]
    if people == 5:
        assert set(kinds) == {""} and row.note.endswith("50% of the most frequent person")
    else:
        assert kinds.count("right") == 6 and row.note.endswith("60% one person")


def sheets(learnt, ids):
    learnt = learnt._replace(labels=PseudoLabels(ids.copy()))
    return clusters.contact_rows(learnt, centres(learnt.features, learnt.labels))


def test_pairs_are_neither_tight_nor_loose_where_there_is_more(drawn):
    ids = np.full(120, NOISE)
    ids[:10], ids[10:12], ids[12:15] = 0, 1, 2
    rows = sheets(drawn, ids)
    assert [row.title for row in rows["Tightest"]] == ["Cluster 0"]
    ids[:10] = NOISE
    ids[ids > 0] -= 1
    rows = sheets(drawn, ids)
    assert [row.title for row in rows["Tightest"]] == ["Cluster 1"]  # of three: the most there is


def test_the_table_of_clusters(drawn):
    found = centres(drawn.features, drawn.labels)
    head, *rows = clusters.table_of_clusters(drawn, found)
    assert head[:3] == ["cluster", "members", "mean_distance"]
    assert head[3:] == ["camera 2", "camera 5", "camera 7", "person", "share_of_person"]
    assert [row[1] for row in rows] == [sum(row[3:6]) for row in rows] == found.sizes.tolist()


@pytest.mark.parametrize("sizes", [[3], [2, 2, 5], [2, 70, 900, 900]])
def test_all_clusters_are_in_the_figure_of_sizes(sizes):
    figure = clusters.plot_sizes(np.array(sizes))
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == len(sizes)


def test_the_figure_of_cameras():
    figure = clusters.plot_cameras(np.array([[1, 1], [3, 0]]), ["a", "b"], np.array([2, 4]))
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert heights == [[0.75, 0.5], [0, 0.5]]


def test_the_section_with_and_without_people(evidence, blind_run):
    section = clusters.show_clusters([evidence], Thumbnails())
    assert {"clusters-sizes", "clusters-cameras", "clusters-largest"} <= set(section.figures)
    assert "one person" in section.html and "class=mix" in section.html
    assert len(section.tables["clusters-all"]) == evidence.labels.clusters + 1
    labels, people = evidence.labels, people_of(evidence.learnt.images)
    found = {"splits": splits(labels, people), "merges": merges(labels, people)}
    assert {n: len(section.tables[f"clusters-{n}"]) - 1 for n in found} == {
        n: len(of) for n, of in found.items()
    }
    blind = clusters.show_clusters([Evidence(blind_run)], Thumbnails())
    assert set(blind.tables) == {"clusters-all"}
    assert "% one person" not in blind.html and "clusters-cameras" not in blind.figures
    assert 'class="crop "' in blind.html and 'class="crop right"' not in blind.html


def test_without_pictures_the_numbers_stay(evidence):
    pictures = Thumbnails(pictures=False)
    section = clusters.show_clusters([evidence, evidence], pictures)
    assert set(section.figures) == {
        f"clusters-{i}-{n}" for i in (1, 2) for n in ("sizes", "cameras")
    }
    assert len(pictures) == 0 and "class=crop" not in section.html and "members" in section.html


def test_what_there_is_nothing_of_is_said(run, town):
    def said(ids):
        evidence = Evidence(run, town)
        evidence.__dict__["labels"] = ids
        return clusters.show_clusters([evidence], Thumbnails()).html

    assert "No round has made clusters." in said(None)
    assert "found no clusters" in said(PseudoLabels(np.full(72, NOISE)))


def test_who_is_unknown_is_neither_right_nor_wrong(drawn):
    images = tuple(
        replace(image, person=None if i % 5 == 0 or drawn.labels.ids[i] == 0 else 1)
        for i, image in enumerate(drawn.images)
    )
    rows = sheets(drawn._replace(images=images), drawn.labels.ids)
    for row in [row for kind in rows.values() for row in kind]:
        for cell in filter(None, row.cells):
            known = cell.image.person is not None and row.title != "In no cluster"
            assert bool(cell.kind) == known
    named = clusters.contact_rows(drawn, centres(drawn.features, drawn.labels), {5: "entrance"})
    words = {cell.text.split()[0] for row in named["Largest"] for cell in row.cells if cell}
    assert words == {"c2", "entrance", "c7"}
