import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.kernels.centring import LEAST, CameraStatistics, centre, covered, moments


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def seen():
    """Unit rows of cameras 3 and 7, of one with too few crops (5), and of unknown ones."""
    cameras = np.repeat([3, 7, 5, -1], [LEAST, LEAST + 20, LEAST - 1, 30])
    rng = np.random.default_rng(0)
    cameras = rng.permutation(cameras)
    offset, spread = rng.normal(size=(9, 6)), rng.uniform(0.5, 2, (9, 6))
    rows = rng.normal(size=(len(cameras), 6)) * spread[cameras] + offset[cameras]
    return unit(rows), cameras


def slow(x, own, everybody, how):
    """Centre one row by the rows of its camera, one number after the other."""
    z = []
    for d in range(len(x)):
        mine = [row[d] for row in own]
        mean = sum(mine) / len(mine)
        if how == "mean":
            z.append(x[d] - mean + sum(row[d] for row in everybody) / len(everybody))
        else:
            z.append((x[d] - mean) / (sum((m - mean) ** 2 for m in mine) / len(mine)) ** 0.5)
    return np.array(z) / sum(v * v for v in z) ** 0.5


@pytest.mark.parametrize("how", ["mean", "deviation"])
def test_centring_equals_the_formula(seen, how):
    rows, cameras = seen
    found = centre(rows, cameras, how)
    assert found.dtype == np.float32 and found.shape == rows.shape
    for i in range(0, len(rows), 7):
        own = rows[cameras == cameras[i]] if cameras[i] in (3, 7) else rows
        np.testing.assert_allclose(found[i], slow(rows[i], own, rows, how), atol=2e-5)


def test_rows_of_unknown_cameras_are_not_moved_by_the_mean(seen):
    rows, cameras = seen
    found = centre(rows, cameras, "mean")
    apart = ~np.isin(cameras, (3, 7))
    assert np.array_equal(found[apart], rows[apart]) and not np.allclose(
        found[~apart], rows[~apart]
    )
    assert centre(rows, cameras, "off") is rows


def test_what_cameras_add_is_gone(seen):
    rows, cameras = seen
    for how in ("mean", "deviation"):
        found = centre(rows, cameras, how)
        apart = [
            np.linalg.norm(r[cameras == 3].mean(0) - r[cameras == 7].mean(0)) for r in (rows, found)
        ]
        assert apart[1] < 0.35 * apart[0]


def test_statistics_are_learnt_once_and_used_by_name(seen):
    rows, cameras = seen
    known = CameraStatistics(("gate", "yard"), moments(rows, cameras))
    names = [{3: "gate", 7: "yard", 5: "hall"}.get(c) for c in cameras.tolist()]
    for how in ("mean", "deviation"):
        np.testing.assert_array_equal(known.centred(rows, names, how), centre(rows, cameras, how))
        alone = [known.centred(rows[i : i + 1], names[i : i + 1], how)[0] for i in range(20)]
        np.testing.assert_allclose(alone, known.centred(rows, names, how)[:20], atol=1e-6)
    assert np.array_equal(known.centred(rows, names, "off"), rows)


def test_two_cameras_with_enough_crops_are_needed(seen):
    rows, cameras = seen
    assert covered(cameras).tolist() == [3, 7]
    assert covered(np.where(cameras == 7, -1, cameras)).tolist() == []
    for few in (None, np.full(len(rows), 2), np.arange(len(rows))):
        with pytest.raises(SettingsError, match="no two cameras with at least 50 crops"):
            centre(rows, few, "mean")
    with pytest.raises(SettingsError, match=r"centring is 'median'\. Use one of: off, mean"):
        centre(rows, cameras, "median")


def test_numbers_that_never_vary_do_not_explode():
    rng = np.random.default_rng(0)
    rows = unit(rng.normal(size=(200, 6)))
    rows[:, 4] *= 1e-6
    cameras = np.arange(200) % 2
    rows[cameras == 1, 5] = 0  # one camera never shows it
    known = CameraStatistics(("0", "1"), moments(rows, cameras))
    new = unit(rng.normal(size=(40, 6)))
    for name in ("0", "1", None):
        found = known.centred(new, [name] * 40, "deviation")
        assert np.isfinite(found).all() and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert (found[:, 4] == 0).all() and np.abs(found[:, 5]).mean() < 0.9
    assert np.isfinite(centre(np.tile(unit(np.ones(6)), (200, 1)), cameras, "deviation")).all()
