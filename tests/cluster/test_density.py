import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from reseen.cluster.density import core_distances, jaccard_dbscan
from reseen.errors import DataError, SettingsError
from reseen.records import NOISE


def people(n, seed, persons=12, spread=1.0, d=32):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((persons, d))[draw.integers(persons, size=n)]
    rows = rows + spread * draw.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def with_copies(n, seed):
    rows = people(n, seed)
    return np.concatenate([rows, rows[: n // 3], rows[: n // 4]])


def published(features, k1, k2):
    """Dense N x N Jaccard distances, step by step as the published clustering code has them."""
    n = len(features)
    ranks = np.argsort(-(features @ features.T), axis=1, kind="stable")[:, :k1]

    def reciprocal(i, k):
        return [j for j in ranks[i, : k + 1] if i in ranks[j, : k + 1]]

    wide = [reciprocal(i, k1) for i in range(n)]
    narrow = [reciprocal(i, int(np.around(k1 / 2))) for i in range(n)]
    weights = np.zeros((n, n), np.float32)
    for i in range(n):
        members = wide[i]
        for j in wide[i]:
            if len(np.intersect1d(narrow[j], wide[i])) > 2 / 3 * len(narrow[j]):
                members = np.append(members, narrow[j])
        members = np.unique(members).astype(int)
        power = np.exp(-(2 - 2 * features[members] @ features[i]))
        weights[i, members] = power / power.sum()
    if k2 != 1:
        weights = np.stack([weights[ranks[i, :k2]].mean(0) for i in range(n)])
    overlap = np.stack([np.minimum(row, weights).sum(1) for row in weights])
    return np.maximum(1 - overlap / (2 - overlap), 0)


def by_appearance(labels):
    names = {NOISE: NOISE}
    return [names.setdefault(label, len(names) - 1) for label in labels]


@pytest.mark.parametrize("features", [people(240, 1), with_copies(150, 2), people(20, 3, 2)])
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (15, 1), (5, 3)])
@pytest.mark.parametrize(("eps", "min_samples"), [(0.6, 4), (0.45, 2), (0.3, 3)])
def test_equals_dbscan_on_the_published_dense_distances(features, k1, k2, eps, min_samples):
    distances = published(features, k1, k2)
    expected = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(distances)
    found = jaccard_dbscan(features, k1=k1, k2=k2, eps=eps, min_samples=min_samples)
    assert found.ids.tolist() == by_appearance(expected.labels_)


def test_the_twin_data_has_clusters_and_noise():
    labels = jaccard_dbscan(people(240, 1), eps=0.45, min_samples=2)
    assert labels.clusters > 5
    assert 0 < labels.noise < 0.9


def test_well_separated_people_are_found():
    features = people(200, 4, persons=5, spread=0.1)
    labels = jaccard_dbscan(features)
    assert labels.clusters == 5
    assert labels.noise == 0


def test_clusters_are_numbered_by_their_first_member_even_if_it_is_a_border_point():
    for seed in range(20):
        ids = jaccard_dbscan(people(120, seed, spread=1.1), k1=10, eps=0.5).ids
        assert ids.tolist() == by_appearance(ids)


@pytest.mark.parametrize("n", [1, 5, 29, 100])
def test_all_alike_is_one_cluster(n):
    features = np.repeat(people(1, 5), n, axis=0)
    labels = jaccard_dbscan(features, min_samples=min(n, 4))
    assert (labels.clusters, labels.noise) == (1, 0)


def test_unrelated_points_are_all_noise():
    labels = jaccard_dbscan(np.eye(40, dtype=np.float32), k1=1, k2=1)
    assert (labels.clusters, labels.noise) == (0, 1)


@given(st.integers(0, 10_000), st.integers(20, 120))
@settings(deadline=None, max_examples=20)
def test_the_order_of_images_changes_only_the_numbers(seed, n):
    """With min_samples 2 there are no border points, whose cluster depends on the order."""
    features = people(n, seed, persons=max(2, n // 10))
    order = np.random.default_rng(seed).permutation(n)
    plain = jaccard_dbscan(features, k1=8, k2=3, eps=0.5, min_samples=2).ids
    moved = jaccard_dbscan(features[order], k1=8, k2=3, eps=0.5, min_samples=2).ids
    assert by_appearance(plain[order]) == moved.tolist()


@pytest.mark.parametrize("min_samples", [1, 2, 4, 200])
def test_core_distances_are_the_rows_of_the_dense_matrix_sorted(min_samples):
    features = with_copies(100, 6)
    distances = published(features, 20, 6)
    np.fill_diagonal(distances, 0)
    expected = np.ones(len(features))
    if min_samples <= len(features):
        expected = np.sort(distances, axis=1)[:, min_samples - 1]
    found = core_distances(features, k1=20, k2=6, min_samples=min_samples)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_median_core_distance_makes_half_of_the_points_core():
    features = people(201, 7)
    eps = float(np.median(core_distances(features)))
    distances = published(features, 30, 6)
    assert ((distances <= eps + 1e-5).sum(1) >= 4).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "bad", [{"k1": 0}, {"k2": 0}, {"min_samples": 0}, {"eps": 0}, {"eps": 1}, {"eps": -1}]
)
def test_impossible_settings_are_refused(bad):
    (name,) = bad
    with pytest.raises(SettingsError, match=f"{name} is "):
        jaccard_dbscan(people(20, 8), **bad)


def test_a_diverged_encoder_is_named():
    features = people(20, 9)
    features[3] = np.nan
    with pytest.raises(DataError, match="rows 3"):
        jaccard_dbscan(features)
