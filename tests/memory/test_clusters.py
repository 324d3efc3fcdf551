import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseen.errors import SettingsError
from reseen.memory.clusters import ClusterMemory

IDS = np.array([0, 1, -1, 0, 2, 1, 1, -1, 2, 0])


def unit_rows(count, dimensions, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def memory(start="mean", update="momentum", momentum=0.2, seed=0):
    rng = np.random.default_rng(seed)
    features = unit_rows(len(IDS), 6)
    return features, ClusterMemory(
        features, IDS, start=start, update=update, momentum=momentum, rng=rng
    )


def slow_momentum(centres, vectors, targets, momentum):
    for x, y in zip(vectors, targets.tolist(), strict=True):
        centres[y] = momentum * centres[y] + (1 - momentum) * x
        centres[y] /= centres[y].norm()


def slow_hard(centres, vectors, targets, momentum):
    for y in set(targets.tolist()):
        mine = [x for x, t in zip(vectors, targets.tolist(), strict=True) if t == y]
        hardest = min(mine, key=lambda x: float(x @ centres[y]))
        centres[y] = momentum * centres[y] + (1 - momentum) * hardest
        centres[y] /= centres[y].norm()


def slow_mean(centres, vectors, targets, momentum):
    for y in set(targets.tolist()):
        mine = [x for x, t in zip(vectors, targets.tolist(), strict=True) if t == y]
        centres[y] = momentum * centres[y] + (1 - momentum) * sum(mine) / len(mine)
        centres[y] /= centres[y].norm()


@pytest.mark.parametrize(
    ("update", "slow"), [("momentum", slow_momentum), ("hard", slow_hard), ("mean", slow_mean)]
)
def test_update_equals_the_loop_over_images(update, slow):
    _, fast = memory(update=update)
    expected = fast.centres.clone()
    for seed in range(3):
        vectors = torch.from_numpy(unit_rows(9, 6, seed))
        targets = torch.tensor([2, 0, 2, 2, 1, 0, 2, 1, 1])
        slow(expected, vectors, targets, 0.2)
        fast.update(vectors, targets)
    torch.testing.assert_close(fast.centres, expected, rtol=1e-6, atol=1e-6)


def test_update_leaves_absent_clusters_alone():
    _, kept = memory()
    before = kept.centres.clone()
    kept.update(torch.from_numpy(unit_rows(2, 6)), torch.tensor([1, 1]))
    assert torch.equal(kept.centres[[0, 2]], before[[0, 2]])
    assert not torch.equal(kept.centres[1], before[1])


def test_mean_start_is_the_normalised_mean_of_the_members():
    features, kept = memory("mean")
    for k in range(3):
        expected = F.normalize(torch.from_numpy(features[k == IDS]).mean(0), dim=0)
        torch.testing.assert_close(kept.centres[k], expected)


def test_random_start_takes_a_member_and_not_always_the_same():
    taken = []
    for seed in range(20):
        features, kept = memory("random", seed=seed)
        for k in range(3):
            same = np.isclose(features, kept.centres[k].numpy(), atol=1e-6).all(1)
            assert IDS[same.argmax()] == k
            taken.append(same.argmax())
    assert len(set(taken)) == np.count_nonzero(IDS >= 0)


def test_hard_start_takes_the_member_least_like_the_mean():
    features, kept = memory("hard")
    for k in range(3):
        members = features[k == IDS]
        expected = members[(members @ members.mean(0)).argmin()]
        np.testing.assert_allclose(kept.centres[k].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "value"), [("start", "middle"), ("update", "soft"), ("momentum", 1.0)]
)
def test_refuses_what_it_does_not_know(setting, value):
    with pytest.raises(SettingsError, match=f"memory_{setting} is"):
        memory(**{setting: value})
