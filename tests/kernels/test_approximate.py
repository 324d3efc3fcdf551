import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.kernels import approximate
from reseen.kernels.approximate import nearest_approximate, recall_on_sample
from reseen.kernels.neighbours import nearest
from reseen.kernels.shortlist import shortlists


@pytest.fixture
def rows(monkeypatch):
    """4,000 rows near a few directions, in no order, and blocks small enough to leave some out."""
    monkeypatch.setattr(approximate, "SIDE", 256)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 8))[rng.integers(0, 40, 4000)]
    rows = rows + 0.2 * rng.standard_normal((4000, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_reaches_the_recall_without_comparing_all(rows, monkeypatch):
    compared = []

    def spy(*args, near, **kwargs):
        compared.append(near.mean())
        return shortlists(*args, near=near, **kwargs)

    monkeypatch.setattr(approximate, "shortlists", spy)
    indices, similarities = nearest_approximate(rows, 10, recall=0.95, cells=40, seed=0)
    assert recall_on_sample(rows, indices, 1000, 1) >= 0.95
    assert compared[0] < 0.7
    given = np.einsum("nd,nkd->nk", rows, rows[indices])
    np.testing.assert_allclose(similarities, given, atol=1e-6)
    assert (np.diff(similarities) <= 0).all()


def test_all_blocks_give_the_exact_neighbours(rows):
    found = nearest_approximate(rows, 7, recall=1, cells=1, seed=0)
    order = np.array_equal(found[0], nearest(rows, 7)[0])
    assert order or recall_on_sample(rows, found[0], 4000, 0) > 0.99


def test_recall_counts_what_was_found(rows):
    exact, _ = nearest(rows, 10)
    assert recall_on_sample(rows, exact, 50, 0) == 1
    exact[:, 7:] = -1
    assert recall_on_sample(rows, exact, 50, 0) == pytest.approx(0.7)


def test_few_rows_are_searched_exactly():
    rows = np.eye(5, dtype=np.float32)
    np.testing.assert_array_equal(nearest_approximate(rows, 3, seed=0)[0], nearest(rows, 3)[0])


def test_impossible_settings_are_refused(rows):
    with pytest.raises(SettingsError, match="recall is 0"):
        nearest_approximate(rows, 3, recall=0, seed=0)
    with pytest.raises(SettingsError, match="k is 0"):
        nearest_approximate(rows, 0, seed=0)
