import numpy as np
import torch

from reseen.memory.instances import InstanceMemory
from tests.memory.test_clusters import IDS, unit_rows


def test_instances_are_the_last_ones_of_their_cluster():
    features = unit_rows(10, 6)
    memory = InstanceMemory(features, IDS, 3, np.random.default_rng(0))
    for k in range(3):
        members = {tuple(row) for row in features[k == IDS]}
        assert {tuple(row) for row in memory.rows[k].numpy()} <= members
    assert {tuple(row) for row in memory.rows[1].numpy()} == {tuple(r) for r in features[IDS == 1]}
    vectors, last = torch.from_numpy(unit_rows(9, 6, seed=1)), [2, 0, 2, 2, 1, 0, 2, 1, 1]
    before = memory.rows.clone()
    memory.update(vectors, torch.tensor(last))
    oldest = [list(before[k]) for k in range(3)]
    for x, k in zip(vectors, last, strict=True):
        oldest[k] = [*oldest[k][1:], x]
    for k in range(3):
        kept = {tuple(row.tolist()) for row in memory.rows[k]}
        assert kept == {tuple(row.tolist()) for row in oldest[k]}
