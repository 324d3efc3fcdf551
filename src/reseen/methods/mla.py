"""MLA: attention of three levels in the last stage, on the base of Cluster Contrast.

Zheng: Multi-Level Attention for Unsupervised Person Re-Identification. Its base: Dai et al.,
Cluster Contrast, first edition (arXiv:2103.11568v1).

The last spatial convolution of the backbone gives way to (Sec. 3)
- pixel-level attention, x * sigmoid(conv(x)) (Eq. 3), which feeds
- head-level attention, self-attention with learnt positions (Sec. 3.1), and
- domain-level attention, a memory shared by the whole data set (Eqs. 4 to 6).

Each round (Fig. 1): features; DBSCAN on Jaccard distances; a memory of one vector a cluster;
batches, ClusterNCE (Eq. 1), and the memory follows the hardest image of each cluster.
"""

from dataclasses import dataclass, field, replace
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
from reseen.errors import SettingsError
from reseen.losses.contrastive import cluster_nce
from reseen.memory.clusters import MemorySettings
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.teacher import TeacherSettings
from reseen.records import Image
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class MLA:
    """MLA: pixel-, head- and domain-level attention on top of Cluster Contrast (Zheng).

    The defaults are those of the paper, except for the gate: eps 0.4 with min_samples 4, batches of
    8 x 8 images, a learning rate of 1.6e-4 that decays every 20 rounds, and a memory with random
    initialisation and hard updates. The paper used two GPUs, so that 32 images shared batch-norm
    statistics (`encoder.ghost_group`). What it does not give is taken from SpCL, whose settings it
    follows (k1, k2, 400 steps, weight decay, momentum of the memory), or from the code of Cluster
    Contrast (GeM pooling, temperature).
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, ghost_group=32))
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(default_factory=partial(DensitySettings, eps=0.4))
    batches: BatchSettings = field(default_factory=partial(BatchSettings, people=8, views=8))
    schedule: ScheduleSettings = field(default_factory=partial(ScheduleSettings, rate=1.6e-4))
    memory: MemorySettings = field(
        default_factory=partial(
            MemorySettings, memory_start="random", memory_update="hard", memory_momentum=0.2
        )
    )
    teaching: TeacherSettings = field(default_factory=TeacherSettings)
    levels: str = "pixel+head+domain"
    """Levels of attention in order, joined by +, or none. Paper: pixel+head+domain."""
    place: str = "in"
    """in: attention replaces the last spatial convolution (the paper only says "the last ResBlock",
    not which convolution). after: it follows the last feature map."""
    gate: bool = True
    """Start from the pre-trained network, and blend attention in by a learnt weight. Not in the
    paper, whose head level ends at 0.9 mAP on Market-1501 when used without a gate."""
    heads: int = 4
    """Number of attention heads in the head level. The paper does not say; BoTNet: 4."""
    head_scale: bool = True
    """Scale the query-key products of the head level by 1 / sqrt(d), where d is the size of a head.
    The paper and BoTNet mention no scale; without it, each position attends to very few others from
    the start."""
    keys: int = 64
    """Number of keys in the memory of the domain level (c_k). The paper does not say; the code of
    external attention: 64."""
    groups: int = 1
    """Number of groups in the convolution of the pixel level. Paper: 1 (9 C^2 weights)."""
    epochs: int | Auto = 50
    """Number of rounds of labelling and training. Paper: 50."""
    temperature: float = 0.05
    """Temperature of the loss. The paper does not say; Cluster Contrast: 0.05."""

    def __post_init__(self):
        at_least(self, 1, "heads", "keys", "groups", "epochs")
        above_zero(self, "temperature")
        if not set(self._levels) <= set(OPTIONS):
            raise SettingsError(
                f"levels is {self.levels!r}. Join some of {', '.join(OPTIONS)} by +, or use none."
            )
        self._attended()

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self._attended())
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
                loss = cluster_nce(vectors, memory.centres, targets, self.temperature)  # Eq. 1
                losses.append(step(loss, optimizer))
                teacher.update()
                memory.update(vectors.detach(), own)
            run.log(**averaged(losses))
        return teacher.net

    def _attended(self) -> EncoderSettings:
        options = {OPTIONS[level]: getattr(self, OPTIONS[level]) for level in self._levels}
        if "head" in self._levels:
            options["scale"] = self.head_scale
        return replace(
            self.encoder,
            attention=self._levels,
            attention_place=self.place,
            attention_gate=self.gate,
            attention_options=options,
        )

    @property
    def _levels(self) -> tuple[str, ...]:
        return () if self.levels == "none" else tuple(self.levels.split("+"))


OPTIONS = {"pixel": "groups", "head": "heads", "domain": "keys"}
