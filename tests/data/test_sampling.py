from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reseen.data.sampling import BatchSettings, class_batches, identity_batches, mixed
from reseen.errors import SettingsError


def batches(ids, cameras=None, people=2, views=3, count=12, seed=0):
    ids = np.asarray(ids)
    cameras = np.full(len(ids), -1) if cameras is None else np.asarray(cameras)
    rng = np.random.default_rng(seed)
    return list(islice(identity_batches(ids, cameras, people, views, rng), count))


@given(st.lists(st.integers(0, 6), min_size=4, max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_p_clusters_with_v_images_each(raw, people, views):
    ids = np.unique(raw, return_inverse=True)[1]
    clusters = ids.max() + 1
    for batch in batches(ids, people=people, views=views):
        found = ids[batch].reshape(-1, views)
        assert (found == found[:, :1]).all()
        assert len(set(found[:, 0])) == len(found) == min(people, clusters)


def test_noise_is_never_drawn_and_every_image_of_a_cluster_is():
    ids = np.array([-1, 0, 1, -1, 0, 1, 2, 2, 0])
    drawn = set(np.concatenate(batches(ids, count=30)).tolist())
    assert drawn == set(np.flatnonzero(ids >= 0).tolist())


def test_every_cluster_comes_once_before_any_comes_again():
    ids = np.repeat(np.arange(5), 3)
    order = np.concatenate([ids[b][::3] for b in batches(ids, count=25)])
    for turn in order.reshape(-1, 5)[:10]:
        assert len(set(turn)) == 5


def test_other_cameras_come_first():
    ids = np.zeros(12, int)
    cameras = np.array([0] * 8 + [1, 2, 3, 3])
    for batch in batches(ids, cameras, people=1, views=4, count=20):
        assert sorted(cameras[batch]) == [0, 1, 2, 3]


def test_small_clusters_repeat_their_images_evenly():
    (batch,) = batches([0, 0], people=1, views=5, count=1)
    assert sorted(np.bincount(batch)) == [2, 3]


def test_same_generator_same_batches():
    ids = np.repeat(np.arange(9), 4)
    one, two, other = (batches(ids, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_images_alone_come_once_beside_clusters_with_v_each():
    ids = np.array([0, 0, 0, 1, 2, 2, -1, 3])  # 1 and 3 are alone
    rng, cameras = np.random.default_rng(0), np.full(8, -1)
    drawn = islice(class_batches(ids, cameras, 2, 2, rng), 9)
    stream = np.concatenate(list(drawn)).reshape(-1, 6)  # a turn is 2 + 1 + 2 + 1 images
    assert 6 not in stream
    for turn in stream:
        assert sorted(ids[turn]) == [0, 0, 1, 2, 2, 3]
        assert len(set(turn.tolist())) == 6
    assert len({tuple(ids[turn]) for turn in stream}) > 1
    found, steps = BatchSettings(people=2, views=2, iterations=3).draw(
        ids, cameras, np.random.default_rng(0), alone_once=True
    )
    assert steps == 3 and np.array_equal(np.concatenate(list(found)), stream.ravel()[:12])


def test_settings_draw_the_batches_of_a_round():
    ids, cameras = np.repeat(np.arange(5), 4), np.arange(20) % 3
    settings = BatchSettings(people=2, views=3, iterations=4)
    batches, count = settings.draw(ids, cameras, np.random.default_rng(0), times=2)
    order = identity_batches(ids, cameras, 2, 3, np.random.default_rng(0))
    drawn = list(batches)
    assert count == len(drawn) == 8
    assert all(np.array_equal(batch, next(order)) for batch in drawn)
    with pytest.raises(SettingsError, match="people is auto"):
        BatchSettings(people="auto").draw(ids, cameras, np.random.default_rng(0))
    with pytest.raises(SettingsError, match="A batch is 1 x 1 images"):
        BatchSettings(people=1, views=1)


@given(st.integers(1, 40), st.integers(1, 40))
def test_two_parts_are_mixed_evenly_each_in_its_order(first, second):
    order = mixed(first, second)
    ours = order < first
    assert order[ours].tolist() == list(range(first))
    assert order[~ours].tolist() == list(range(first, first + second))
    seen, whole = np.cumsum(ours), np.arange(1, len(order) + 1)
    assert np.abs(seen - whole * first / len(order)).max() <= 1
