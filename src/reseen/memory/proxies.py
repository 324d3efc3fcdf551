"""One vector for each cluster and camera that has seen it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.memory.clusters import start_mean, update_momentum
from reseen.records import NOISE
from reseen.transfer import send


class CameraProxies:
    """A memory of proxies (G, D), one for each cluster and camera.

    Images in no cluster, and those of unknown cameras, belong to no proxy.

    Source: Wang et al., Camera-aware Proxies (CAP), AAAI 2021; momentum of O2CAP, TIP 2022.

    Args:
        features: (N, D) unit rows of all training images.
        ids: (N,) clusters, 0..K-1 or NOISE.
        cameras: (N,) int, -1 if unknown.
        momentum: share of a proxy that is kept at each update, 0 to 1; 1 freezes the proxies.
        device: device of the proxies.

    Attributes:
        centres: (G, D) unit rows; none if no camera is known.
        clusters: (G,) int64, the cluster of each.
        cameras: (G,) int64, the camera of each.
    """

    def __init__(
        self,
        features: np.ndarray,
        ids: np.ndarray,
        cameras: np.ndarray,
        *,
        momentum: float,
        device: torch.device | str = "cpu",
    ):
        kept = (ids != NOISE) & (cameras >= 0)
        pairs = np.stack([ids[kept], cameras[kept]], 1).astype(np.int64)
        found, own = np.unique(pairs, axis=0, return_inverse=True)
        of = np.full(len(ids), NOISE, np.int64)
        of[kept] = own.ravel()
        sums = np.zeros((0, features.shape[1]), np.float32)
        if len(found):
            sums = start_mean(features, of, np.random.default_rng(0))
        self.centres = F.normalize(torch.from_numpy(sums).to(device))
        self.clusters, self.cameras = torch.from_numpy(found).to(device).unbind(1)
        self._of = torch.from_numpy(of)
        self._momentum = momentum

    def update(self, vectors: Tensor, positions: np.ndarray) -> None:
        """Update the proxies with the images of a batch, one after another, after the step.

        Args:
            vectors: (B, D) unit rows, without gradient.
            positions: (B,) int64, which of the N images they are.
        """
        proxies = self._of[positions]
        known = (proxies != NOISE).nonzero()[:, 0]
        if len(known):
            seen = vectors[send(known, vectors.device)]
            update_momentum(self.centres, seen, proxies[known], self._momentum)
