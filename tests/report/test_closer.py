from pathlib import Path

import numpy as np
import pytest

from reseen.kernels.kmeans import kmeans
from reseen.metrics.clusters import by_distance, by_jaccard
from reseen.records import NOISE, Image, PseudoLabels
from reseen.report import closer
from reseen.report.clusters import SHEETS, closer_rows, show_clusters
from reseen.report.evidence import Learnt
from reseen.report.thumbnails import Thumbnails

IDS = np.array([0, 0, 1, 1, 1, 2, 2, NOISE, NOISE])
PEOPLE = np.array([7, 7, 7, 8, 9, 8, 8, 7, -1])
MORE = np.where(PEOPLE == 9, 7, PEOPLE)


@pytest.fixture
def learnt():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(9, 5)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    images = tuple(Image(Path(f"{i}.jpg"), int(person)) for i, person in enumerate(PEOPLE))
    return Learnt(images, features, PseudoLabels(IDS))


def shown(row):
    return [cell and (int(cell.image.path.stem), cell.text) for cell in row.cells]


def test_people_torn_apart(learnt):
    rows = closer.split_rows(learnt, PseudoLabels(IDS), PEOPLE)
    assert [row.title for row in rows] == ["Person 7", "Person 8"]  # both tear two pairs
    assert rows[0].note == "in 2 clusters, with 2, 1 images, and 1 in no cluster"
    assert shown(rows[0]) == [*((0, "in 0"), (1, "in 0"), None, (2, "in 1"), None, (7, "in none"))]
    assert shown(rows[1]) == [(5, "in 2"), (6, "in 2"), None, (3, "in 1")]


def test_people_mixed(learnt):
    (row,) = closer.merge_rows(learnt, PseudoLabels(IDS), PEOPLE)
    assert row.title == "Cluster 1" and row.note == "3 people, with 1, 1, 1 images"
    assert shown(row) == [(2, "person 7"), None, (3, "person 8"), None, (4, "person 9")]


def test_all_splits_and_merges_as_tables():
    # Person 7: 2 in cluster 0, 1 in 1, 1 in none: 2 x 1 pairs. Person 8: 1 in 1, 2 in 2.
    assert closer.table_of_splits(PseudoLabels(IDS), PEOPLE)[1:] == [
        [7, 2, 3, 2, 1, "0:2 1:1"],
        [8, 2, 3, 2, 0, "2:2 1:1"],
    ]
    assert closer.table_of_merges(PseudoLabels(IDS), PEOPLE)[1:] == [
        [1, 3, 3, 3, "7:1 8:1 9:1"],
    ]
    # Six people, each 1, 2, ... 6 times in clusters 0 and 1: all stand there, the worst first.
    people = np.repeat(np.arange(6), 2 * np.arange(1, 7))
    labels = PseudoLabels(np.concatenate([np.repeat([0, 1], n) for n in range(1, 7)]))
    head, *lines = closer.table_of_splits(labels, people)
    assert [line[:4] for line in lines] == [[p, (p + 1) ** 2, 2 * p + 2, 2] for p in range(6)][::-1]
    head, *lines = closer.table_of_merges(labels, people)
    pairs = (21**2 - sum(n * n for n in range(1, 7))) // 2
    told = "5:6 4:5 3:4 2:3 1:2 0:1"
    assert lines == [[k, pairs, 21, 6, told] for k in (0, 1)] and len(head) == 5


def test_new_clusters(learnt, monkeypatch):
    monkeypatch.setattr(closer, "SHOWN", 3)
    before = PseudoLabels(np.array([0, 0, 0, 1, NOISE, 2, 2, 3, 3]))
    rows = closer.newest_rows(learnt, before, PseudoLabels(IDS))
    # Cluster 1 = {2, 3, 4}: of former ones it shares most with {3}; 0 = {0, 1} with {0, 1, 2}.
    assert [row.title for row in rows] == ["Cluster 1", "Cluster 0"]  # 2 is as it was
    assert [row.note for row in rows] == [
        "3 members, shares 33% with the most similar cluster of the previous round",
        "2 members, shares 67% with the most similar cluster of the previous round",
    ]
    assert set(shown(rows[0])) == {(2, "was in 0"), (3, "was in 1"), (4, "was in none")}


def test_two_orders(learnt, monkeypatch):
    ids = np.array([0] * 7 + [NOISE] * 2)
    labels, encoding = PseudoLabels(ids), closer.encode(learnt.features, {"k1": 4, "k2": 2})
    monkeypatch.setattr(closer, "NEAREST", 3)
    monkeypatch.setattr(closer, "FARTHEST", 2)
    for kinds, people in (({"right", "wrong"}, MORE), ({""}, PEOPLE)):  # 4 and 3 of 7 images
        rows = closer.order_rows(learnt, labels, encoding, 0, people)
        assert {cell.kind for row in rows for cell in row.cells if cell} == kinds
    rows = closer.order_rows(learnt, labels, encoding, 0, MORE)
    ranked = by_distance(learnt.features, labels, 0), by_jaccard(encoding, labels, 0)
    for row, (members, distances) in zip(rows, ranked, strict=True):
        all_ = [(int(i), f"{d:.2f}") for i, d in zip(members, distances, strict=True)]
        assert shown(row) == [*all_[:3], None, *all_[-2:]]
        for cell in filter(None, row.cells):
            right = MORE[int(cell.image.path.stem)] == 7
            assert cell.kind == ("right" if right else "wrong")
    unknown = closer.order_rows(learnt, labels, encoding, 0, np.full(9, -1))
    assert {cell.kind for row in unknown for cell in row.cells if cell} == {""}


@pytest.mark.parametrize("weighted", [False, True])
def test_all_images_are_ranked_around_centroids(weighted):
    """By plain loops: Euclid to the centroid, and Jaccard of sets that it joined as a point."""
    rng, k1 = np.random.default_rng(5), 8
    people = np.arange(60) // 10
    features = 2 * np.eye(6)[people] + rng.normal(size=(60, 6))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    images = tuple(Image(Path(f"{i}.jpg"), int(person)) for i, person in enumerate(people))
    settings = dict(labelling="two-stage", clusters=6, k1=k1, k2=2, weighted=weighted)
    learnt = Learnt(images, features, PseudoLabels(people))
    rows = closer.centroid_rows(learnt, settings, people)
    assert len(rows) == 2 * closer.CENTROIDS
    assert {cell.kind for row in rows for cell in row.cells if cell} >= {"right", "wrong"}
    centroids, _ = kmeans(features, 6, seed=0)
    units = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    pool = np.concatenate([features, units])
    top = [set(np.argsort(-pool @ point, kind="stable")[:k1].tolist()) for point in pool]
    sets = [{j for j in top[i] if i in top[j]} | {i} for i in range(len(pool))]
    for euclid, jaccard in zip(rows[::2], rows[1::2], strict=True):
        assert euclid.title == jaccard.title and "Jaccard" in jaccard.note
        centroid = int(euclid.title.split()[1])
        far = np.linalg.norm(features - centroids[centroid], axis=1)
        order = np.argsort(far, kind="stable")[:10]
        assert shown(euclid) == [(i, f"{far[i]:.2f}") for i in order.tolist()]
        own = sets[60 + centroid]
        far = np.array([1 - len(own & of) / len(own | of) for of in sets[:60]])
        order = [i for i in np.argsort(far, kind="stable")[:10].tolist() if far[i] < 1]
        plain = [(i, f"{far[i]:.2f}") for i in order]
        assert (shown(jaccard) == plain) != weighted
    assert "Two orders" not in (told := closer_rows(learnt, settings))
    assert [row.title for row in told["Centroids"]] == [row.title for row in rows]
    assert "Centroids" in SHEETS


def test_they_stand_below_the_clusters(evidence):
    rows = closer_rows(evidence.learnt, evidence.facts["settings"])
    assert "Two orders" in rows and set(rows) <= {"Split", "Merged", "New", "Two orders"}
    assert evidence.labels_before is not None
    section = show_clusters([evidence], Thumbnails())
    for name in rows:
        assert f"<h3>{name} <small>" in section.html
        assert f"clusters-{name.lower().replace(' ', '-')}" in section.figures
