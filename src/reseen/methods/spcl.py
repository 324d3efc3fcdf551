"""SpCL: contrastive loss with source classes, clusters, and images that are in no cluster.

Ge, Zhu, Chen, Zhao, Li: Self-paced Contrastive Learning with Hybrid Memory for Domain Adaptive
Object Re-ID, NeurIPS 2020 (arXiv:2006.02713).

The hybrid memory is initialised with the features of all images, and with the mean feature of each
person of a source, if there is one (Sec. 3.1). Each round:
1. the rows of the memory are clustered by k-reciprocal Jaccard distances and DBSCAN with three eps;
2. clusters that would merge with others at the larger eps are dissolved, and images that would
   leave their cluster at the smaller eps are removed from it (Sec. 3.2); such images become classes
   of their own;
3. batches of V images per cluster, of single images, and of as many images of the source are drawn;
   each image is pulled towards the mean of its own class and away from all others (Eq. 1), and the
   rows of the memory are updated after each step.

The source uses separate batch-norm layers.
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
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class SpCL:
    """SpCL: reliable clusters, and other images as classes of their own (Ge et al., 2020).

    The defaults are those of the paper, which uses 400 steps per round, and 800 on MSMT17. A batch
    has 64 images, and 64 of the source if there is one: four of each cluster or person, and one of
    each image that is in no cluster. The paper used four GPUs, so that 16 images shared batch-norm
    statistics (`encoder.ghost_group`).
    """

    takes_source: ClassVar[bool] = True
    """The method also learns from the people of a source if one is given."""

    encoder: EncoderSettings = field(
        default_factory=partial(EncoderSettings, pooling="mean", ghost_group=16)
    )
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(default_factory=DensitySettings)
    reliable: SelfPacedSettings = field(default_factory=SelfPacedSettings)
    batches: BatchSettings = field(default_factory=partial(BatchSettings, views=4))
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    memory_momentum: float = 0.2
    """Momentum of the memory (m): the share of a vector that is kept at each update. Paper: 0.2."""
    outliers: bool = True
    """Train on images that are in no cluster too, each as a class of its own. Paper: yes."""
    source_norm: bool = True
    """Use separate batch-norm layers for the source. Paper: yes."""
    epochs: int | Auto = 50
    """Number of rounds of labelling and training. Paper: 50."""
    temperature: float = 0.05
    """Temperature of the loss (tau). Paper: 0.05."""

    def __post_init__(self):
        at_least(self, 1, "epochs")
        above_zero(self, "temperature")
        below_one(self, "memory_momentum")

    def fit(
        self, images: tuple[Image, ...], run: Run, source: tuple[Image, ...] | None = None
    ) -> Encoder:
        """Train on N images, whose order tells nothing about their identities, and on a source.

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
                places = torch.from_numpy(positions + sources)
                own = memory.classes[send(places, encoder.device)]
                vectors, centres = encoder(pixels), self._centres(memory, labels.clusters)
                loss = cluster_nce(vectors, centres, own, self.temperature)
                terms = {}
                if beside:
                    classes, pixels = beside
                    told = domain(encoder, pixels) if domain else encoder(pixels)
                    known_as = send(classes, encoder.device)
                    learnt = cluster_nce(told, centres, known_as, self.temperature)
                    terms, loss = {"target": loss, "source": learnt}, loss + learnt
                    vectors, places = torch.cat([told, vectors]), torch.cat([classes, places])
                losses.append(step(loss, optimizer, **terms))
                memory.update(vectors.detach(), places)
            run.log(**averaged(losses))
        return encoder

    def _centres(self, memory: HybridMemory, clusters: int) -> Tensor:
        """Return what images are contrasted with (K, D)."""
        return memory.centres if self.outliers else memory.centres[: memory.sources + clusters]

    def _source_batches(
        self, run: Run, encoder: Encoder, known: Crops, people: np.ndarray
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield people (B,) of the source and their augmented pixels, batch by batch."""
        order, _ = self.batches.draw(people, known.cameras, run.rng("source"))
        chance = run.rng("source_augment")
        for positions, pixels in known.batches(order, encoder.rows):
            how = self.augment, encoder.mean, encoder.rows(len(positions))
            pixels = augment(send(pixels, encoder.device), chance, *how)
            yield torch.from_numpy(people[positions]), pixels
