"""SpCL: contrast with classes of a source, clusters, and every image that is in none.

Ge, Zhu, Chen, Zhao, Li: Self-paced Contrastive Learning with Hybrid Memory for Domain Adaptive
Object Re-ID, NeurIPS 2020 (arXiv:2006.02713).

The hybrid memory starts with the features of all images, and with the mean feature of each person
of a source, if there is one (Sec. 3.1). Each round:
1. k-reciprocal Jaccard distances between the memory's rows, and DBSCAN at three eps;
2. clusters that a larger eps would join with others are dissolved, and images that a smaller one
   would part from their cluster are taken out of it (Sec. 3.2): they are classes of their own;
3. batches of clusters x V images, images alone, and as many of the source's people, each pulled to
   the mean of its own class and away from all others (Eq. 1); after each step the rows follow.

The source passes through batch norms of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from reseen.checks import Auto, above_zero, at_least, below_one, settled
from reseen.cluster.density import DensitySettings
from reseen.cluster.self_paced import SelfPaced, SelfPacedSettings
from reseen.data.augment import AugmentSettings, augment
from reseen.data.loading import Crops
from reseen.data.sampling import BatchSettings
from reseen.engine.batches import augmented
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, averaged, set_rate, step
from reseen.losses.contrastive import cluster_nce
from reseen.memory.clusters import cluster_means
from reseen.memory.hybrid import HybridMemory
from reseen.nets.domain_norm import DomainNorm
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image, identities


@dataclass(frozen=True, kw_only=True)
class SpCL:
    """SpCL: reliable clusters, and single images as their own classes (Ge et al., 2020).

    The defaults are the paper's; its rounds have 400 steps, 800 on MSMT17. A batch is 64 images,
    and 64 of a source beside them: four of each cluster or person, one of an image in no cluster.
    Four GPUs shared it, so 16 images share batch-norm statistics (`encoder.ghost_group`).
    """

    takes_source: ClassVar[bool] = True
    """It learns from people of a source too, where one is given."""

    encoder: EncoderSettings = field(
        default_factory=partial(EncoderSettings, pooling="mean", ghost_group=16)
    )
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(default_factory=DensitySettings)
    reliable: SelfPacedSettings = field(default_factory=SelfPacedSettings)
    batches: BatchSettings = field(default_factory=partial(BatchSettings, views=4))
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    memory_momentum: float = 0.2
    """Share of a row of the memory that stays at an update (m). Paper: 0.2."""
    outliers: bool = True
    """Whether images in no cluster are drawn and contrasted with, each as a class of its own.
    Paper: yes."""
    source_norm: bool = True
    """Whether the source passes through batch norms of its own. Paper: yes."""
    epochs: int | Auto = 50
    """Rounds of labelling and training. Paper: 50."""
    temperature: float = 0.05
    """Temperature of the loss (tau). Paper: 0.05."""

    def __post_init__(self):
        at_least(self, 1, "epochs")
        above_zero(self, "temperature")
        below_one(self, "memory_momentum")

    def fit(
        self, images: tuple[Image, ...], run: Run, source: tuple[Image, ...] | None = None
    ) -> Encoder:
        """Learn from N images in an order that says nothing about who is who, and from a source.

        Raises:
            DataError: the source has fewer than two known people.
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        self = run.settle(self, encoder, crops)
        known, sources, people = None, 0, np.empty(0, np.int64)
        if source is not None:
            known = run.load_source(source, encoder)
            sources, people = identities(known.images, "The source shows")
        domain = DomainNorm(encoder) if known and self.source_norm else None
        nets = (encoder, domain) if domain else (encoder,)
        optimizer = self.schedule.adam(*nets)
        memory = HybridMemory(
            *(sources, len(crops), encoder.dimensions),
            momentum=self.memory_momentum,
            device=encoder.device,
        )
        reliable = SelfPaced(self.reliable)

        parts = dict(optimizer=optimizer, memory=memory, reliable=reliable)
        parts |= {"source_norms": domain} if domain else {}
        for epoch in run.rounds(settled(self, "epochs"), encoder=encoder, **parts):
            set_rate(optimizer, self.schedule.rate_at(epoch))
            if epoch == 0:
                features = extract(encoder, crops, track=run.track("extracting"))
                means = cluster_means(extract(encoder, known), people) if known else None
                memory.start(features, means)

            features = memory.instances
            gap = self.reliable.eps_gap
            found = run.once(self.density.label_around, features, crops.cameras, gap)
            labels = reliable.keep(*(around.ids for around in found))
            labels = replace(labels, recall=found[0].recall)
            run.label(labels, partial(self.density.explain, features, crops.cameras))
            memory.assign(labels.ids)

            ids = memory.classes[sources:].cpu().numpy() if self.outliers else labels.ids
            drawn = self.batches.draw(ids, crops.cameras, run.rng("batches"), alone_once=True)
            ours = augmented(run, encoder, crops, drawn, self.augment)
            theirs = self._source_batches(run, encoder, known, people) if known else repeat(None)
            losses = []
            for (positions, pixels), beside in zip(ours, theirs, strict=False):
                places = torch.from_numpy(positions).to(encoder.device) + sources
                vectors, centres = encoder(pixels), self._centres(memory, labels.clusters)
                loss = cluster_nce(vectors, centres, memory.classes[places], self.temperature)
                terms = {}
                if beside:
                    classes, pixels = beside
                    told = domain(encoder, pixels) if domain else encoder(pixels)
                    learnt = cluster_nce(told, centres, classes, self.temperature)
                    terms, loss = {"target": loss, "source": learnt}, loss + learnt
                    vectors, places = torch.cat([told, vectors]), torch.cat([classes, places])
                losses.append(step(loss, optimizer, **terms))
                memory.update(vectors.detach(), places)
            run.log(**averaged(losses))
        return encoder

    def _centres(self, memory: HybridMemory, clusters: int) -> Tensor:
        """Give what images are contrasted with (K, D)."""
        return memory.centres if self.outliers else memory.centres[: memory.sources + clusters]

    def _source_batches(
        self, run: Run, encoder: Encoder, known: Crops, people: np.ndarray
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give people (B,) of the source and their augmented pixels, batch by batch."""
        order, _ = self.batches.draw(people, known.cameras, run.rng("source"))
        chance = run.rng("source_augment")
        for positions, pixels in known.batches(order, encoder.rows):
            how = self.augment, encoder.mean, encoder.rows(len(positions))
            pixels = augment(pixels.to(encoder.device), chance, *how)
            yield torch.from_numpy(people[positions]).to(encoder.device), pixels
