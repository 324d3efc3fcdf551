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
from reseen.engine.variants import Variant
from reseen.errors import SettingsError
from reseen.losses.contrastive import cluster_nce
from reseen.memory.clusters import ClusterMemory, check_memory
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image


@dataclass(frozen=True, kw_only=True)
class MLA:
    """MLA: pixel-, head- and domain-level attention on the base of Cluster Contrast (Zheng).

    The defaults are the paper's, but for the gate. Encoder: mean pooling.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="mean"))
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    levels: str = "pixel+head+domain"
    """Levels of attention in their order, joined by +, or none. Paper: pixel+head+domain."""
    place: str = "in"
    """in: attention takes the place of the last spatial convolution (what the paper says of "the
    last ResBlock"; which convolution it does not say). after: it follows the last map."""
    gate: bool = True
    """Start from the network as it was trained, and let attention in by a learnt weight. Not in the
    paper, whose plain head level ends at 0.9 mAP on Market-1501."""
    heads: int = 4
    """Heads of the head level. The paper does not say; BoTNet: 4."""
    keys: int = 64
    """Keys in the memory of the domain level (c_k). The paper does not say; external attention's
    code: 64."""
    groups: int = 1
    """Groups of the pixel level's convolution. Paper: 1 (9 C^2 weights)."""
    epochs: int = 50
    """Rounds of labelling and training. Paper: 50."""
    iterations: int = 400
    """Steps in a round. The paper does not say; SpCL, whose settings it takes: 400."""
    people: int = 8
    """Clusters in a batch, P. Paper: 8."""
    views: int = 8
    """Images of each in a batch, V. Paper: 8."""
    rate: float = 1.6e-4
    """Learning rate of Adam at the start. Paper: 1.6e-4."""
    rate_step: int = 20
    """The learning rate is divided by 10 every so many rounds. Paper: 20."""
    weight_decay: float = 5e-4
    """Weight decay of Adam. The paper does not say; SpCL: 5e-4."""
    k1: int = 30
    """Nearest neighbours among which reciprocal ones describe an image (k1). The paper does not
    say; SpCL: 30."""
    k2: int = 6
    """Nearest neighbours over which these descriptions are averaged (k2). The paper does not say;
    SpCL: 6."""
    eps: float = 0.4
    """Radius of DBSCAN in Jaccard distance. Paper: 0.4."""
    min_samples: int = 4
    """Images within eps that make a core point of DBSCAN (MinPts). Paper: 4."""
    temperature: float = 0.05
    """Temperature of the loss. The paper does not say; its base: 0.05."""
    memory_start: str = "random"
    """mean, random or hard: which vector a cluster starts with. Paper: random."""
    memory_update: str = "hard"
    """momentum or hard: how the memory follows. Paper: hard."""
    memory_momentum: float = 0.1
    """Share of a cluster's vector that stays at an update. The paper does not say; its base:
    0.1."""

    def __post_init__(self):
        counts = ("heads", "keys", "groups", "epochs", "iterations", "people", "views", "rate_step")
        for name in counts:
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
        if not set(self._levels) <= set(OPTIONS):
            raise SettingsError(
                f"levels is {self.levels!r}. Join some of {', '.join(OPTIONS)} by +, or use none."
            )
        check_density(**self._density)
        check_memory(self.memory_start, self.memory_update, self.memory_momentum)
        self._attended()

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
        encoder = run.build(self._attended())
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
                loss = cluster_nce(vectors, memory.centres, targets, self.temperature)  # Eq. 1
                losses.append(step(loss, optimizer))
                memory.update(vectors.detach(), targets)
            run.log(loss=mean_loss(losses))
        return encoder

    def _attended(self) -> EncoderSettings:
        options = {OPTIONS[level]: getattr(self, OPTIONS[level]) for level in self._levels}
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

    @property
    def _density(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("k1", "k2", "eps", "min_samples")}


OPTIONS = {"pixel": "groups", "head": "heads", "domain": "keys"}


def _row(levels: str, *published: tuple[float, float]) -> Variant:
    sets = ("Market-1501", "DukeMTMC-reID", "MSMT17", "PersonX")
    return Variant(
        settings={"levels": levels, "gate": False},
        published=dict(zip(sets, published, strict=True)),
        tables=("mla-6", "mla-7", *(("mla-gated",) if levels == "none" else ())),
    )


_MODERN = {
    "encoder.pooling": "gem",
    "people": 16,
    "views": 16,
    "rate": 3.5e-4,
    "eps": 0.6,
    "memory_start": "mean",
    "memory_update": "momentum",
}
"""The base of Cluster Contrast's last edition."""

VARIANTS = {
    "baseline": _row("none", (80.6, 91.5), (69.5, 83.3), (31.4, 61.2), (84.8, 94.5)),
    "hla": _row("head", (0.9, 2.2), (20.0, 34.3), (27.7, 55.8), (81.6, 92.2)),
    "pla": _row("pixel", (82.4, 92.3), (69.8, 83.1), (32.0, 61.6), (86.2, 94.8)),
    "pla-hla": _row("pixel+head", (79.3, 90.6), (69.1, 82.9), (30.3, 59.1), (86.4, 94.8)),
    "dla": _row("domain", (82.4, 92.3), (70.4, 83.4), (30.6, 58.9), (86.4, 94.8)),
    "all": _row("pixel+head+domain", (83.1, 92.8), (71.8, 84.3), (35.6, 63.8), (86.5, 94.8)),
    "hla-gated": Variant(settings={"levels": "head"}, tables=("mla-gated",)),
    "pla-gated": Variant(settings={"levels": "pixel"}, tables=("mla-gated",)),
    "pla-hla-gated": Variant(settings={"levels": "pixel+head"}, tables=("mla-gated",)),
    "dla-gated": Variant(settings={"levels": "domain"}, tables=("mla-gated",)),
    "all-gated": Variant(tables=("mla-gated",)),
    "modern-base": Variant(settings=_MODERN | {"levels": "none"}, tables=("mla-modern",)),
    "modern": Variant(settings=_MODERN, tables=("mla-modern",)),
}
"""Tables 6 and 7 of the paper in its plain form, the same with a gate, and the ideas on a newer
base."""
