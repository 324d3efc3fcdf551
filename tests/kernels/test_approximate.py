import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.kernels import approximate, joined, shortlist
from reseen.kernels.approximate import nearest_approximate, nearest_of_many, recall_on_sample
from reseen.kernels.joined import nearest_by_camera
from reseen.kernels.neighbours import nearest
from reseen.kernels.shortlist import shortlists


@pytest.fixture
def rows(monkeypatch):
    """4,000 rows near a few directions, in no order, and blocks small enough to leave some out."""
    for module in (approximate, joined):
        monkeypatch.setattr(module, "SIDE", 256)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 8))[rng.integers(0, 40, 4000)]
    rows = rows + 0.2 * rng.standard_normal((4000, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def compared(monkeypatch):
    """Gives the share of the pairs of blocks that each list has compared."""
    shares = []

    def spy(*args, blocks, **kwargs):
        shares.append([near.mean() for near in blocks.near])
        return shortlists(*args, blocks=blocks, **kwargs)

    monkeypatch.setattr(joined, "shortlists", spy)
    return shares


def test_reaches_the_recall_without_comparing_all(rows, compared):
    indices, similarities = nearest_approximate(rows, 10, recall=0.95, cells=40, seed=0)
    assert recall_on_sample(rows, indices, 1000, 1) >= 0.95
    assert compared[0][0] < 0.5
    given = np.einsum("nd,nkd->nk", rows, rows[indices])
    np.testing.assert_allclose(similarities, given, atol=1e-6)
    assert (np.diff(similarities) <= 0).all()


def test_reaches_the_recall_by_camera_too(rows, compared):
    cameras = np.arange(4000) % 3 * 5
    found, similarities = nearest_approximate(
        *(rows, 9), cameras=cameras, own=3, recall=0.95, cells=40, seed=0
    )
    own = (cameras[found] == cameras[:, None]).sum(1)
    assert (own == 3).all() and (np.diff(similarities) <= 0).all()
    by_camera = dict(cameras=cameras, own=3)
    assert recall_on_sample(rows, found, 1000, 1, **by_camera) >= 0.95
    assert compared[0][0] < 0.25 and compared[0][1] < 0.5  # of all, a third is of one camera
    exact, _ = nearest_by_camera(rows, cameras, 9, own=3)
    assert recall_on_sample(rows, exact, 200, 1, **by_camera) == 1
    every, _ = nearest_approximate(rows, 9, **by_camera, recall=1, cells=1, seed=0)
    assert np.mean(every == exact) > 0.99


def test_on_several_devices_the_neighbours_are_exact(rows, compared, monkeypatch):
    exact = nearest(rows, 10)
    by_camera = nearest_by_camera(rows, np.arange(4000) % 3, 10, own=4)
    for module in (approximate, joined):
        monkeypatch.setattr(module, "all_devices", lambda *work: ("cpu", "cpu"))
    found = nearest_approximate(rows, 10, seed=0)
    assert compared[-1][0] == 1
    found += nearest_approximate(rows, 10, cameras=np.arange(4000) % 3, own=4, seed=0)
    for a, b in zip(found, exact + by_camera, strict=True):
        np.testing.assert_array_equal(a, b)


def test_devices_are_chosen_by_what_torch_sees(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert shortlist.all_devices() == ("cuda:0", "cuda:1")
    assert shortlist.all_devices(work=1000) == ("cpu",)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert shortlist.all_devices() == ("cpu",)


def test_many_rows_are_searched_approximately(rows, compared, monkeypatch):
    expected, _ = nearest_approximate(rows, 5, seed=0)
    np.testing.assert_array_equal(nearest_of_many(rows, 5)[0], nearest(rows, 5)[0])
    monkeypatch.setattr(approximate, "MANY", 4000)
    np.testing.assert_array_equal(nearest_of_many(rows, 5)[0], expected)


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
