import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.kernels.neighbours import nearest
from reseen.kernels.reciprocal import average, encode, encode_sets, reciprocal_sets


def people(n, seed, persons=8, d=24):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((persons, d))[draw.integers(persons, size=n)]
    rows = rows + 0.9 * draw.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def with_copies(n, seed):
    rows = people(n, seed)
    return np.concatenate([rows, rows[: n // 3], rows[: n // 4], np.repeat(rows[:1], 40, axis=0)])


def plain_sets(ranks, k):
    return [{i} | {int(j) for j in ranks[i, :k] if i in ranks[j, :k]} for i in range(len(ranks))]


def plain(features, ranks, k, k_half, k2, scale):
    """The paper, point by point, in a dense N x N matrix."""
    n = len(features)
    wide, narrow = plain_sets(ranks, k), plain_sets(ranks, k_half)
    dense = np.zeros((n, n))
    for i in range(n):
        members = set(wide[i])
        for j in wide[i]:
            if len(narrow[j] & wide[i]) > 2 / 3 * len(narrow[j]):
                members |= narrow[j]
        members = sorted(members)
        distance = (2 - 2 * features[members].astype(np.float64) @ features[i]) / scale[i]
        dense[i, members] = np.exp(-distance) / np.exp(-distance).sum()
    return np.array([dense[ranks[i, :k2]].mean(0) for i in range(n)]) if k2 > 1 else dense


@pytest.mark.parametrize("features", [people(150, 1), with_copies(90, 2), people(12, 3)])
@pytest.mark.parametrize(("k", "k_half", "k2"), [(20, 11, 6), (30, 16, 1), (7, 4, 3), (1, 1, 1)])
def test_equals_the_plain_loop(features, k, k_half, k2):
    ranks, similarities = nearest(features, k)
    scale = np.linspace(0.5, 2, len(features), dtype=np.float32)
    fast = encode(features, ranks, k, k_half, k2, similarities=similarities, scale=scale)
    unaided = encode(features, ranks, k, k_half, k2, scale=scale)
    np.testing.assert_array_equal(fast.indices, unaided.indices)
    np.testing.assert_allclose(fast.data, unaided.data, atol=1e-6)
    expected = plain(features, ranks, k, k_half, k2, scale)
    np.testing.assert_allclose(fast.toarray(), expected, atol=1e-6)
    assert fast.nnz == np.count_nonzero(expected)
    assert fast.dtype == np.float32
    assert fast.has_sorted_indices


def test_no_scale_is_a_scale_of_one():
    features = people(40, 4)
    ranks, _ = nearest(features, 10)
    one = encode(features, ranks, 10, 6, 2, scale=np.ones(40, np.float32))
    assert (encode(features, ranks, 10, 6, 2) != one).nnz == 0


@pytest.mark.parametrize("features", [people(100, 5), np.repeat(people(1, 6), 50, axis=0)])
@pytest.mark.parametrize("k2", [1, 6])
def test_rows_sum_to_one_even_where_copies_crowd_a_point_out(features, k2):
    ranks, _ = nearest(features, 20)
    encoding = encode(features, ranks, 20, 11, k2)
    np.testing.assert_allclose(encoding.sum(1), 1, atol=1e-6)


def test_sets_are_mutual_and_begin_with_the_point():
    features = with_copies(60, 7)
    ranks, _ = nearest(features, 15)
    sets = reciprocal_sets(ranks, 10)
    assert sets.shape == (len(features), 11)
    np.testing.assert_array_equal(sets[:, 0], np.arange(len(features)))
    assert [set(row[row >= 0].tolist()) for row in sets] == plain_sets(ranks, 10)


def test_a_neighbour_joins_only_with_more_than_two_thirds_inside():
    """Point 3's narrow set is {3, 0, 4}: exactly two thirds lie in R(0), so 4 stays outside."""
    ranks = np.array([[0, 3, 1], [1, 0, 2], [2, 1, 0], [3, 0, 4], [4, 3, 2]], np.int32)
    features = np.eye(5, dtype=np.float32)
    assert encode(features, ranks, 3, 3, 1)[0].indices.tolist() == [0, 1, 3]
    ranks[3] = [3, 0, 1]
    assert encode(features, ranks, 3, 3, 1)[0].indices.tolist() == [0, 1, 3]


@pytest.mark.parametrize("bad", ["k", "k_half", "k2"])
def test_settings_below_one_are_refused(bad):
    settings = {"k": 2, "k_half": 2, "k2": 2, bad: 0}
    with pytest.raises(SettingsError, match=f"{bad} is 0"):
        encode(np.eye(3, dtype=np.float32), np.zeros((3, 2), np.int32), **settings)


@pytest.mark.parametrize("k", [1, 7, 20])
def test_plain_sets_are_rows_of_ones(k):
    features = with_copies(50, 8)
    ranks, _ = nearest(features, 20)
    encoding = encode_sets(ranks, k)
    assert [set(row.indices.tolist()) for row in encoding] == plain_sets(ranks, k)
    assert set(encoding.data.tolist()) == {1}
    assert encoding.has_sorted_indices
    with pytest.raises(SettingsError, match="k is 0"):
        encode_sets(ranks, 0)


def test_extra_points_count_as_if_they_stood_below_the_features():
    features = people(80, 9)
    ranks, _ = nearest(features, 15)
    scale = np.linspace(0.5, 2, 80, dtype=np.float32)
    whole = encode(features, ranks, 15, 8, 4, scale=scale)
    parts = encode(features[:50], ranks, 15, 8, 4, scale=scale, extra=features[50:])
    assert (whole != parts).nnz == 0


def test_places_that_are_missing_are_no_neighbours():
    """As if the lists were short: -1 is nobody, and averages are over those that are there."""
    ranks = np.array([[0, 1, -1], [1, 0, 2], [2, 1, -1]], np.int32)
    assert reciprocal_sets(ranks, 3).tolist() == [[0, 1, -1, -1], [1, 0, 2, -1], [2, 1, -1, -1]]
    features = people(3, 10)
    alone = encode(features, ranks, 3, 1, 1).toarray()
    found = average(encode(features, ranks, 3, 1, 1), ranks).toarray()
    np.testing.assert_allclose(found[0], alone[[0, 1]].mean(0), atol=1e-7)
    np.testing.assert_allclose(found[1], alone.mean(0), atol=1e-7)


def test_a_narrow_list_of_one_expands_nothing():
    features = people(60, 11)
    ranks, _ = nearest(features, 12)
    encoding = encode(features, ranks, 12, 1, 1)
    assert [set(row.indices.tolist()) for row in encoding] == plain_sets(ranks, 12)
