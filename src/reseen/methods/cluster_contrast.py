"""Cluster Contrast: cluster, remember one vector a cluster, contrast with it.

Dai, Wang, Yuan, Zhu, Tan: Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022
(arXiv:2103.11568). The plain base of the field, and of multi-level attention.

Each round:
1. features of all images;
2. k-reciprocal Jaccard distances and DBSCAN give clusters and noise (Sec. 3.2);
3. the memory starts with one vector a cluster (Eq. 5);
4. batches of P clusters x V images, pulled to their own cluster's vector and away from all
   others (Eq. 2); after each step the memory follows (Eq. 6).
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import inf
from typing import Any

import torch

from reseen.cluster.density import check_density, explain, jaccard_dbscan
from reseen.data.augment import AugmentSettings, augment
from reseen.data.sampling import identity_batches
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import mean_loss, set_rate, step
from reseen.errors import SettingsError
from reseen.losses.contrastive import cluster_nce
from reseen.memory.clusters import ClusterMemory, check_memory
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image


@dataclass(frozen=True, kw_only=True)
class ClusterContrast:
    """Cluster Contrast: cluster, remember a vector a cluster, contrast with it (Dai et al., 2022).

    The defaults are those of its authors' code for DBSCAN.
    """

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    epochs: int = 50
    """Rounds of labelling and training. Paper: 50."""
    iterations: int = 400
    """Steps in a round. Authors' code: 200 on Market-1501 and DukeMTMC-reID, 400 on MSMT17."""
    people: int = 16
    """Clusters in a batch, P. Paper: 16."""
    views: int = 16
    """Images of each in a batch, V. Paper: 16."""
    rate: float = 3.5e-4
    """Learning rate of Adam at the start. Paper: 3.5e-4."""
    rate_step: int = 20
    """The learning rate is divided by 10 every so many rounds. Paper: 20."""
    weight_decay: float = 5e-4
    """Weight decay of Adam. Paper: 5e-4."""
    k1: int = 30
    """Nearest neighbours among which reciprocal ones describe an image (k1). Paper: 30."""
    k2: int = 6
    """Nearest neighbours over which these descriptions are averaged (k2). Authors' code: 6."""
    eps: float = 0.6
    """Radius of DBSCAN in Jaccard distance. Authors' code: 0.6; multi-level attention: 0.4."""
    min_samples: int = 4
    """Images within eps that make a core point of DBSCAN. Paper: 4."""
    temperature: float = 0.05
    """Temperature of the loss. Paper: 0.05."""
    memory_start: str = "mean"
    """mean, random or hard: which vector a cluster starts with. Paper: mean."""
    memory_update: str = "momentum"
    """momentum (every image moves its cluster) or hard (the least similar one does). Paper:
    momentum; its first edition, and multi-level attention: hard."""
    memory_momentum: float = 0.1
    """Share of a cluster's vector that stays at an update. Paper: 0.1."""

    def __post_init__(self):
        for name in ("epochs", "iterations", "people", "views", "rate_step"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 1 or more.")
        for name in ("rate", "temperature"):
            if not 0 < getattr(self, name) < inf:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use a number above 0.")
        if not 0 <= self.weight_decay < 1 or self.people * self.views < 2:
            raise SettingsError(
                f"weight_decay is {self.weight_decay}, and a batch is {self.people} x {self.views} "
                "images. Use 0 to below 1, and batches of two images or more."
            )
        check_density(**self._density)
        check_memory(self.memory_start, self.memory_update, self.memory_momentum)

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Learn from N unlabelled images.

        Args:
            images: in an order that says nothing about who is who.
            run: keeps what is learnt and measured.

        Returns:
            The encoder of the last round.

        Raises:
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(learnt, self.rate, weight_decay=self.weight_decay)

        for epoch in run.rounds(self.epochs, encoder=encoder, optimizer=optimizer):
            set_rate(optimizer, self.rate * 0.1 ** (epoch // self.rate_step))

            features = extract(encoder, crops, track=run.track("extracting"))
            labels = jaccard_dbscan(features, **self._density)
            run.label(labels, partial(explain, features, **self._density))
            memory = ClusterMemory(
                features,
                labels.ids,
                start=self.memory_start,
                update=self.memory_update,
                momentum=self.memory_momentum,
                rng=run.rng("memory"),
                device=encoder.device,
            )

            ids = torch.from_numpy(labels.ids).to(encoder.device)
            order = identity_batches(
                labels.ids, crops.cameras, self.people, self.views, run.rng("batches")
            )
            batches = crops.batches(islice(order, self.iterations))
            chance, losses = run.rng("augment"), []
            encoder.train()
            for positions, pixels in run.track("training")(batches, self.iterations):
                pixels = augment(pixels.to(encoder.device), chance, self.augment, encoder.mean)
                targets = ids[positions]
                vectors = encoder(pixels)
                loss = cluster_nce(vectors, memory.centres, targets, self.temperature)
                losses.append(step(loss, optimizer))
                memory.update(vectors.detach(), targets)
            run.log(loss=mean_loss(losses))
        return encoder

    @property
    def _density(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("k1", "k2", "eps", "min_samples")}
