import numpy as np
import torch

from reseen.cluster.density import jaccard_dbscan


def test_torch_keeps_its_threads():
    """Two pools that wait for each other on the same cores made everything ten times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    jaccard_dbscan(rows, k1=8, k2=2, eps=0.6, min_samples=2)
    found = torch.get_num_threads()
    torch.set_num_threads(before)
    assert found == 1
