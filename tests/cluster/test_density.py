import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from reseen.cluster import density
from reseen.cluster.density import (
    DensitySettings,
    core_distances,
    encode_images,
    explain,
    jaccard_dbscan,
    share_eps,
    sweep,
)
from reseen.errors import DataError, SettingsError
from reseen.kernels.centring import centre
from reseen.kernels.components import density_labels
from reseen.kernels.jaccard import invert, jaccard_graph, jaccard_rows
from reseen.kernels.neighbours import nearest
from reseen.kernels.reciprocal import encode
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


def camera_aware(features, cameras, own, others, k2_own, k2_others):
    """Chen et al.'s distances, dense: two lists a point, both reciprocal, no expansion."""
    n = len(features)
    order = np.argsort(-(features @ features.T), axis=1, kind="stable")
    here = [[j for j in order[i] if cameras[j] == cameras[i]] for i in range(n)]
    away = [[j for j in order[i] if cameras[j] != cameras[i]] for i in range(n)]
    weights = np.zeros((n, n))
    for i in range(n):
        members = [j for j in here[i][:own] if i in here[j][:own]]
        members += [j for j in away[i][:others] if i in away[j][:others]]
        power = np.exp(-(2 - 2 * features[members] @ features[i]))
        weights[i, members] = power / power.sum()
    near = [here[i][:k2_own] + away[i][:k2_others] for i in range(n)]
    weights = np.stack([weights[rows].mean(0) for rows in near])
    overlap = np.stack([np.minimum(row, weights).sum(1) for row in weights])
    return 1 - overlap / (2 - overlap)


@pytest.mark.parametrize("cameras", [np.arange(90) % 3, np.zeros(90, int), np.arange(90)])
@pytest.mark.parametrize(
    ("own", "others", "k2_own", "k2_others"), [(5, 20, 2, 4), (4, 4, 1, 0), (8, 0, 3, 0)]
)
def test_camera_aware_distances_equal_the_plain_form(cameras, own, others, k2_own, k2_others):
    features = people(90, 11)
    encoding = encode_images(
        features, k1=own + others, k2=k2_own + k2_others, cameras=cameras, own=(own, k2_own)
    )
    found = jaccard_rows(invert(encoding), np.arange(90))
    expected = camera_aware(features, cameras, own, others, k2_own, k2_others)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_cameras_that_shift_images_split_people_unless_they_are_known():
    draw = np.random.default_rng(12)
    who, cameras = np.arange(240) % 12, np.arange(240) // 12 % 4
    rows = draw.standard_normal((12, 32))[who] + 1.2 * draw.standard_normal((4, 32))[cameras]
    rows += 0.5 * draw.standard_normal((240, 32))
    features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    blind = jaccard_dbscan(features, k1=15, k2=4, eps=0.5)
    aware = jaccard_dbscan(features, k1=15, k2=4, eps=0.5, cameras=cameras, own=(4, 2))
    bounded = jaccard_dbscan(features, k1=15, k2=4, eps=0.5, cameras=cameras, quota=4)
    right = adjusted_rand_score(who, blind.ids)
    assert adjusted_rand_score(who, aware.ids) > right + 0.1
    assert adjusted_rand_score(who, bounded.ids) > right + 0.1


def test_a_quota_that_binds_nobody_changes_nothing():
    features, cameras = people(80, 13), np.arange(80) % 2
    plain = jaccard_dbscan(features, k1=12)
    bounded = jaccard_dbscan(features, k1=12, cameras=cameras, quota=12)
    np.testing.assert_array_equal(bounded.ids, plain.ids)


@pytest.mark.parametrize(
    "bad",
    [
        {"own": (5, 2)},
        {"cameras": np.zeros(20, int)},
        {"cameras": np.zeros(20, int), "own": (5, 6)},
        {"cameras": np.zeros(20, int), "own": (28, 2)},
        {"cameras": np.zeros(20, int), "own": (31, 2)},
        {"cameras": np.zeros(20, int), "quota": 0},
    ],
)
def test_impossible_camera_settings_are_refused(bad):
    with pytest.raises(SettingsError, match=r"own is|quota is"):
        jaccard_dbscan(people(20, 14), **bad)


def test_a_sweep_is_dbscan_at_each_eps():
    features = people(200, 15)
    eps = [0.6, 0.3, 0.45, 0.7]
    found = sweep(features, eps, k1=20, min_samples=3)
    assert found.eps.tolist() == sorted(eps)
    for value, ids in zip(found.eps, found.labels, strict=True):
        one = jaccard_dbscan(features, k1=20, min_samples=3, eps=float(value))
        np.testing.assert_array_equal(ids, one.ids)
        np.testing.assert_array_equal(found.at(float(value)).ids, ids)
    kept = [row[row >= 0] for row in found.labels]
    assert found.clusters.tolist() == [len(set(row)) for row in kept]
    np.testing.assert_allclose(found.noise, [1 - len(row) / 200 for row in kept])
    largest = [max(np.bincount(row), default=0) / 200 for row in kept]
    np.testing.assert_allclose(found.largest, largest)


def test_stability_is_the_agreement_with_the_eps_beside_it():
    found = sweep(people(150, 16), [0.4, 0.5, 0.6])
    alone = [[i + 1000 if v < 0 else v for i, v in enumerate(row)] for row in found.labels]
    low, high = adjusted_rand_score(*alone[:2]), adjusted_rand_score(*alone[1:])
    np.testing.assert_allclose(found.stability, [low, (low + high) / 2, high])


def test_the_suggested_eps_finds_nearly_as_much_as_the_best():
    shares, fixed = [], []
    for seed in range(8):
        draw = np.random.default_rng(seed)
        who = draw.integers(25, size=500)
        rows = draw.standard_normal((25, 48))[who]
        rows += (1 + seed / 8) * draw.standard_normal((500, 48))
        found = sweep((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
        eps, why = found.suggest()
        assert f"eps {eps:g}: {found.at(eps).clusters} clusters" in why
        assert len(str(found).splitlines()) == 12
        alone = np.where(found.labels < 0, 500 + np.arange(500), found.labels)
        truth = [adjusted_rand_score(who, ids) for ids in alone]
        shares.append(truth[int(np.argmax(found.eps == eps))] / max(truth))
        fixed.append(truth[6] / max(truth))
    assert np.mean(shares) > 0.9
    assert np.mean(shares) > np.mean(fixed)


def test_where_no_eps_finds_a_cluster_it_is_said():
    eps, why = sweep(np.eye(40, dtype=np.float32), [0.4, 0.5], k1=1, k2=1).suggest()
    assert eps == 0.5
    assert "finds a cluster" in why


@pytest.mark.parametrize("bad", [{"eps": []}, {"eps": [0.5, 1.0]}, {"eps": [0.5], "k1": 0}])
def test_a_sweep_that_cannot_be_meant_is_refused(bad):
    with pytest.raises(SettingsError):
        sweep(people(20, 18), **bad)


@pytest.mark.parametrize("share", [1e-3, 0.05, 0.5])
def test_the_eps_of_a_share_is_the_mean_of_the_smallest_distances(share):
    features = people(120, 19)
    distances = np.sort(published(features, 20, 4)[np.triu_indices(120, 1)])
    expected = distances[: round(share * len(distances))].mean()
    assert share_eps(features, share, k1=20, k2=4) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("n", "noise"), [(2000, 0.0), (2000, 1e-3)])
def test_one_giant_cluster_is_bounded_in_memory(n, noise):
    """The pairs would be 32 MB; after the neighbours, what is held grows with N alone."""
    draw = np.random.default_rng(20)
    rows = np.ones((n, 8)) + noise * draw.standard_normal((n, 8))
    features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert jaccard_dbscan(features, eps=0.95).noise < 0.1
    ranks, similarities = nearest(features, 30)
    tracemalloc.start()
    encoding = encode(features, ranks, 30, 16, 6, similarities=similarities)
    density_labels(encoding, np.array([0.95]), 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * encoding.nnz + 1000 * n


def test_explanations_know_cameras():
    features, cameras = people(60, 21), np.arange(60) % 2
    settings = {"k1": 10, "k2": 3, "eps": 0.6, "min_samples": 4}
    plain = explain(features, **settings)
    assert explain(features, **settings, cameras=cameras, quota=3) != plain


def test_too_many_neighbours_for_few_images_are_named_not_eps():
    """k1 30 of 30 images makes one cluster at any eps: a smaller eps would not help."""
    said = explain(people(30, 22), k1=30, k2=6, eps=0.6, min_samples=4)
    assert "k1 30 is a large part of 30 images" in said and "lower k1 to about 7" in said


def test_settings_label_as_the_function_does():
    features, cameras = people(60, 23), np.arange(60) % 2
    words = dict(k1=10, k2=3, eps=0.6, min_samples=3)
    settings = DensitySettings(**words)
    assert np.array_equal(settings.label(features).ids, jaccard_dbscan(features, **words).ids)
    aware = DensitySettings(**words, camera_aware=True)
    expected = jaccard_dbscan(features, **words, cameras=cameras, own=(2, 1)).ids
    assert np.array_equal(aware.label(features, cameras).ids, expected)
    assert aware.explain(features, cameras) != settings.explain(features)
    higher = DensitySettings(**words, camera_aware=True, camera_eps=0.1)
    expected = jaccard_dbscan(features, **words | {"eps": 0.7}, cameras=cameras, own=(2, 1)).ids
    assert np.array_equal(higher.label(features, cameras).ids, expected)
    quota = DensitySettings(**words, camera_quota=4)
    expected = jaccard_dbscan(features, **words, cameras=cameras, quota=4).ids
    assert np.array_equal(quota.label(features, cameras).ids, expected)


@pytest.mark.parametrize("unknown", [None, np.full(60, -1), np.zeros(60, int)])
def test_one_camera_leaves_plain_distances_and_says_so(unknown):
    features, plain = people(60, 23), DensitySettings(k1=10, k2=3, min_samples=3)
    cameras = dict(camera_aware=True, camera_eps=0.1, camera_quota=4, centring="mean")
    aware = replace(plain, **cameras)
    assert np.array_equal(aware.label(features, unknown).ids, plain.label(features).ids)
    if unknown is not None:
        distances, centring = aware.remarks(60, unknown)
        assert "No two cameras are known" in distances and "No two cameras have" in centring
    assert not plain.remarks(60, np.zeros(60, int))
    assert not aware.remarks(100, np.arange(100) % 2)


def test_approximate_neighbours_are_a_setting(monkeypatch):
    features = people(60, 23)
    settings = DensitySettings(k1=10, k2=3, min_samples=3, neighbours="approximate")
    asked = []

    def spy(rows, k, *, cameras, own, seed):
        asked.append((len(rows), k))
        return nearest(rows, k)

    monkeypatch.setattr(density, "nearest_approximate", spy)
    labels = settings.label(features)
    assert asked == [(60, 10)]
    exact = replace(settings, neighbours="exact")
    assert np.array_equal(labels.ids, exact.label(features).ids) and asked == [(60, 10)]
    assert labels.recall == 1 and exact.label(features).recall is None
    assert "--neighbours approximate" in exact.remarks(density.MANY, np.zeros(1, int))[0]
    assert not exact.remarks(density.MANY - 1, np.zeros(1, int))
    assert not settings.remarks(density.MANY, np.zeros(1, int))
    with pytest.raises(SettingsError, match="neighbours is 'some'"):
        DensitySettings(neighbours="some")


def test_pairs_that_are_near_are_those_of_the_labels():
    features, cameras = people(60, 23), np.arange(60) % 2
    aware = DensitySettings(k1=10, k2=3, min_samples=3, camera_aware=True)
    expected = jaccard_graph(encode_images(features, k1=10, k2=3, cameras=cameras, own=(2, 1)), 0.4)
    assert (aware.near(features, cameras, 0.4) != expected).nnz == 0
    assert expected.nnz > 60


def test_eps_of_a_share_is_taken_anew_from_the_features():
    features = people(60, 24)
    settings = DensitySettings(k1=10, k2=3, eps=0.0, share=0.02)
    eps = share_eps(features, 0.02, k1=10, k2=3)
    assert settings.at(features).eps == pytest.approx(eps)
    expected = jaccard_dbscan(features, k1=10, k2=3, eps=eps).ids
    assert np.array_equal(settings.label(features).ids, expected)
    assert DensitySettings().at(features) == DensitySettings()


def test_what_is_still_auto_cannot_label():
    with pytest.raises(SettingsError, match=r"k1 is auto and has not .*run\.settle"):
        DensitySettings(k1="auto").label(people(20, 25))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(k1=0), "k1 is 0. Use 1 or more"),
        (dict(k1="many"), "k1 is 'many'. Use a number, or auto"),
        (dict(eps=1.0), "eps is 1.0"),
        (dict(eps="wide"), "eps is wide"),
        (dict(eps=0.0, share=1.5), "share is 1.5"),
    ],
)
def test_density_settings_that_cannot_be_meant_are_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        DensitySettings(**wrong)


@pytest.mark.parametrize("how", ["mean", "deviation"])
def test_labels_are_those_of_features_centred_by_camera(how):
    rows, cameras = people(160, 3), np.arange(160) % 3
    rows[cameras == 1] += 0.1
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    given = dict(k1=12, k2=3, eps=0.5)
    plain = DensitySettings(**given, centring=how)
    alone = DensitySettings(**given)
    centred = centre(rows, cameras, how)
    assert np.array_equal(plain.label(rows, cameras).ids, alone.label(centred).ids)
    assert not np.array_equal(plain.label(rows, cameras).ids, alone.label(rows, cameras).ids)
    assert plain.explain(rows, cameras) == alone.explain(centred)
    shared = DensitySettings(**given | {"eps": 0.0}, share=0.01, centring=how)
    assert shared.at(rows, cameras).eps == pytest.approx(share_eps(centred, 0.01, k1=12, k2=3))
    for unknown in (None, np.full(160, -1)):
        assert np.array_equal(plain.label(rows, unknown).ids, alone.label(rows).ids)
