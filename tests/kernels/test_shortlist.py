import numpy as np
import pytest

from reseen.kernels.neighbours import decide
from reseen.kernels.shortlist import _float, _tiles, _whole, shortlists


def random_rows(n, d, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def lists(rows, others, k, sign, precision="float32", block_bytes=4 * 250 * 250, devices=("cpu",)):
    (found,) = shortlists(
        *(rows, others, ((k, sign),)),
        precision=precision,
        devices=devices,
        block_bytes=block_bytes,
    )
    return found


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("among", [True, False])
@pytest.mark.parametrize("d", [3, 64])
def test_the_best_are_on_the_list_or_there_is_none(precision, sign, among, d):
    """In three dimensions bfloat16 cannot tell thousands of rows apart: some get no list."""
    rows = random_rows(1000, d, 0)
    others = rows if among else random_rows(900, d, 1)
    found = lists(rows, others, 10, sign, precision)
    best = np.argsort(-sign * (rows.astype(float) @ others.T.astype(float)), 1)[:, :10]
    for i in np.flatnonzero(np.isfinite(found.bar)):
        listed = found.listed[i, : found.size[i]]
        assert len(set(listed)) == len(listed)
        assert set(best[i]) <= set(listed)
    if d == 64:
        assert np.isfinite(found.bar).mean() > 0.9
        assert found.size.mean() < 60


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("among", [True, False])
def test_the_bound_holds_for_every_pair(precision, sign, among):
    """Scores in bfloat16 are those of what is left when the mean of the others is taken out."""
    rows = alike(random_rows(200, 300, 2))
    others = rows if among else alike(random_rows(150, 300, 3))
    found = lists(rows, others, 150, sign, precision)
    index, score = found.listed[:, :150], found.score[:, :150]
    size = found.size[:, None] > np.arange(150)
    true = rows.astype(float) @ others.T.astype(float)
    mean = others.mean(0).astype(float)
    if precision == "bfloat16":
        true -= mean @ mean if among else (rows @ mean)[:, None]
    true = sign * np.take_along_axis(true, np.where(size, index, 0), 1)
    error = np.abs(true - score) <= found.error[:, None] + found.stored * np.abs(score)
    assert error[size].all() and size.mean() > 0.9


def alike(rows):
    """Make rows that have much in common, as features of one encoder do."""
    rows = rows + 1.8 * rows[0]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_what_rows_have_in_common_costs_no_candidates():
    rows = random_rows(2000, 64, 6)
    plain, common = (lists(r, r, 10, 1, "bfloat16") for r in (rows, alike(rows)))
    assert np.isfinite(common.bar).all()
    assert common.size.mean() < 1.5 * plain.size.mean()


def test_devices_of_torch_list_the_same_neighbours_however_many_there_are():
    rows, others = random_rows(300, 64, 4), random_rows(700, 64, 5)
    expected = decide(rows, others, lists(rows, others, 7, 1), 1 << 20)
    for block_bytes, devices in ((1, ("cpu:0",)), (1 << 20, ("cpu:0",)), (1 << 17, ("cpu", "cpu"))):
        found = lists(rows, others, 7, 1, block_bytes=block_bytes, devices=devices)
        for a, b in zip(decide(rows, others, found, 1 << 20), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_bars_hold_for_scores_below_zero():
    rows, others = np.split(alike(random_rows(1800, 64, 7)), [300])
    others = -others
    found = lists(rows, others, 10, 1)
    best = np.argsort(-(rows.astype(float) @ others.T.astype(float)), 1)[:, :10]
    assert (found.bar < 0).all() and found.size.mean() < 12
    assert all(set(best[i]) <= set(found.listed[i, : found.size[i]]) for i in range(300))


@pytest.mark.parametrize("bits", [np.int16, np.int32])
@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_are_ordered_as_scores(bits, sign):
    shift = 32 - np.iinfo(bits).bits
    numbers = np.random.default_rng(9).standard_normal(200).astype(np.float32).view(np.int32)
    kept = (numbers >> shift).astype(bits)
    scores = sign * (kept.astype(np.int32) << np.int32(shift)).view(np.float32)
    some, every = bits(np.iinfo(bits).max), bits(-1 if sign < 0 else 0)
    whole = np.array([_whole(number, some, every) for number in kept])
    np.testing.assert_array_equal(scores[np.argsort(whole)], np.sort(scores))
    again = [_float(number, some, shift) for number in whole]
    np.testing.assert_array_equal(np.array(again, np.float32), scores)


@pytest.mark.parametrize("side", [1, 3, 10, 64])
def test_tiles_hold_each_pair_once(side):
    n, seen = 50, np.zeros((50, 50), int)
    for start, stop, column, last in _tiles(n, n, side, mirrored=True):
        assert (stop - start) * (last - column) <= side**2
        seen[start:stop, column:last] += 1
        beyond = max(column, stop)
        seen[beyond:last, start:stop] += 1
    assert (seen == 1).all()
