"""A memory with one vector per cluster, initialised from features and updated in training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.errors import SettingsError
from reseen.records import NOISE
from reseen.transfer import send


def cluster_means(features: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Compute the mean feature of each cluster.

    Args:
        features: (N, D) float32.
        ids: (N,) clusters, 0..K-1, each at least once, or NOISE.

    Returns:
        (K, D) float32.
    """
    counts = np.bincount(ids[ids != NOISE])
    return (_sums(features, ids) / counts[:, None]).astype(np.float32)


def start_mean(features: np.ndarray, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Initialise each cluster (K, D) with the mean of its features (N, D)."""
    return _sums(features, ids).astype(np.float32)


def start_random(features: np.ndarray, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Initialise each cluster (K, D) with one of its features, drawn with `rng`."""
    order = rng.permutation(len(ids))
    _, first = np.unique(ids[order], return_index=True)
    members = order[first]
    return features[members[ids[members] != NOISE]]


def start_hard(features: np.ndarray, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Initialise each cluster (K, D) with its feature least similar to the mean."""
    centres = start_mean(features, ids, rng)
    kept = np.flatnonzero(ids != NOISE)
    similarity = np.einsum("nd,nd->n", features[kept], centres[ids[kept]])
    order = kept[np.lexsort((kept, similarity, ids[kept]))]
    _, first = np.unique(ids[order], return_index=True)
    return features[order[first]]


STARTS: dict[str, Callable] = {"mean": start_mean, "random": start_random, "hard": start_hard}


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """Initialisation and update of a memory with one vector per cluster (`ClusterMemory`).

    The defaults are those of Cluster Contrast.
    """

    memory_start: str = "mean"
    """Initial vector of a cluster: mean, random or hard. Cluster Contrast: mean."""
    memory_update: str = "momentum"
    """Images of a batch that update the vector of their cluster: momentum (each of them), hard (the
    least similar one) or mean (their mean). Cluster Contrast: momentum; its first version: hard."""
    memory_momentum: float = 0.1
    """Momentum of the memory: the share of a cluster's vector that is kept at each update. Cluster
    Contrast: 0.1."""

    def __post_init__(self):
        check_memory(self.memory_start, self.memory_update, self.memory_momentum)

    def begin(
        self,
        features: np.ndarray,
        ids: np.ndarray,
        rng: np.random.Generator,
        device: torch.device | str = "cpu",
    ) -> "ClusterMemory":
        """Create the memory of a round; the arguments are those of `ClusterMemory`."""
        return ClusterMemory(
            features,
            ids,
            start=self.memory_start,
            update=self.memory_update,
            momentum=self.memory_momentum,
            rng=rng,
            device=device,
        )


class ClusterMemory:
    """A memory of one vector per cluster (K, D), for a contrastive loss.

    Source: Dai et al., Cluster Contrast, ACCV 2022: initialisation by the mean, Eq. 5; momentum
    update, Eq. 6; batch-hard update and random initialisation from the first version,
    arXiv:2103.11568v1, Sec. 3.3.

    Args:
        features: (N, D) unit rows of all training images.
        ids: (N,) clusters, 0..K-1 or NOISE.
        start: mean, random or hard.
        update: `momentum` updates a centre with each of its images in turn; `hard` updates it once,
            with the least similar image of the batch.
        momentum: share of a centre that is kept at each update, 0 to 1.
        rng: draws the images of a random initialisation.
        device: device of the centres.
    """

    def __init__(
        self,
        features: np.ndarray,
        ids: np.ndarray,
        *,
        start: str,
        update: str,
        momentum: float,
        rng: np.random.Generator,
        device: torch.device | str = "cpu",
    ):
        check_memory(start, update, momentum)
        self.centres = F.normalize(torch.from_numpy(STARTS[start](features, ids, rng)).to(device))
        self.momentum = momentum
        self._update = UPDATES[update]

    def update(self, vectors: Tensor, targets: Tensor) -> None:
        """Update the centres with the images of a batch, after the step.

        Args:
            vectors: (B, D) unit rows, without gradient.
            targets: (B,) int64, their clusters, on the CPU: reading them from a GPU would wait.
        """
        self._update(self.centres, vectors, targets, self.momentum)


def check_memory(start: str, update: str, momentum: float) -> None:
    """Refuse unknown names and an impossible momentum.

    Raises:
        SettingsError: names the setting and the valid values.
    """
    if start not in STARTS:
        raise SettingsError(f"memory_start is {start!r}. Use one of: {', '.join(STARTS)}.")
    if update not in UPDATES:
        raise SettingsError(f"memory_update is {update!r}. Use one of: {', '.join(UPDATES)}.")
    if not 0 <= momentum < 1:
        raise SettingsError(f"memory_momentum is {momentum}. Use 0 (replace) up to below 1.")


def _sums(features: np.ndarray, ids: np.ndarray) -> np.ndarray:
    kept = ids != NOISE
    sums = np.zeros((ids.max() + 1, features.shape[1]), np.float64)
    np.add.at(sums, ids[kept], features[kept])
    return sums


def _move(centres: Tensor, clusters: Tensor, vectors: Tensor, momentum: float) -> None:
    moved = momentum * centres[clusters] + (1 - momentum) * vectors
    centres[clusters] = F.normalize(moved)


def update_momentum(centres: Tensor, vectors: Tensor, targets: Tensor, momentum: float) -> None:
    """Update centres (K, D) with each image of a batch in turn, see `ClusterMemory.update`."""
    for clusters, seen in in_turns(vectors, targets):
        _move(centres, clusters, seen, momentum)


def _update_hard(centres: Tensor, vectors: Tensor, targets: Tensor, momentum: float) -> None:
    clusters, own = torch.unique(targets, return_inverse=True)
    clusters, own = (send(values, centres.device) for values in (clusters, own))
    similarity = (vectors * centres[clusters[own]]).sum(1)
    others = own != torch.arange(len(clusters), device=own.device)[:, None]
    hardest = similarity.expand_as(others).masked_fill(others, torch.inf).argmin(1)
    _move(centres, clusters, vectors[hardest], momentum)


def _update_mean(centres: Tensor, vectors: Tensor, targets: Tensor, momentum: float) -> None:
    clusters, own, counts = torch.unique(targets, return_inverse=True, return_counts=True)
    shares = F.one_hot(own, len(clusters)).to(vectors.dtype).T
    clusters, shares, counts = (send(v, centres.device) for v in (clusters, shares, counts))
    _move(centres, clusters, shares @ vectors / counts[:, None], momentum)


UPDATES: dict[str, Callable] = {
    "momentum": update_momentum,
    "hard": _update_hard,
    "mean": _update_mean,
}


def in_turns(vectors: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the n-th image of every cluster at once, for n = 1, 2 ..., so no cluster comes twice.

    Args:
        vectors: (B, D).
        targets: (B,) int64, their clusters, on the CPU.

    Yields:
        Clusters (b,) and vectors (b, D), both on the device of the vectors.
    """
    parts = turns(targets)
    order, sizes = torch.cat(parts), [len(part) for part in parts]
    clusters = send(targets[order], vectors.device)
    seen = vectors[send(order, vectors.device)]
    yield from zip(clusters.split(sizes), seen.split(sizes), strict=True)


def turns(targets: Tensor) -> list[Tensor]:
    """Split positions so that the n-th part contains every cluster's n-th image, in order."""
    order = torch.sort(targets, stable=True).indices
    counts = torch.unique_consecutive(targets[order], return_counts=True)[1]
    starts = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    turn = torch.arange(len(targets), device=targets.device) - starts
    return [order[turn == n] for n in range(int(counts.max()))]
