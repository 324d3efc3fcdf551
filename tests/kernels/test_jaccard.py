import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from reseen.errors import SettingsError
from reseen.kernels.jaccard import ZERO, invert, jaccard_graph, jaccard_kth, jaccard_rows


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
    np.testing.assert_allclose(jaccard_rows(invert(encoding), rows), plain(encoding)[rows], atol=1e-6)
    assert jaccard_rows(invert(encoding), rows).dtype == np.float32


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
