import numpy as np
import pytest

from reseen.errors import DataError, SettingsError
from reseen.kernels.dissimilarity import dissimilarities, least_dissimilar, stripe_weights


def unit_rows(*shape, seed=0):
    rows = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def plain(features, weights, i, j, cameras, camera_weight, penalties):
    """Eqs. 5 to 7 for one pair."""
    total = 0.0
    for rows, weight in zip(features, weights, strict=True):
        total += weight * np.linalg.norm(rows[i].astype(float) - rows[j])
    if cameras[i] == cameras[j] and cameras[i] != -1:
        total += camera_weight
    return total + penalties[i] + penalties[j]


def case(n=70, seed=3):
    draw = np.random.default_rng(seed)
    features = unit_rows(4, n, 12, seed=seed)
    weights = np.array([0.5, 0.2, 0.1, 0.2])
    return features, weights, draw.integers(-1, 3, n), draw.integers(0, 20, n), draw.random(n)


@pytest.mark.parametrize("block_bytes", [1, 8 * 13 * 13, 1 << 20])
@pytest.mark.parametrize("k", [1, 5, 200])
def test_equals_a_full_sort_of_the_formula(k, block_bytes):
    features, weights, cameras, classes, penalties = case()
    n, cost = len(cameras), dict(cameras=cameras, camera_weight=0.3, penalties=penalties)
    near, far = least_dissimilar(
        features, weights, k, classes=classes, block_bytes=block_bytes, **cost
    )
    assert near.shape == (n, min(k, n - 1)) and (near.dtype, far.dtype) == (np.int32, np.float32)
    for i in range(n):
        others = [j for j in range(n) if classes[j] != classes[i]]
        told = {j: plain(features, weights, i, j, cameras, 0.3, penalties) for j in others}
        expected = sorted(others, key=told.__getitem__)[:k]
        assert near[i, : len(expected)].tolist() == expected
        np.testing.assert_allclose(far[i, : len(expected)], [told[j] for j in expected], rtol=1e-5)
        assert (near[i, len(expected) :] == -1).all() and np.isinf(far[i, len(expected) :]).all()


def test_an_image_is_not_its_own_neighbour_and_ties_go_to_the_lower_index():
    features = np.repeat(unit_rows(1, 1, 4), 6, axis=1)
    near, _ = least_dissimilar(features, np.ones(1), 3)
    assert near.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


def test_another_camera_is_preferred_by_just_the_weight():
    """Figure 3: the nearer image of the same camera gives way."""
    angle = np.array([0.0, 0.3, 0.4])
    features = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)[None]
    gap = 2 * np.sin(0.2) - 2 * np.sin(0.15)
    for weight, first in ((gap - 0.001, 1), (gap + 0.001, 2)):
        near, _ = least_dissimilar(
            features, np.ones(1), 1, cameras=np.array([0, 0, 1]), camera_weight=weight
        )
        assert near[0, 0] == first


def test_pairs_have_the_same_dissimilarity_as_in_the_lists():
    features, weights, cameras, _, penalties = case()
    cost = dict(cameras=cameras, camera_weight=0.3, penalties=penalties)
    near, far = least_dissimilar(features, weights, 4, **cost)
    pairs = np.stack([np.repeat(np.arange(len(near)), 4), near.ravel()], 1)
    np.testing.assert_allclose(dissimilarities(features, weights, pairs, **cost), far.ravel(), 1e-5)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        (dict(weights=np.ones(2)), DataError, "4, 70, 12"),
        (dict(k=0), SettingsError, "k is 0"),
        (dict(weights=np.array([1, 1, 1, -1])), SettingsError, "weights are"),
        (dict(camera_weight=-1.0), SettingsError, "camera_weight is -1"),
        (dict(cameras=np.zeros(3)), DataError, r"cameras has shape \(3,\)"),
        (dict(features=2 * unit_rows(4, 9, 3)), DataError, "not of length 1"),
    ],
)
def test_refuses_what_cannot_be(changes, error, says):
    features, weights, *_ = case()
    with pytest.raises(error, match=says):
        least_dissimilar(**(dict(features=features, weights=weights, k=2) | changes))


def test_weights_of_whole_and_stripes_are_those_of_the_equation():
    assert stripe_weights(4, 0.5).tolist() == [0.5, 0.125, 0.125, 0.125, 0.125]
    assert stripe_weights(4, 0).tolist() == [1]
    assert stripe_weights(2, 1).tolist() == [0, 0.5, 0.5]
