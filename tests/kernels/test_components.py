import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.cluster import DBSCAN

from reseen.kernels.components import density_labels
from reseen.kernels.jaccard import invert, jaccard_rows
from reseen.records import NOISE


def encodings(n, entries, seed, copies=0):
    """Rows around a few centres that share entries, so that clusters, borders and noise occur."""
    draw = np.random.default_rng(seed)
    dense = np.zeros((n, n))
    centre = draw.integers(max(1, n // 8), size=n)
    for i, row in enumerate(dense):
        row[i] = draw.random() + 0.05
        row[(centre[i] * 5 + draw.integers(7, size=2 * entries)) % n] += draw.random(2 * entries)
    dense[draw.integers(n, size=copies)] = dense[draw.integers(n, size=copies)]
    return sparse.csr_matrix((dense / dense.sum(1, keepdims=True)).astype(np.float32))


def by_appearance(labels):
    names = {NOISE: NOISE}
    return [names.setdefault(label, len(names) - 1) for label in labels]


def expected(encoding, eps, min_samples):
    distances = jaccard_rows(invert(encoding), np.arange(encoding.shape[0]))
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(distances).labels_


@given(
    st.integers(1, 90), st.integers(1, 6), st.integers(1, 6), st.integers(0, 40), st.integers(0, 99)
)
@settings(deadline=None, max_examples=60)
def test_equals_scikit_learn_at_every_eps(n, entries, min_samples, copies, seed):
    encoding = encodings(n, entries, seed, copies)
    eps = np.array([0.2, 0.35, 0.5, 0.6, 0.75, 0.9])
    found = density_labels(encoding, eps, min_samples)
    for value, labels in zip(eps, found, strict=True):
        wanted = expected(encoding, float(value), min_samples)
        assert by_appearance(labels) == by_appearance(wanted)


def test_the_twin_data_has_clusters_borders_and_noise():
    borders = contested = clusters = noise = 0
    for seed in range(20):
        encoding = encodings(90, 4, seed)
        labels = expected(encoding, 0.6, 4)
        near = jaccard_rows(invert(encoding), np.arange(90)) <= 0.6
        core = near.sum(1) >= 4
        border = np.flatnonzero((labels != NOISE) & ~core)
        borders += len(border)
        contested += sum(len(set(labels[near[i] & core])) > 1 for i in border)
        clusters, noise = clusters + labels.max() + 1, noise + (labels == NOISE).sum()
    print(borders, contested, clusters, noise)
    assert borders > 20
    assert contested > 2
    assert clusters > 20
    assert noise > 20


def test_one_eps_is_a_row_of_many():
    encoding = encodings(80, 4, 2)
    many = density_labels(encoding, np.array([0.3, 0.5, 0.7]), 4)
    np.testing.assert_array_equal(density_labels(encoding, np.array([0.5]), 4), many[1:2])


@pytest.mark.parametrize("alike", ["copies", "nearly"])
def test_one_giant_cluster_never_holds_its_pairs(alike):
    """3,000 points that are all within eps: 9 million pairs, 72 MB as a graph."""
    n = 3000
    entries = np.tile(np.arange(30, dtype=np.int32), (n, 1))
    weights = np.full((n, 30), 1 / 30, np.float32)
    if alike == "nearly":
        weights += np.random.default_rng(0).uniform(0, 1e-4, weights.shape).astype(np.float32)
    encoding = sparse.csr_matrix(
        (weights.ravel(), entries.ravel(), np.arange(0, n * 30 + 1, 30)), shape=(n, n)
    )
    density_labels(encoding[:50, :50], np.array([0.6]), 4)  # compiled outside the measurement
    tracemalloc.start()
    labels = density_labels(encoding, np.array([0.6]), 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (labels == 0).all()
    assert peak < 10e6
