"""ADTC: voxel attention and two-stage clustering.

Ji, Zou, Lin, Liu, Huang, Wu: An Attention-driven Two-stage Clustering Method for Unsupervised
Person Re-Identification, ECCV 2020.

Each round (Algorithm 1):
1. the features of all images are extracted: feature map, voxel attention, global max pooling, batch
   norm (lines 4 to 6);
2. k-means++ gives M centroids; each is assigned the p images nearest by k-reciprocal Jaccard
   distance, and images assigned to two centroids are left out (lines 8 to 10);
3. the network is trained for a few epochs on the hardest triplets of each batch (line 12, Eq. 6).
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.checks import Auto, above_zero, at_least, at_most_images, one_of, settled
from reseen.cluster.density import DensitySettings
from reseen.cluster.numbering import by_appearance
from reseen.cluster.two_stage import two_stage
from reseen.data.augment import AugmentSettings
from reseen.data.sampling import BatchSettings
from reseen.engine.batches import augmented
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, averaged, set_rate, step
from reseen.kernels.kmeans import kmeans
from reseen.losses.contrastive import cluster_nce
from reseen.losses.triplet import batch_hard
from reseen.memory.clusters import ClusterMemory, MemorySettings
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.teacher import TeacherSettings
from reseen.records import Image, PseudoLabels
from reseen.transfer import send

LABELLINGS = ("two-stage", "k-means", "dbscan")
LOSSES = ("triplet", "memory")


@dataclass(frozen=True, kw_only=True)
class ADTC:
    """ADTC: voxel attention, two-stage clustering and batch-hard triplets (Ji et al., 2020).

    The defaults are the full model of the paper, started from ImageNet weights. For its other
    variant, started from a model trained on labelled people, use --start. The paper uses max
    pooling, no padding, no random erasing, batches of 32 x 4 images and a learning rate of 1e-4. It
    does not give k of Eq. 4 (k1 here; 20 and k2 6 are the values of the re-ranking that it cites),
    nor the number of steps in an epoch (100 steps show about as many images as Market-1501 has).
    DBSCAN and the cluster memory are not in the paper.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="max"))
    augment: AugmentSettings = field(default_factory=partial(AugmentSettings, pad=0, erase=0.0))
    density: DensitySettings = field(default_factory=partial(DensitySettings, k1=20))
    batches: BatchSettings = field(
        default_factory=partial(BatchSettings, people=32, views=4, iterations=100)
    )
    schedule: ScheduleSettings = field(
        default_factory=partial(ScheduleSettings, rate=1e-4, rate_step=0)
    )
    memory: MemorySettings = field(default_factory=MemorySettings)
    teaching: TeacherSettings = field(default_factory=TeacherSettings)
    attention: str = "voxel"
    """Attention module: voxel, voxel-spatial, voxel-channel, harmonious, cbam, or none. Paper:
    voxel."""
    width: int = 800
    """Hidden size of the channel part of voxel attention (d). The paper's "the output channels are
    set as 800" is read as this."""
    reduction: int = 0
    """Number of channels to which a 1 x 1 convolution reduces the feature map before attention; 0
    for no such layer. This is the other way to read the paper's 800."""
    gate: bool = False
    """Start from the network without attention, and blend attention in by a learnt weight. Not in
    the paper."""
    labelling: str = "two-stage"
    """Clustering: two-stage, k-means (only its first stage) or dbscan (as in Cluster Contrast).
    Paper: two-stage."""
    clusters: int | Auto = 1000
    """Number of k-means centroids (M). Paper: 1000, for 12,936 or 16,522 images."""
    p: int | Auto = 20
    """Number of images assigned to each centroid. Paper: 20."""
    weighted: bool = False
    """Compute the Jaccard distance from expanded, weighted neighbour sets, as in the paper that is
    cited, instead of plain sets. Paper: plain sets (Eq. 5)."""
    loss: str = "triplet"
    """triplet, or memory (the cluster memory and ClusterNCE loss of Cluster Contrast). Paper:
    triplet."""
    margin: float = 0.3
    """Margin of the triplet loss, as a squared distance (m). Paper: 0.3."""
    unit: bool = True
    """Normalise vectors to length 1 before the triplet loss. The paper does not say; a margin of
    0.3 is negligible compared to squared distances of 2048 batch-normalised values."""
    temperature: float = 0.05
    """Temperature of the memory loss. Not in the paper; Cluster Contrast: 0.05."""
    rounds: int | Auto = 20
    """Number of rounds of labelling and training (T); 0 only evaluates the initial encoder. Paper:
    20."""
    epochs: int | Auto = 10
    """Epochs of training in each round. Paper: 10."""
    rate_hold: int = 5
    """Epochs of a round before the learning rate starts to decay. Paper: 5. It does not say whether
    the schedule restarts in each round; here it does."""
    rate_end: float = 0.001
    """Factor of the learning rate that is reached at the end of a round by exponential decay; 1
    keeps the rate constant. The paper gives no value; Hermans et al., whose loss it uses: 0.001."""

    def __post_init__(self):
        at_least(self, 1, "width", "clusters", "p", "epochs")
        at_least(self, 0, "rounds", "margin")
        above_zero(self, "rate_end", "temperature")
        one_of(self, LABELLINGS, "labelling")
        one_of(self, LOSSES, "loss")
        at_least(self.batches, 2, "people")
        self._attended()

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            SettingsError: there are fewer images than clusters to be found.
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self._attended())
        crops = run.load(images, encoder)
        self = run.settle(self, encoder, crops)
        optimizer = self.schedule.adam(encoder)
        rounds, epochs = settled(self, "rounds"), settled(self, "epochs")
        steps = epochs * settled(self.batches, "iterations")
        teacher = self.teaching.follow(encoder, rounds * steps)

        kept = dict(optimizer=optimizer, **teacher.parts)
        for done in run.rounds(rounds, encoder=teacher.net, **kept):
            # Attention and clustering steps, lines 3 to 10
            features = extract(teacher.net, crops, track=run.track("extracting"))
            labels = run.once(self._label, features, crops.cameras, run)
            run.label(labels, partial(self._explain, features, crops.cameras))
            memory = None
            if self.loss == "memory":
                memory = self.memory.begin(features, labels.ids, run.rng("memory"), encoder.device)

            # Parameter updating step, line 12
            ids = torch.from_numpy(labels.ids)
            chance = run.rng("batches")
            drawn = self.batches.draw(labels.ids, crops.cameras, chance, times=epochs)
            seen = augmented(run, encoder, crops, drawn, self.augment)
            losses = []
            for number, (positions, pixels) in enumerate(seen):
                set_rate(optimizer, self._rate(done, number * epochs // drawn[1]))
                own = ids[positions]
                targets = send(own, encoder.device)
                loss, vectors = self._loss(encoder, pixels, targets, memory)
                losses.append(step(loss, optimizer))
                teacher.update()
                if memory:
                    memory.update(vectors.detach(), own)
            run.log(**averaged(losses))
        return teacher.net

    def _label(self, features: np.ndarray, cameras: np.ndarray, run: Run) -> PseudoLabels:
        """Group images (N) by features (N, D): Sec. 3.3, or one of the two to compare with."""
        if self.labelling == "dbscan":
            return self.density.label(features, cameras)
        features = self.density.centred(features, cameras)
        at_most_images(self, len(features), "clusters")
        sought: Any = dict(clusters=self.clusters, p=self.p, k1=self.density.k1, k2=self.density.k2)
        if self.labelling == "k-means":
            _, nearest = kmeans(features, sought["clusters"], seed=run.rng("centroids"))
            return PseudoLabels(by_appearance(nearest))
        sought |= dict(weighted=self.weighted, seed=run.rng("centroids"))
        approximate = settled(self.density, "neighbours") == "approximate"
        return two_stage(features, **sought, approximate=approximate)

    def _loss(
        self, encoder: Encoder, pixels: Tensor, targets: Tensor, memory: ClusterMemory | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch (B), and its vectors (B, D)."""
        if memory:
            vectors = encoder(pixels)
            return cluster_nce(vectors, memory.centres, targets, self.temperature), vectors
        vectors = encoder.neck(encoder.pool(pixels))
        vectors = F.normalize(vectors) if self.unit else vectors
        return batch_hard(vectors, targets, self.margin, squared=True), vectors  # Eq. 6

    def _attended(self) -> EncoderSettings:
        names = ("reduction",) * bool(self.reduction) + (self.attention,)
        names = tuple(name for name in names if name != "none")
        options = {"reduced": self.reduction} if self.reduction else {}
        if self.attention in ("voxel", "voxel-channel"):
            options["width"] = self.width
        return replace(
            self.encoder, attention=names, attention_gate=self.gate, attention_options=options
        )

    def _rate(self, done: int, epoch: int) -> float:
        """Return the learning rate: constant, then falling (Hermans et al., Triplet Loss)."""
        part = max(0, epoch - self.rate_hold) / max(1, settled(self, "epochs") - self.rate_hold)
        return self.schedule.rate_at(done) * self.rate_end**part

    def _explain(self, features: np.ndarray, cameras: np.ndarray) -> str:
        if self.labelling == "dbscan":
            return self.density.explain(features, cameras)
        return (
            f"{self.clusters} centroids were assigned {self.p} images each, and images assigned to "
            "two centroids are left out. Use fewer clusters or a smaller p."
        )
