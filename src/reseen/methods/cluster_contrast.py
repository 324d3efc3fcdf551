"""Cluster Contrast: a contrastive loss against one memory vector per cluster.

Dai, Wang, Yuan, Zhu, Tan: Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022
(arXiv:2103.11568). The usual baseline of the field, and the base of multi-level attention.

Each round:
1. the features of all images are extracted;
2. k-reciprocal Jaccard distances and DBSCAN give clusters and noise (Sec. 3.2);
3. the memory is initialised with one vector per cluster (Eq. 5);
4. batches of P clusters x V images are drawn; each image is pulled towards the vector of its own
   cluster and away from all others (Eq. 2); the memory is updated after each step (Eq. 6).
"""

from dataclasses import dataclass, field
from functools import partial

import torch

from reseen.checks import Auto, above_zero, at_least, settled
from reseen.cluster.density import DensitySettings
from reseen.data.augment import AugmentSettings
from reseen.data.sampling import BatchSettings
from reseen.engine.batches import augmented
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, averaged, set_rate, step
from reseen.losses.contrastive import cluster_nce
from reseen.memory.clusters import MemorySettings
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.teacher import TeacherSettings
from reseen.records import Image
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class ClusterContrast:
    """Cluster Contrast: contrastive loss against one memory vector per cluster (Dai et al., 2022).

    The defaults are those of the authors' code with DBSCAN, which uses 200 steps per round on
    Market-1501 and DukeMTMC-reID and 400 on MSMT17. That code ran on four GPUs, so that 64 images
    shared batch-norm statistics; `encoder.ghost_group` reproduces this.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, ghost_group=64))
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(default_factory=DensitySettings)
    batches: BatchSettings = field(default_factory=BatchSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    teaching: TeacherSettings = field(default_factory=TeacherSettings)
    epochs: int | Auto = 50
    """Number of rounds of labelling and training. Paper: 50."""
    temperature: float = 0.05
    """Temperature of the loss. Paper: 0.05."""

    def __post_init__(self):
        at_least(self, 1, "epochs")
        above_zero(self, "temperature")

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        self = run.settle(self, encoder, crops)
        optimizer = self.schedule.adam(encoder)
        rounds, steps = settled(self, "epochs"), settled(self.batches, "iterations")
        teacher = self.teaching.follow(encoder, rounds * steps)

        kept = dict(optimizer=optimizer, **teacher.parts)
        for epoch in run.rounds(rounds, encoder=teacher.net, **kept):
            set_rate(optimizer, self.schedule.rate_at(epoch))

            features = extract(teacher.net, crops, track=run.track("extracting"))
            labels = run.once(self.density.label, features, crops.cameras)
            run.label(labels, partial(self.density.explain, features, crops.cameras))
            memory = self.memory.begin(features, labels.ids, run.rng("memory"), encoder.device)

            ids = torch.from_numpy(labels.ids)
            drawn = self.batches.draw(labels.ids, crops.cameras, run.rng("batches"))
            losses = []
            for positions, pixels in augmented(run, encoder, crops, drawn, self.augment):
                own = ids[positions]
                targets = send(own, encoder.device)
                vectors = encoder(pixels)
                loss = cluster_nce(vectors, memory.centres, targets, self.temperature)
                losses.append(step(loss, optimizer))
                teacher.update()
                memory.update(vectors.detach(), own)
            run.log(**averaged(losses))
        return teacher.net
