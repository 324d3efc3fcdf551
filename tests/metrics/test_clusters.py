"""Clusters described, torn apart, compared and ranked, each against a plain loop or by hand."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.cluster.density import encode_images
from reseen.errors import DataError, SettingsError
from reseen.kernels.jaccard import invert, jaccard_pairs
from reseen.metrics import clusters
from reseen.metrics.clusters import (
    by_distance,
    by_jaccard,
    centres,
    majority,
    members_of,
    merges,
    mixture,
    newest,
    splits,
)
from reseen.records import JUNK, NOISE, PseudoLabels


def unit(n, seed, size=6):
    rows = np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(n, seed, k=4):
    """Labels of at most k clusters, without gaps, some noise."""
    ids = np.random.default_rng(seed).integers(NOISE, k, n)
    found = np.unique(ids[ids != NOISE])
    return PseudoLabels(np.where(ids == NOISE, NOISE, np.searchsorted(found, ids)))


some = given(st.integers(1, 40), st.integers(0, 10_000))


@some
@settings(deadline=None, max_examples=40)
def test_clusters_are_described_as_a_loop_does(n, seed):
    labels, rows = drawn(n, seed), unit(n, seed)
    cameras = np.random.default_rng(seed).integers(-1, 3, n)
    people = np.random.default_rng(seed + 1).integers(JUNK, 4, n)
    found, seen = centres(rows, labels), mixture(labels, cameras, 3)
    who, share = majority(labels, people)
    listed = members_of(labels)
    sizes = [len(found.sizes), len(found.spread), len(seen), len(who), len(share), len(listed)]
    assert sizes == [labels.clusters] * 6
    middles = []
    for cluster in range(labels.clusters):
        members = [i for i in range(n) if labels.ids[i] == cluster]
        centre = np.mean([rows[i].astype(float) for i in members], axis=0)
        middles.append(centre)
        assert listed[cluster].tolist() == members and found.sizes[cluster] == len(members)
        np.testing.assert_allclose(found.centres[cluster], centre, atol=1e-6)
        mean = np.mean([np.linalg.norm(rows[i] - centre) for i in members])
        assert found.spread[cluster] == pytest.approx(mean, abs=1e-6)
        assert seen[cluster].tolist() == [Counter(cameras[members])[c] for c in range(3)]
        shown = Counter(int(people[i]) for i in members if people[i] != JUNK)
        assert share[cluster] == pytest.approx(max(shown.values(), default=0) / len(members))
        assert (shown[who[cluster]] == max(shown.values())) if shown else who[cluster] == JUNK
    for i in range(n if middles else 0):
        gaps = [np.linalg.norm(rows[i] - centre) for centre in middles]
        cluster = labels.ids[i] if labels.ids[i] != NOISE else int(np.argmin(gaps))
        assert gaps[found.nearest[i]] == pytest.approx(gaps[cluster], abs=1e-6)
        assert found.distances[i] == pytest.approx(gaps[cluster], abs=1e-6)


def plain_torn(ids, people):
    """Count, for each person, the pairs of their clustered images in two clusters."""
    torn = Counter()
    for i, j in combinations(range(len(ids)), 2):
        if people[i] == people[j] >= 0 and ids[i] != ids[j] and NOISE not in (ids[i], ids[j]):
            torn[int(people[i])] += 1
    return torn


@some
@settings(deadline=None, max_examples=60)
def test_splits_and_merges_are_those_of_a_loop(n, seed):
    labels, people = drawn(n, seed), np.random.default_rng(seed + 1).integers(JUNK, 4, n)
    found = splits(labels, people)
    torn = plain_torn(labels.ids, people)
    assert [s.person for s in found] == sorted(torn, key=lambda person: (-torn[person], person))
    for split in found:
        counts = Counter(labels.ids[people == split.person].tolist())
        assert split.noise == counts.pop(NOISE, 0) and split.clusters == counts
        assert list(split.clusters.values()) == sorted(counts.values(), reverse=True)
    wrong = plain_torn(people, labels.ids)  # pairs of a cluster, of two known people
    assert [m.cluster for m in merges(labels, people)] == sorted(
        wrong, key=lambda cluster: (-wrong[cluster], cluster)
    )
    for merge in merges(labels, people):
        counts = Counter(people[labels.ids == merge.cluster].tolist())
        counts.pop(JUNK, 0)
        assert merge.people == counts
        assert list(merge.people.values()) == sorted(counts.values(), reverse=True)


def test_splits_and_merges_by_hand():
    """Person 7 is in clusters 0 (twice), 1 and noise; cluster 1 also holds person 3, and junk."""
    labels = PseudoLabels(np.array([0, 0, 1, NOISE, 1, 1, 2]))
    people = np.array([7, 7, 7, 7, 3, JUNK, 3])
    assert splits(labels, people) == [
        clusters.Split(7, {0: 2, 1: 1}, 1),
        clusters.Split(3, {1: 1, 2: 1}, 0),
    ]
    assert merges(labels, people) == [clusters.Merge(1, {3: 1, 7: 1})]
    assert splits(labels, np.arange(7)) == [] == merges(PseudoLabels(np.arange(7)), people)


@some
@settings(deadline=None, max_examples=60)
def test_the_newest_clusters_share_least_with_former_ones(n, seed):
    before, after = drawn(n, seed), drawn(n, seed + 1, 5)
    order, overlap = newest(before, after)
    assert sorted(order.tolist()) == list(range(after.clusters))
    now = [set(np.flatnonzero(after.ids == c).tolist()) for c in range(after.clusters)]
    old = [set(np.flatnonzero(before.ids == c).tolist()) for c in range(before.clusters)]
    best = [max((len(a & b) / len(a | b) for b in old), default=0.0) for a in now]
    np.testing.assert_allclose(overlap, np.array(best)[order])
    keys = [(best[c], -len(now[c]), c) for c in order]
    assert keys == sorted(keys)


def test_new_clusters_by_hand():
    """Cluster 2 was noise, 1 is half of the former 0, and 0 is the former 1."""
    before = PseudoLabels(np.array([0, 0, 0, 0, 1, 1, NOISE, NOISE]))
    after = PseudoLabels(np.array([NOISE, NOISE, 1, 1, 0, 0, 2, 2]))
    order, overlap = newest(before, after)
    assert (order.tolist(), overlap.tolist()) == ([2, 1, 0], [0, 0.5, 1])


@some
@settings(deadline=None, max_examples=40)
def test_members_are_ranked_by_distance_to_the_mean(n, seed):
    labels, rows = drawn(n, seed), unit(n, seed)
    for cluster in range(labels.clusters):
        members = np.flatnonzero(labels.ids == cluster)
        centre = rows[members].mean(0)
        expected = {int(i): np.linalg.norm(rows[i] - centre) for i in members}
        positions, distances = by_distance(rows, labels, cluster)
        assert sorted(positions.tolist()) == members.tolist()
        np.testing.assert_allclose(distances, [expected[i] for i in positions], atol=1e-6)
        assert (np.diff(distances) >= 0).all()
        assert distances.mean() == pytest.approx(centres(rows, labels).spread[cluster], abs=1e-6)


@pytest.mark.parametrize("k2", [1, 3])
def test_members_are_ranked_by_mean_jaccard_distance(k2, monkeypatch):
    n = 80
    rows, labels = unit(n, 0, 4), drawn(n, 0, 3)
    encoding = encode_images(rows, k1=15, k2=k2)
    dense = encoding.toarray().astype(float)
    for _ in range(2):
        for cluster in range(3):
            members = np.flatnonzero(labels.ids == cluster)
            expected = {}
            for i in members:
                far = [
                    1 - np.minimum(dense[i], dense[j]).sum() / np.maximum(dense[i], dense[j]).sum()
                    for j in members
                    if j != i
                ]
                expected[int(i)] = np.mean(far)
            positions, distances = by_jaccard(encoding, labels, cluster)
            assert sorted(positions.tolist()) == members.tolist()
            np.testing.assert_allclose(distances, [expected[i] for i in positions], atol=1e-5)
            assert (np.diff(distances) >= 0).all() and 0 < distances[0] < distances[-1] < 1
            pair = jaccard_pairs(invert(encoding), members[:1], members[1:2])
            two = PseudoLabels(np.where(np.isin(np.arange(n), members[:2]), 0, NOISE))
            np.testing.assert_allclose(by_jaccard(encoding, two, 0)[1], pair[0], atol=1e-6)
        monkeypatch.setattr(clusters, "BLOCK_BYTES", 300)  # a few rows at a time


def test_a_cluster_of_one_is_its_own_centre():
    rows, labels = unit(4, 0), PseudoLabels(np.array([0, 1, NOISE, 0]))
    encoding = encode_images(rows, k1=3, k2=1)
    for positions, distances in (by_distance(rows, labels, 1), by_jaccard(encoding, labels, 1)):
        assert (positions.tolist(), distances.tolist()) == ([1], [0])


def test_nothing_but_noise_has_no_clusters():
    labels = PseudoLabels(np.full(3, NOISE))
    found = centres(unit(3, 0), labels)
    assert found.sizes.shape == found.spread.shape == (0,) and found.centres.shape == (0, 6)
    assert found.distances.tolist() == [1] * 3 and found.nearest.tolist() == [NOISE] * 3
    assert mixture(labels, np.arange(3), 3).shape == (0, 3)
    assert [len(part) for part in majority(labels, np.arange(3))] == [0, 0]
    assert members_of(labels) == []
    assert [len(part) for part in newest(labels, labels)] == [0, 0]
    assert splits(labels, np.zeros(3)) == [] == merges(labels, np.zeros(3))


def test_what_does_not_belong_together_is_refused():
    labels, rows = PseudoLabels(np.array([0, 0, 1])), unit(4, 0)
    with pytest.raises(DataError, match="3 images have labels, but features has 4 rows"):
        centres(rows, labels)
    with pytest.raises(DataError, match="cameras has 2 rows"):
        mixture(labels, np.zeros(2, np.int64), 1)
    with pytest.raises(DataError, match="people has 2 rows"):
        majority(labels, np.zeros(2))
    with pytest.raises(DataError, match="features has 4 rows"):
        by_distance(rows, labels, 0)
    with pytest.raises(DataError, match="encoding has 4 rows"):
        by_jaccard(encode_images(rows, k1=2, k2=1), labels, 0)
    with pytest.raises(DataError, match="people has 4 rows"):
        splits(labels, np.zeros(4))
    with pytest.raises(DataError, match="people has 4 rows"):
        merges(labels, np.zeros(4))
    with pytest.raises(DataError, match="3 images, the other 2"):
        newest(labels, PseudoLabels(np.zeros(2, int)))
    for cluster in (-1, 2):
        with pytest.raises(SettingsError, match=f"no cluster {cluster}. Give one of 0 to 1"):
            by_distance(rows, labels, cluster)
