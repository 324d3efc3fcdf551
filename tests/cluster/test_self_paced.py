import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.cluster.density import DensitySettings
from reseen.cluster.self_paced import SelfPaced, SelfPacedSettings, overlap
from reseen.errors import SettingsError
from reseen.records import NOISE


def slow_members(labels, i):
    """Everybody in the cluster of an image; noise is alone."""
    same = {j for j in range(len(labels)) if labels[j] == labels[i] != NOISE}
    return same | {i}


def slow_overlap(ids, others):
    for i in range(len(ids)):
        one, other = slow_members(ids, i), slow_members(others, i)
        yield len(one & other) / len(one | other)


def slow_keep(tight, ids, loose, threshold=None, share=0.9):
    """Sec. 3.2, image by image: who stays in which cluster, and the threshold."""
    independence, compactness = list(slow_overlap(ids, loose)), list(slow_overlap(ids, tight))
    best = {k: max(independence[i] for i in slow_members(ids, list(ids).index(k))) for k in ids}
    best.pop(NOISE, None)
    if threshold is None:
        falling = sorted(best.values(), reverse=True)
        threshold = falling[min(len(falling) - 1, round(share * len(falling)))]
    kept = {}
    for k in best:
        of = [i for i in range(len(ids)) if ids[i] == k]
        dense = max(compactness[i] for i in of)
        stay = [i for i in of if compactness[i] >= dense and best[k] >= threshold]
        if len(stay) > 1:
            kept[k] = set(stay)
    return list(kept.values()), threshold


def groups(ids):
    return [set(np.flatnonzero(ids == k)) for k in range(ids.max() + 1)]


def random_labels(seed):
    """Three labellings that differ in a few images, as those at near-by eps do."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(-1, 6, 40)
    found = []
    for _ in range(3):
        moved = np.where(rng.random(40) < 0.2, rng.integers(-1, 6, 40), ids)
        moved[moved != NOISE] = np.unique(moved[moved != NOISE], return_inverse=True)[1]
        found.append(moved)
    return found


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_it_is_its_loop(seed):
    tight, ids, loose = random_labels(seed)
    np.testing.assert_allclose(overlap(ids, loose), list(slow_overlap(ids, loose)))
    judge = SelfPaced(SelfPacedSettings())
    found = judge.keep(tight, ids, loose)
    expected, threshold = slow_keep(tight, ids, loose)
    assert sorted(map(sorted, groups(found.ids))) == sorted(map(sorted, expected))
    assert judge.threshold == pytest.approx(threshold)


def test_by_hand():
    """A larger eps joins the first two clusters, a smaller one parts an image from the third."""
    ids = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, NOISE])
    loose = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, NOISE])
    tight = np.array([0, 0, 0, 1, 1, 2, 2, NOISE, 3, 3, NOISE])
    np.testing.assert_allclose(overlap(ids, loose)[:6], [3 / 5] * 3 + [2 / 5] * 2 + [1])
    judge = SelfPaced(SelfPacedSettings(independent_share=0.5))
    judge.threshold = 0.7
    found = judge.keep(tight, ids, loose).ids
    assert found.tolist() == [-1, -1, -1, -1, -1, 0, 0, -1, 1, 1, -1]
    judge.settings = SelfPacedSettings(independence=False)
    assert judge.keep(tight, ids, loose).ids.tolist() == [0, 0, 0, 1, 1, 2, 2, -1, 3, 3, -1]
    judge.settings = SelfPacedSettings(compactness=False)
    assert judge.keep(tight, ids, loose).ids.tolist() == [-1] * 5 + [0, 0, 0, 1, 1, -1]
    judge.settings = SelfPacedSettings(independence=False, compactness=False)
    assert judge.keep(tight, ids, loose).ids.tolist() == ids.tolist()


def test_the_threshold_is_that_of_the_first_round_and_is_kept():
    first, second = random_labels(1), random_labels(2)
    judge, resumed = SelfPaced(SelfPacedSettings()), SelfPaced(SelfPacedSettings())
    judge.keep(*first)
    before = judge.threshold
    resumed.load_state_dict(judge.state_dict())
    later = judge.keep(*second)
    assert judge.threshold == before
    assert later.ids.tolist() == resumed.keep(*second).ids.tolist()
    assert sorted(map(sorted, groups(later.ids))) == sorted(
        map(sorted, slow_keep(*second, threshold=before)[0])
    )


def test_noise_alone_stays_noise_and_sets_no_threshold():
    nothing = np.full(5, NOISE)
    judge = SelfPaced(SelfPacedSettings())
    assert judge.keep(nothing, nothing, nothing).clusters == 0 and judge.threshold is None


def test_labels_around_an_eps_are_those_at_each():
    features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    method = DensitySettings(k1=8, k2=2, eps=0.5, min_samples=3)
    found = [labels.ids for labels in method.label_around(features, None, 0.1)]
    assert len({row.tobytes() for row in found}) == 3
    for row, eps in zip(found, (0.4, 0.5, 0.6), strict=True):
        alone = DensitySettings(k1=8, k2=2, eps=eps, min_samples=3).label(features)
        assert row.tolist() == alone.ids.tolist()


@pytest.mark.parametrize("wrong", [{"eps_gap": 0.0}, {"independent_share": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} is"):
        SelfPacedSettings(**wrong)


def test_labels_around_follow_the_settings_of_cameras():
    features = np.random.default_rng(0).normal(size=(160, 4)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cameras = np.arange(160) % 2
    aware = dict(centring="mean", camera_aware=True, camera_eps=0.05)
    method = DensitySettings(k1=8, k2=2, eps=0.4, min_samples=3, **aware)
    found = method.label_around(features, cameras, 0.1)
    assert np.array_equal(found[1].ids, method.label(features, cameras).ids)
