import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.errors import DataError, SettingsError
from reseen.kernels.neighbours import (
    check_rows,
    first_copies,
    nearest,
    nearest_and_lowest,
    similarity_blocks,
)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_rows(n, d, seed):
    return unit(np.random.default_rng(seed).standard_normal((n, d)))


def corners(n, seed):
    """Rows of +-1/2 in 4 dimensions: their products are exact, and most of them tie."""
    return np.random.default_rng(seed).choice([-0.5, 0.5], (n, 4)).astype(np.float32)


def plain(rows, k, pool):
    """Sort every row in full, by similarity and then index."""
    similarities = rows.astype(float) @ pool.T.astype(float)
    order = [sorted(range(len(pool)), key=lambda j: (-row[j], j))[:k] for row in similarities]
    return np.array(order), np.take_along_axis(similarities, np.array(order), 1)


@pytest.mark.parametrize("block_bytes", [1, 3000, 1 << 20])
@pytest.mark.parametrize("k", [1, 7, 150])
def test_equals_a_full_sort(k, block_bytes):
    rows, pool = random_rows(60, 16, 1), random_rows(150, 16, 2)
    indices, similarities = nearest(rows, k, pool, block_bytes=block_bytes)
    order, values = plain(rows, k, pool)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(similarities, values, atol=1e-6)
    assert (indices.dtype, similarities.dtype) == (np.int32, np.float32)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_ties_go_to_the_lower_index(n, k, seed):
    rows = corners(n, seed)
    indices, _ = nearest(rows, k, block_bytes=8 * 13 * 13)
    np.testing.assert_array_equal(indices, plain(rows, k, rows)[0])


@pytest.mark.parametrize("block_bytes", [1, 8 * 20 * 20, 1 << 20])
def test_searching_among_themselves_equals_searching_the_same_rows_as_a_pool(block_bytes):
    rows = random_rows(130, 16, 10)
    among = nearest_and_lowest(rows, 9, block_bytes=block_bytes)
    for found, expected in zip(among, nearest_and_lowest(rows, 9, rows), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("pool", [None, random_rows(700, 64, 12)])
def test_precision_and_block_size_change_no_bit(pool):
    rows = random_rows(900, 64, 11)
    expected = nearest_and_lowest(rows, 12, pool, precision="float32")
    np.testing.assert_array_equal(expected[0], plain(rows, 12, rows if pool is None else pool)[0])
    for precision in ("float32", "bfloat16"):
        for block_bytes in (4 * 130 * 130, 1 << 22):
            found = nearest_and_lowest(rows, 12, pool, precision=precision, block_bytes=block_bytes)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("spread", [0, 1e-4, 1e-2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_copies_and_near_copies_are_told_apart(spread, precision):
    """One giant cluster: no quick score tells its rows apart, so all are searched in full."""
    noise = np.random.default_rng(13).standard_normal((600, 32))
    rows = unit(random_rows(1, 32, 14) + spread * noise)
    indices, similarities = nearest(rows, 5, precision=precision, block_bytes=1 << 16)
    order, values = plain(rows, 5, rows)
    if spread:
        np.testing.assert_array_equal(indices, order)
    else:
        np.testing.assert_array_equal(indices, np.tile(np.arange(5), (600, 1)))
    np.testing.assert_allclose(similarities, values, atol=1e-7)


def test_first_copies_equals_a_loop():
    rows = random_rows(9, 4, 15)[np.random.default_rng(16).integers(0, 9, 60)]
    where = np.arange(3, 60, 2)
    plainly = [
        next(b for b in range(a + 1) if (rows[where[b]] == rows[i]).all())
        for a, i in enumerate(where)
    ]
    np.testing.assert_array_equal(first_copies(rows, where), plainly)


def test_copies_tie_exactly_in_real_features():
    rows = random_rows(337, 100, 3)
    indices, _ = nearest(np.concatenate([rows] * 3), 3, block_bytes=8 * 300 * 300)
    expected = np.arange(337)[:, None] + [0, 337, 674]
    np.testing.assert_array_equal(indices, np.concatenate([expected] * 3))


def test_a_point_is_its_own_first_neighbour_and_k_is_clipped():
    rows = random_rows(9, 8, 4)
    indices, similarities = nearest(rows, 30)
    assert indices.shape == similarities.shape == (9, 9)
    np.testing.assert_array_equal(indices[:, 0], np.arange(9))


def test_lowest_is_the_smallest_similarity_of_each_row():
    rows = random_rows(200, 5, 5)
    lowest = nearest_and_lowest(rows, 2, block_bytes=9000)[2]
    np.testing.assert_allclose(lowest, (rows @ rows.T).min(1), atol=1e-6)


def test_blocks_cover_every_row_within_their_memory():
    rows = random_rows(50, 6, 6)
    blocks = [(start, block.copy()) for start, block in similarity_blocks(rows, rows, 4 * 50 * 8)]
    assert [start for start, _ in blocks] == list(range(0, 50, 8))
    np.testing.assert_allclose(np.concatenate([b for _, b in blocks]), rows @ rows.T, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "NaN or inf"), (np.inf, "NaN or inf"), (0.0, "length 0"), (3.0, "not of length")],
)
def test_unusable_rows_are_named(value, what):
    rows = random_rows(6, 4, 7)
    rows[[1, 4]] = value
    with pytest.raises(DataError, match=rf"gallery has 2 rows .*{what}.* .rows 1, 4"):
        check_rows(rows, "gallery")
    with pytest.raises(DataError, match=what):
        nearest(random_rows(3, 4, 8), 2, rows)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (4, 0)])
def test_an_array_that_is_no_list_of_rows_is_refused(shape):
    with pytest.raises(DataError, match=r"\(N, D\)"):
        check_rows(np.zeros(shape, np.float32))


def test_other_types_become_float32_and_float32_is_not_copied():
    rows = random_rows(5, 4, 9)
    assert check_rows(rows) is rows
    assert check_rows(rows.astype(np.float64)).dtype == np.float32


def test_a_pool_of_another_size_and_k_below_one_are_refused():
    with pytest.raises(DataError, match=r"4 numbers, .* 5"):
        nearest(random_rows(3, 4, 0), 1, random_rows(3, 5, 0))
    with pytest.raises(SettingsError, match="precision is 'half'"):
        nearest(random_rows(3, 4, 0), 1, precision="half")
    with pytest.raises(SettingsError, match="k is 0"):
        nearest(random_rows(3, 4, 0), 0)
