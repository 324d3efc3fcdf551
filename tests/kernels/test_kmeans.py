import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.kernels.kmeans import kmeans, nearest_centroid, spread_out


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_rows(n, d, seed):
    return unit(np.random.default_rng(seed).standard_normal((n, d)))


def inertia(rows, centroids, labels):
    return np.square(rows - centroids[labels]).sum()


def test_assignment_equals_a_loop_in_blocks_of_any_size():
    rows, centroids = random_rows(90, 7, 0), random_rows(11, 7, 1) * np.float32(0.7)
    squared = np.array([[np.square(x - c).sum() for c in centroids] for x in rows])
    for block_bytes in (1, 999, 1 << 20):
        labels, distances = nearest_centroid(rows, centroids, block_bytes)
        np.testing.assert_array_equal(labels, squared.argmin(1))
        np.testing.assert_allclose(distances, squared.min(1), atol=1e-5)


def test_centroids_are_the_means_of_their_rows_and_rows_go_to_the_nearest():
    rows = random_rows(300, 8, 2)
    centroids, labels = kmeans(rows, 20, seed=0, tolerance=0)
    for m in range(20):
        np.testing.assert_allclose(centroids[m], rows[labels == m].mean(0), atol=1e-6)
    np.testing.assert_array_equal(labels, nearest_centroid(rows, centroids)[0])
    assert (centroids.dtype, labels.dtype) == (np.float32, np.int32)


def test_as_good_as_scikit_learn():
    from sklearn.cluster import KMeans

    rows = unit(np.repeat(random_rows(40, 16, 3), 8, 0) + 0.5 * random_rows(320, 16, 4))
    ours = np.mean([inertia(rows, *kmeans(rows, 40, seed=s)) for s in range(20)])
    theirs = [KMeans(40, n_init=1, random_state=s).fit(rows).inertia_ for s in range(20)]
    assert ours <= np.mean(theirs) + 3 * np.std(theirs) * (2 / 20) ** 0.5


def test_groups_that_lie_apart_are_found():
    rows = unit(np.repeat(np.eye(12), 9, 0) + 0.05 * random_rows(108, 12, 5))
    _, labels = kmeans(rows, 12, seed=1)
    assert len({tuple(part) for part in labels.reshape(12, 9)}) == 12


def test_a_seed_gives_the_same_and_another_seed_another_start():
    rows = random_rows(200, 8, 6)
    first, second = kmeans(rows, 9, seed=3), kmeans(rows, 9, seed=3)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    drawn = [spread_out(rows, 9, np.random.default_rng(s)).tolist() for s in (3, 4)]
    assert drawn[0] != drawn[1]


def test_a_row_is_drawn_with_the_chance_of_its_squared_distance():
    """With two rows drawn of few, the second is the best of two candidates: count all cases."""
    rows = unit(np.array([[1, 0], [1, 0.4], [0, 1], [-1, 0.1]]))
    squared = np.square(rows[:, None] - rows).sum(2)
    expected = np.zeros(4)
    for first in range(4):
        chance = squared[first] / squared[first].sum()
        left = np.minimum(squared[first], squared).sum(1)
        for a in range(4):
            for b in range(4):
                expected[a if left[a] <= left[b] else b] += chance[a] * chance[b] / 4
    rng = np.random.default_rng(0)
    counts = np.bincount([spread_out(rows, 2, rng)[1] for _ in range(4000)], minlength=4)
    np.testing.assert_allclose(counts / 4000, expected, atol=0.03)


@pytest.mark.parametrize("M", [1, 5, 12, 30])
def test_no_cluster_is_empty_even_among_copies(M):
    rows = np.repeat(random_rows(5, 4, 7), 6, 0)
    centroids, labels = kmeans(rows, M, seed=0)
    assert np.bincount(labels, minlength=M).min() >= 1
    assert centroids.shape == (M, 4) and np.isfinite(centroids).all()


@pytest.mark.parametrize(("wrong", "what"), [((0, 9), "M is 0"), ((7, 9), "M is 7")])
def test_impossible_numbers_are_refused(wrong, what):
    with pytest.raises(SettingsError, match=what):
        kmeans(random_rows(6, 3, 8), wrong[0], seed=0, iterations=wrong[1])
    with pytest.raises(SettingsError, match="iterations is 0"):
        kmeans(random_rows(6, 3, 8), 2, seed=0, iterations=0)
