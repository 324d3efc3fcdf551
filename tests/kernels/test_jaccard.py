import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from reseen.errors import SettingsError
from reseen.kernels.jaccard import (
    ZERO,
    distinct_rows,
    invert,
    jaccard_graph,
    jaccard_kth,
    jaccard_nearest,
    jaccard_pairs,
    jaccard_rows,
    smallest_mean,
)
from reseen.kernels.reciprocal import encode_sets


def random_encoding(n, entries, seed):
    """Rows with a few positive entries, always one on the diagonal, that sum to 1."""
    draw = np.random.default_rng(seed)
    dense = np.eye(n)
    for row in dense:
        row[draw.integers(n, size=entries)] = draw.random(entries) + 0.01
    dense[n // 2] = dense[0]
    return sparse.csr_matrix((dense / dense.sum(1, keepdims=True)).astype(np.float32))


def plain(encoding):
    rows = encoding.toarray().astype(np.float64)
    return np.array(
        [[1 - np.minimum(a, b).sum() / np.maximum(a, b).sum() for b in rows] for a in rows]
    )


def dense(graph):
    """Unkept pairs as 1, stored zeros as 0."""
    full = np.ones(graph.shape, np.float32)
    rows = np.repeat(np.arange(len(full)), np.diff(graph.indptr))
    full[rows, graph.indices] = np.where(graph.data == ZERO, 0, graph.data)
    return full


@pytest.mark.parametrize("eps", [0.0, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize(("n", "entries"), [(60, 8), (61, 1), (1, 1), (25, 25)])
def test_graph_keeps_exactly_the_pairs_within_eps(n, entries, eps):
    encoding = random_encoding(n, entries, n)
    distances = plain(encoding)
    graph = jaccard_graph(encoding, eps)
    np.fill_diagonal(distances, 0)
    clear = (np.abs(distances - eps) > 1e-6) | np.eye(n, dtype=bool)
    kept = sparse.csr_matrix((np.ones(graph.nnz), graph.indices, graph.indptr), graph.shape)
    expected = (distances <= eps) & (distances < 1)
    np.testing.assert_array_equal((kept.toarray() == 1)[clear], expected[clear])
    np.testing.assert_allclose(
        dense(graph)[expected & clear], distances[expected & clear], atol=1e-6
    )


def test_rows_run_from_near_to_far_and_equals_by_index():
    encoding = sparse.csr_matrix(np.repeat(random_encoding(20, 6, 0).toarray(), 3, axis=0))
    encoding = sparse.csr_matrix((encoding.data, encoding.indices, encoding.indptr), shape=(60, 60))
    graph = jaccard_graph(encoding, 0.9)
    for start, stop in zip(graph.indptr[:-1], graph.indptr[1:], strict=True):
        keys = list(zip(graph.data[start:stop], graph.indices[start:stop], strict=True))
        assert keys == sorted(keys)
    assert graph.nnz > 60 * 3


def test_rows_equal_the_plain_loop():
    encoding = random_encoding(50, 9, 4)
    rows = np.array([7, 0, 49, 7])
    found = jaccard_rows(invert(encoding), rows)
    np.testing.assert_allclose(found, plain(encoding)[rows], atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("k", [1, 2, 7, 50, 51])
def test_kth_is_the_kth_of_each_sorted_row(k):
    encoding = random_encoding(50, 9, 5)
    distances = plain(encoding)
    np.fill_diagonal(distances, 0)
    expected = np.sort(distances, axis=1)[:, k - 1] if k <= 50 else np.ones(50)
    np.testing.assert_allclose(jaccard_kth(encoding, k), expected, atol=1e-6)


def test_a_hand_worked_pair():
    """Minima 0.25 + 0.25 = 0.5, maxima 0.75 + 0.75 = 1.5: distance 2 / 3."""
    encoding = sparse.csr_matrix(
        np.array([[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 1]], np.float32)
    )
    assert jaccard_graph(encoding, 0.7)[0, 1] == pytest.approx(2 / 3)
    assert jaccard_graph(encoding, 0.6).nnz == 3
    assert jaccard_rows(invert(encoding), np.array([2])).tolist() == [[1, 1, 0]]


def test_all_alike_keeps_every_pair():
    n = 70
    encoding = sparse.csr_matrix(np.tile(np.eye(1, n, dtype=np.float32), (n, 1)))
    graph = jaccard_graph(encoding, 0.1)
    assert graph.nnz == n * n
    assert set(graph.data) == {ZERO}


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_distances_are_symmetric_within_0_and_1_with_a_zero_diagonal(n, entries, seed):
    encoding = random_encoding(n, entries, seed)
    full = dense(jaccard_graph(encoding, 1.0))
    np.testing.assert_array_equal(full, full.T)
    np.testing.assert_array_equal(full.diagonal(), 0)
    assert full.min() >= 0
    assert full.max() <= 1
    np.testing.assert_array_equal(full, jaccard_rows(invert(encoding), np.arange(n)))


@pytest.mark.parametrize("eps", [-0.1, 1.1, float("nan")])
def test_an_impossible_eps_is_refused(eps):
    with pytest.raises(SettingsError, match="eps is"):
        jaccard_graph(random_encoding(5, 2, 0), eps)


def random_sets(n, k, seed):
    """Sets of mutual neighbours; ranks are permutations, the point itself not always among them."""
    draw = np.random.default_rng(seed)
    return encode_sets(np.stack([draw.permutation(n)[:k] for _ in range(n)]), k)


@pytest.mark.parametrize("encoding", [random_encoding(40, 9, 6), random_sets(40, 30, 7)])
def test_single_pairs_equal_the_plain_loop(encoding):
    left, right = np.divmod(np.arange(1600), 40)
    found = jaccard_pairs(invert(encoding), left, right).reshape(40, 40)
    np.testing.assert_allclose(found, plain(encoding), atol=1e-6)
    np.testing.assert_array_equal(found, jaccard_rows(invert(encoding), np.arange(40)))


def test_plain_sets_count_what_they_share():
    encoding = random_sets(30, 25, 8)
    sets = [set(row.indices.tolist()) for row in encoding]
    expected = [[1 - len(a & b) / len(a | b) for b in sets] for a in sets]
    np.testing.assert_allclose(jaccard_rows(invert(encoding), np.arange(30)), expected, atol=1e-6)
    assert len({len(s) for s in sets}) > 2


@pytest.mark.parametrize("encoding", [random_encoding(60, 5, 9), random_sets(60, 40, 10)])
@pytest.mark.parametrize(("p", "among"), [(4, 50), (60, 60), (1, 1)])
def test_the_nearest_are_the_sorted_columns(encoding, p, among):
    rows = np.array([55, 3, 59])
    indices, distances = jaccard_nearest(invert(encoding), rows, p, among)
    dense_rows = jaccard_rows(invert(encoding), rows)[:, :among]
    for row, index, near in zip(dense_rows, indices, distances, strict=True):
        order = [j for j in np.argsort(row, kind="stable") if row[j] < 1][:p]
        assert index.tolist() == order + [-1] * (p - len(order))
        np.testing.assert_array_equal(near[: len(order)], row[order])
        assert (near[len(order) :] == 1).all()


@pytest.mark.parametrize("share", [1e-9, 0.01, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("encoding", [random_encoding(50, 4, 11), random_sets(50, 30, 12)])
def test_the_smallest_mean_is_that_of_all_sorted_pairs(encoding, share):
    distances = np.sort(plain(encoding)[np.triu_indices(50, 1)])
    wanted = max(1, round(share * len(distances)))
    found = smallest_mean(encoding, share)
    assert found == pytest.approx(distances[:wanted].mean(), abs=1e-5)


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan")])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(SettingsError, match="share is"):
        smallest_mean(random_encoding(5, 2, 0), share)


def test_no_nearest_point_cannot_be_meant():
    with pytest.raises(SettingsError, match="p is 0"):
        jaccard_nearest(invert(random_encoding(5, 2, 0)), np.arange(2), 0, 5)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_distinct_rows_are_those_of_a_plain_comparison(n, kinds, seed):
    draw = np.random.default_rng(seed)
    encoding = random_encoding(n, 3, seed)[draw.integers(min(n, kinds), size=n)]
    first, place = distinct_rows(encoding)
    rows = [tuple(row) for row in encoding.toarray()]
    assert first.tolist() == sorted({rows.index(row) for row in rows})
    assert [rows[first[i]] for i in place] == rows


def test_rows_that_share_a_fingerprint_are_still_told_apart(monkeypatch):
    monkeypatch.setattr(
        "reseen.kernels.jaccard._fingerprints", lambda start, *_: np.zeros(len(start) - 1, np.int64)
    )
    encoding = random_encoding(20, 3, 13)
    first, place = distinct_rows(encoding)
    assert [tuple(encoding[first[i]].toarray()[0]) for i in place] == [
        tuple(row) for row in encoding.toarray()
    ]


@pytest.mark.parametrize("n", [2, 700])
def test_copies_cost_no_more_than_one(n):
    """All alike: every pair at 0, found without looking at pairs."""
    encoding = sparse.csr_matrix(np.tile(np.eye(1, n, dtype=np.float32), (n, 1)))
    assert smallest_mean(encoding, 1.0) == 0
    assert jaccard_kth(encoding, n).max() == 0
    assert jaccard_kth(encoding, n + 1).min() == 1
    assert [len(part) for part in distinct_rows(encoding)] == [1, n]
