import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.cluster.two_stage import claim, two_stage
from reseen.errors import DataError, SettingsError
from reseen.records import NOISE


def people(n, seed, persons=8, spread=0.9, d=24):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((persons, d))[draw.integers(persons, size=n)]
    rows = rows + spread * draw.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def centres(features, count, seed):
    """Means of a few random images each, as short as real centroids are."""
    draw = np.random.default_rng(seed)
    return np.stack([features[draw.integers(len(features), size=4)].mean(0) for _ in range(count)])


def plain_sets(points, k):
    """Eq. 4, with a full sort of all points."""
    ranks = np.argsort(-(points @ points.T), axis=1, kind="stable")[:, :k]
    lists = [set(row.tolist()) for row in ranks]
    return ranks, [{j for j in lists[i] if i in lists[j]} | {i} for i in range(len(points))]


def set_distances(points, k1, k2):
    """Eq. 5, for all pairs."""
    _, sets = plain_sets(points, k1)
    return np.array([[1 - len(a & b) / len(a | b) for b in sets] for a in sets])


def weighted_distances(points, k1, k2):
    """Zhong et al., Eqs. 5, 7, 10 and 11, for all pairs."""
    ranks, wide = plain_sets(points, k1)
    _, narrow = plain_sets(points, round(k1 / 2) + 1)
    weights = np.zeros((len(points),) * 2)
    for i, members in enumerate(wide):
        joined = [narrow[j] for j in members if len(narrow[j] & members) > 2 / 3 * len(narrow[j])]
        everyone = sorted(members.union(*joined))
        power = np.exp(-(2 - 2 * points[everyone] @ points[i]))
        weights[i, everyone] = power / power.sum()
    weights = np.stack([weights[row[:k2]].mean(0) for row in ranks])
    overlap = np.stack([np.minimum(row, weights).sum(1) for row in weights])
    return 1 - overlap / (2 - overlap)


def plain_claim(features, centroids, p, k1, k2, distances):
    """The paper, with all distances in one dense matrix."""
    n = len(features)
    units = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    dense = distances(np.concatenate([features, units.astype(np.float32)]), k1, k2)[n:, :n]
    claims = [[] for _ in range(n)]
    for m, row in enumerate(np.round(dense, 6)):
        for i in np.argsort(row, kind="stable")[:p]:
            if row[i] < 1:
                claims[i].append(m)
    return [claim[0] if len(claim) == 1 else NOISE for claim in claims]


def same_groups(left, right):
    pairs = set(zip(left, right, strict=True))
    return len(pairs) == len(set(left)) == len(set(right)) and all(
        (a == NOISE) == (b == NOISE) for a, b in pairs
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("n", "count", "p", "k1", "k2"), [(150, 12, 10, 20, 6), (90, 40, 5, 12, 1), (60, 5, 9, 15, 1)]
)
def test_equals_the_dense_form(n, count, p, k1, k2, weighted):
    """Averages over equal lists tie up to rounding, so small cases take none (k2 = 1)."""
    features = people(n, n)
    centroids = centres(features, count, n)
    distances = weighted_distances if weighted else set_distances
    expected = plain_claim(features, centroids, p, k1, k2, distances)
    found = claim(features, centroids, p=p, k1=k1, k2=k2, weighted=weighted).ids.tolist()
    assert same_groups(found, expected)
    assert len(set(expected)) > 2


def test_approximate_neighbours_of_few_images_are_all_of_them():
    features = people(150, 3)
    centroids = centres(features, 12, 3)
    exact, found = (claim(features, centroids, p=10, k1=20, approximate=a) for a in (False, True))
    assert found.ids.tolist() == exact.ids.tolist()
    assert found.recall == 1 and exact.recall is None


@pytest.mark.parametrize("weighted", [False, True])
def test_where_all_know_each_other_all_centroids_claim_the_same(weighted):
    features = people(20, 9)
    labels = claim(features, centres(features, 3, 9), p=20, k1=30, k2=1, weighted=weighted)
    assert (labels.clusters, labels.noise) == (0, 1)


def test_a_point_that_two_centroids_claim_is_noise():
    features = people(30, 1, persons=1, spread=0.2)
    once = claim(features, features[:1], p=30, k1=40)
    twice = claim(features, np.repeat(features[:1], 2, axis=0), p=30, k1=40)
    assert (once.clusters, once.noise) == (1, 0)
    assert (twice.clusters, twice.noise) == (0, 1)


def test_the_length_of_a_centroid_means_nothing():
    features = people(100, 2)
    centroids = centres(features, 10, 3)
    scaled = centroids * np.random.default_rng(4).uniform(0.1, 9, (10, 1))
    np.testing.assert_array_equal(
        claim(features, centroids, p=8, k1=15).ids, claim(features, scaled, p=8, k1=15).ids
    )


def test_a_cluster_holds_at_most_p_and_clear_people_are_found():
    features = people(200, 5, persons=5, spread=0.1)
    labels = two_stage(features, clusters=5, p=25, k1=60, seed=1)
    sizes = np.bincount(labels.ids[labels.ids >= 0])
    assert len(sizes) == 5
    assert (sizes == 25).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_all_alike_ends_without_an_error(weighted):
    features = np.repeat(people(1, 6), 40, axis=0)
    assert claim(features, features[:1], p=5, k1=10, weighted=weighted).clusters <= 1


@given(st.integers(0, 10_000), st.integers(30, 90))
@settings(deadline=None, max_examples=15)
def test_the_order_of_images_changes_only_the_numbers(seed, n):
    """With p = N no choice is left to make among images at equal distance."""
    features = people(n, seed)
    centroids, order = centres(features, 6, seed), np.random.default_rng(seed).permutation(n)
    plain = claim(features, centroids, p=n, k1=5).ids
    moved = claim(features[order], centroids, p=n, k1=5).ids
    assert same_groups(plain[order].tolist(), moved.tolist())


def test_the_seed_decides():
    features = people(120, 7)
    one, same = (two_stage(features, clusters=15, p=6, k1=12, seed=3).ids for _ in range(2))
    np.testing.assert_array_equal(one, same)


def test_what_cannot_be_meant_is_refused():
    features = people(20, 8)
    with pytest.raises(SettingsError, match="M is 21"):
        two_stage(features, clusters=21)
    with pytest.raises(SettingsError, match="p is 0"):
        claim(features, features[:2], p=0)
    with pytest.raises(DataError, match="1 centroids are zero"):
        claim(features, np.vstack([features[:1], np.zeros((1, 24))]))
