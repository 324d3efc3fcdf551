import numpy as np
import pytest

from reseen.cluster.bottom_up import merge, nearer_share
from reseen.errors import SettingsError


def people(n, seed, persons=6, spread=0.6, parts=3, d=8):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((parts, persons, d))[:, draw.integers(persons, size=n)]
    rows = rows + spread * draw.standard_normal((parts, n, d))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows.astype(np.float32), draw.integers(0, 3, n)


WEIGHTS = np.array([0.5, 0.25, 0.25])


def plain_merge(features, classes, count, size_weight, cameras, camera_weight):
    """The nearest pair of clusters, over and over, from all pairs of images."""
    n = len(classes)
    difference = features[:, :, None].astype(float) - features[:, None]
    dense = np.einsum("s,sij->ij", WEIGHTS, np.linalg.norm(difference, axis=-1))
    dense += camera_weight * (cameras[:, None] == cameras)
    size = np.array([np.count_nonzero(classes == c) for c in classes])
    dense += size_weight * (size[:, None] + size)
    ids, limit = classes.tolist(), 0.0
    for _ in range(count):
        pairs = [(dense[i, j], i, j) for i in range(n) for j in range(i) if ids[i] != ids[j]]
        limit, i, j = min(pairs)
        ids = [ids[i] if c == ids[j] else c for c in ids]
    return ids, limit


def numbered(ids):
    return [sorted(set(ids), key=ids.index).index(c) for c in ids]


@pytest.mark.parametrize("neighbours", [1, 3, 8])
@pytest.mark.parametrize(("size_weight", "camera_weight"), [(0, 0), (0.02, 0), (0.01, 0.05)])
def test_equals_merging_the_nearest_pair_over_and_over(neighbours, size_weight, camera_weight):
    features, cameras = people(60, 1)
    classes = np.arange(60)
    cost = dict(size_weight=size_weight, cameras=cameras, camera_weight=camera_weight)
    for count in (0, 20, 15, 15):
        expected, last = plain_merge(features, classes, count, **cost)
        labels, limit = merge(features, WEIGHTS, classes, count, neighbours=neighbours, **cost)
        assert labels.ids.tolist() == numbered(expected)
        assert limit == pytest.approx(last, rel=1e-5)
        classes = labels.ids
    assert labels.clusters == 10


def test_never_below_one_cluster_even_of_copies():
    """All distances are equal, so no list says where to go on."""
    features = np.repeat(people(1, 2)[0], 30, axis=1)
    labels, limit = merge(features, WEIGHTS, np.arange(30), 99, neighbours=1)
    assert labels.clusters == 1 and limit < 1e-3
    assert merge(features, WEIGHTS, labels.ids, 5)[0].clusters == 1


def test_diversity_spares_the_large_cluster():
    """A pair of singletons a little farther apart is merged before the cluster grows."""
    angle = np.array([0, 0.01, 0.02, 0.12, 2.0, 2.15])
    features = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)[None]
    classes = np.array([0, 0, 0, 1, 2, 3])
    plain, _ = merge(features, np.ones(1), classes, 1)
    fair, _ = merge(features, np.ones(1), classes, 1, size_weight=0.05)
    assert plain.ids.tolist() == [0, 0, 0, 0, 1, 2]
    assert fair.ids.tolist() == [0, 0, 0, 1, 2, 2]


def test_the_share_of_pairs_that_are_nearer_is_that_of_all():
    features, cameras = people(80, 4)
    cost = dict(cameras=cameras, camera_weight=0.3)
    difference = features[:, :, None].astype(float) - features[:, None]
    dense = np.einsum("s,sij->ij", WEIGHTS, np.linalg.norm(difference, axis=-1))
    dense += 0.3 * (cameras[:, None] == cameras)
    every = dense[~np.eye(80, dtype=bool)]
    for limit in np.quantile(every, (0.05, 0.5)):
        found = nearer_share(features, WEIGHTS, limit, np.random.default_rng(0), **cost)
        assert found == pytest.approx(np.mean(every < limit), abs=0.01)


def test_impossible_settings_are_refused():
    features, _ = people(9, 5)
    with pytest.raises(SettingsError, match="count is -1"):
        merge(features, WEIGHTS, np.arange(9), -1)
    with pytest.raises(SettingsError, match="size_weight is -1"):
        merge(features, WEIGHTS, np.arange(9), 1, size_weight=-1)
