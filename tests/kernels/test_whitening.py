import numpy as np
import pytest

from reseen.kernels.whitening import FLOOR, whitened, whitening


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(500, 8)) * np.geomspace(4, 0.1, 8) @ rng.normal(size=(8, 8)) + 1)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_whitening_equals_the_formula(rows, share):
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    scaled = np.diag((values / values.max() + FLOOR) ** (-share / 2))
    wanted = unit((rows - rows.mean(0)) @ vectors @ scaled @ vectors.T)
    found = whitened(rows, share)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_a_share_of_1_makes_directions_vary_alike(rows):
    mean, matrix = whitening(rows, 1)
    spread = [np.linalg.eigvalsh(np.cov(r.T)) for r in (rows, (rows - mean) @ matrix)]
    before, after = (of[-1] / of[0] for of in spread)
    assert after < before / 100  # what is left comes from the floor


def test_a_share_of_0_gives_features_as_they_came(rows):
    assert whitened(rows, 0) is rows


def test_directions_that_all_share_count_less(rows):
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(50), 4)
    noisy = unit(np.c_[rng.normal(size=(50, 6))[person], 5 * rng.normal(size=(200, 1))])

    def right(features):
        near = features @ features.T
        np.fill_diagonal(near, -2)
        return np.mean(person[near.argmax(1)] == person)

    assert right(whitened(noisy, 0.75)) > right(noisy) + 0.05


def test_fewer_rows_than_numbers_can_be_whitened():
    found = whitened(unit(np.random.default_rng(0).normal(size=(3, 16))), 0.5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
