import numpy as np
import torch

from reseen.memory.proxies import CameraProxies
from tests.memory.test_clusters import IDS, unit_rows

CAMERAS = np.array([0, 1, 0, 1, 2, -1, 0, 1, 2, 0])


def test_proxies_equal_the_loop_over_images():
    """Means of each cluster and camera at the start, then one image after another."""
    features = unit_rows(10, 6)
    proxies = CameraProxies(features, IDS, CAMERAS, momentum=0.2)
    expected = {}
    for x, k, camera in zip(features, IDS, CAMERAS, strict=True):
        if k >= 0 and camera >= 0:
            expected[k, camera] = expected.get((k, camera), 0) + x
    expected = {pair: x / np.linalg.norm(x) for pair, x in expected.items()}
    assert list(zip(proxies.clusters.tolist(), proxies.cameras.tolist(), strict=True)) == sorted(
        expected
    )
    positions = [0, 3, 5, 2, 0, 8, 9]  # one of no cluster, one of no camera, one twice
    vectors = unit_rows(7, 6, seed=1)
    for x, i in zip(vectors, positions, strict=True):
        if (pair := (IDS[i], CAMERAS[i])) in expected:
            moved = 0.2 * expected[pair] + 0.8 * x
            expected[pair] = moved / np.linalg.norm(moved)
    proxies.update(torch.from_numpy(vectors), torch.tensor(positions))
    np.testing.assert_allclose(
        proxies.centres, np.stack([expected[pair] for pair in sorted(expected)]), atol=1e-6
    )


def test_without_cameras_there_are_no_proxies():
    proxies = CameraProxies(unit_rows(10, 6), IDS, np.full(10, -1), momentum=0.2)
    assert proxies.centres.shape == (0, 6) and len(proxies.clusters) == len(proxies.cameras) == 0
    proxies.update(torch.from_numpy(unit_rows(2, 6)), torch.tensor([0, 1]))


def test_frozen_proxies_stay():
    proxies = CameraProxies(unit_rows(10, 6), IDS, CAMERAS, momentum=1.0)
    before = proxies.centres.clone()
    proxies.update(torch.from_numpy(unit_rows(2, 6, seed=1)), torch.tensor([0, 1]))
    torch.testing.assert_close(proxies.centres, before)
