"""ADTC: voxel attention, and clusters in two stages.

Ji, Zou, Lin, Liu, Huang, Wu: An Attention-driven Two-stage Clustering Method for Unsupervised
Person Re-Identification, ECCV 2020.

Each round (Algorithm 1):
1. features of all images: map, voxel attention, global max pooling, batch norm (lines 4 to 6);
2. k-means++ gives M centroids; each claims the p images nearest by k-reciprocal Jaccard distance;
   images claimed twice are left out (lines 8 to 10);
3. a few epochs with the hardest triplets of each batch (line 12, Eq. 6).
"""

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from math import inf
from typing import Any

import torch
import torch.nn.functional as F

from reseen.cluster.density import check_density, explain, jaccard_dbscan
from reseen.cluster.numbering import by_appearance
from reseen.cluster.two_stage import two_stage
from reseen.data.augment import AugmentSettings, augment
from reseen.data.sampling import identity_batches
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import mean_loss, set_rate, step
from reseen.engine.variants import Variant
from reseen.errors import SettingsError, counted
from reseen.kernels.kmeans import kmeans
from reseen.losses.contrastive import cluster_nce
from reseen.losses.triplet import batch_hard
from reseen.memory.clusters import ClusterMemory, check_memory
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image, PseudoLabels

LABELLINGS = ("two-stage", "k-means", "dbscan")
LOSSES = ("triplet", "memory")


@dataclass(frozen=True, kw_only=True)
class ADTC:
    """ADTC: voxel attention, two-stage clustering, hardest triplets (Ji et al., 2020).

    The defaults are the paper's full model, started from ImageNet; for its other start give a run
    trained on labelled people (--start). Encoder and augmentation: max pooling, no padding, no
    erasing.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="max"))
    augment: AugmentSettings = field(default_factory=partial(AugmentSettings, pad=0, erase=0.0))
    attention: str = "voxel"
    """voxel, voxel-spatial, voxel-channel, harmonious, cbam, or none. Paper: voxel."""
    width: int = 800
    """Numbers between the two layers of voxel attention's channel part (d). Paper: "the output
    channels are set as 800", read as this."""
    reduction: int = 0
    """Channels that a 1 x 1 convolution leaves of the map before attention, 0 for no such layer:
    the other way to read the paper's 800."""
    gate: bool = False
    """Start from the network without attention and let it in by a learnt weight. Not in the
    paper."""
    labelling: str = "two-stage"
    """two-stage, k-means (its first stage alone) or dbscan (as Cluster Contrast). Paper:
    two-stage."""
    clusters: int = 1000
    """Centroids of k-means (M). Paper: 1000, for 12,936 or 16,522 images."""
    p: int = 20
    """Images that each centroid claims. Paper: 20."""
    k1: int = 20
    """Nearest neighbours among which reciprocal ones describe a point (k of Eq. 4), itself counted.
    The paper does not say; re-ranking by the distance it cites: 20."""
    k2: int = 6
    """Neighbours over which weighted descriptions are averaged. Cited paper: 6."""
    weighted: bool = False
    """Jaccard distance of expanded, weighted sets as in the cited paper, not of plain ones. Paper:
    plain (Eq. 5)."""
    eps: float = 0.6
    """Radius of DBSCAN, for that labelling only. Not in the paper; Cluster Contrast: 0.6."""
    min_samples: int = 4
    """Images within eps that make a core point of DBSCAN. Not in the paper; usual: 4."""
    loss: str = "triplet"
    """triplet, or memory: the cluster memory and ClusterNCE of Cluster Contrast. Paper: triplet."""
    margin: float = 0.3
    """Margin of the triplet loss, in squared distance (m). Paper: 0.3."""
    unit: bool = True
    """Whether the triplet loss sees vectors of length 1. The paper does not say; beside squared
    distances of 2048 batch-normed numbers a margin of 0.3 would be nothing."""
    temperature: float = 0.05
    """Temperature of the memory loss. Not in the paper; Cluster Contrast: 0.05."""
    memory_start: str = "mean"
    """mean, random or hard: what a cluster of the memory starts with. Not in the paper; Cluster
    Contrast: mean."""
    memory_update: str = "momentum"
    """momentum or hard: how the memory follows. Not in the paper; Cluster Contrast: momentum."""
    memory_momentum: float = 0.1
    """Share of a memory vector that stays at an update. Not in the paper; Cluster Contrast: 0.1."""
    rounds: int = 20
    """Rounds of labelling and training (T). Paper: 20."""
    epochs: int = 10
    """Epochs of training in a round. Paper: 10."""
    iterations: int = 100
    """Steps in an epoch. The paper does not say; 100 batches show about as many images as
    Market-1501 has."""
    people: int = 32
    """Clusters in a batch, P. Paper: 32."""
    views: int = 4
    """Images of each in a batch, V; a cluster with fewer repeats them. Paper: 4."""
    rate: float = 1e-4
    """Learning rate of Adam at the start of a round. Paper: 1e-4."""
    rate_hold: int = 5
    """Epochs of a round before the rate begins to fall. Paper: 5 (whether it starts anew in each
    round is not said; here it does)."""
    rate_end: float = 0.001
    """Share of the rate that is left at the end of a round, exponentially reached; 1 keeps it. The
    paper gives no base; Hermans et al., whose loss it takes: 0.001."""
    rate_step: int = 0
    """The learning rate is divided by 10 every so many rounds; 0 is never. Not in the paper;
    Cluster Contrast: 20."""
    weight_decay: float = 5e-4
    """Weight decay of Adam. The paper does not say; usual: 5e-4."""

    def __post_init__(self):
        counts = ("width", "clusters", "p", "rounds", "epochs", "iterations", "views")
        for name in counts:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 1 or more.")
        for name in ("rate", "rate_end", "temperature"):
            if not 0 < getattr(self, name) < inf:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use a number above 0.")
        for name, known in (("labelling", LABELLINGS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}. Use one of: {', '.join(known)}."
                )
        if self.people < 2 or not 0 <= self.weight_decay < 1 or self.margin < 0:
            raise SettingsError(
                f"people is {self.people}, weight_decay {self.weight_decay} and margin "
                f"{self.margin}. Use 2 or more people, 0 to below 1, and 0 or more."
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
            SettingsError: more clusters are sought than there are images.
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self._attended())
        crops = run.load(images, encoder)
        if self.labelling != "dbscan" and self.clusters > len(crops):
            raise SettingsError(
                f"clusters is {self.clusters} for {counted(len(crops), 'image')}. "
                f"Use {len(crops)} or fewer."
            )
        learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(learnt, self.rate, weight_decay=self.weight_decay)

        for done in run.rounds(self.rounds, encoder=encoder, optimizer=optimizer):
            # Attention and clustering steps, lines 3 to 10
            features = extract(encoder, crops, track=run.track("extracting"))
            if self.labelling == "two-stage":
                labels = two_stage(
                    features,
                    clusters=self.clusters,
                    p=self.p,
                    k1=self.k1,
                    k2=self.k2,
                    weighted=self.weighted,
                    seed=run.rng("centroids"),
                )
            elif self.labelling == "k-means":
                _, nearest = kmeans(features, self.clusters, seed=run.rng("centroids"))
                labels = PseudoLabels(by_appearance(nearest))
            else:
                labels = jaccard_dbscan(features, **self._density)
            run.label(labels, partial(self._explain, features))
            memory = None
            if self.loss == "memory":
                memory = ClusterMemory(
                    features,
                    labels.ids,
                    start=self.memory_start,
                    update=self.memory_update,
                    momentum=self.memory_momentum,
                    rng=run.rng("memory"),
                    device=encoder.device,
                )

            # Parameter updating step, line 12
            ids = torch.from_numpy(labels.ids).to(encoder.device)
            order = identity_batches(
                labels.ids, crops.cameras, self.people, self.views, run.rng("batches")
            )
            steps = self.epochs * self.iterations
            batches = run.track("training")(crops.batches(islice(order, steps)), steps)
            chance, losses = run.rng("augment"), []
            encoder.train()
            for number, (positions, pixels) in enumerate(batches):
                set_rate(optimizer, self._rate(done, number // self.iterations))
                pixels = augment(pixels.to(encoder.device), chance, self.augment, encoder.mean)
                targets = ids[positions]
                if memory:
                    vectors = encoder(pixels)
                    loss = cluster_nce(vectors, memory.centres, targets, self.temperature)
                else:
                    vectors = encoder.neck(encoder.pool(pixels))
                    vectors = F.normalize(vectors) if self.unit else vectors
                    loss = batch_hard(vectors, targets, self.margin, squared=True)  # Eq. 6
                losses.append(step(loss, optimizer))
                if memory:
                    memory.update(vectors.detach(), targets)
            run.log(loss=mean_loss(losses))
        return encoder

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
        """Hold the rate, then let it fall (Hermans et al., In Defense of the Triplet Loss)."""
        part = max(0, epoch - self.rate_hold) / max(1, self.epochs - self.rate_hold)
        falls = done // self.rate_step if self.rate_step else 0
        return self.rate * self.rate_end**part * 0.1**falls

    def _explain(self, features) -> str:
        if self.labelling == "dbscan":
            return explain(features, **self._density)
        return (
            f"{self.clusters} centroids with {counted(self.p, 'image')} each were sought: images "
            "claimed by two centroids are left out. Use fewer clusters or a smaller p."
        )

    @property
    def _density(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("k1", "k2", "eps", "min_samples")}


def _row(settings: dict[str, Any], market: tuple[float, float], duke: tuple[float, float]):
    published = {"DukeMTMC to Market-1501": market, "Market-1501 to DukeMTMC": duke}
    note = "from a model trained on the other data set: --start RUN"
    tables = ("adtc-2",) if settings else ("adtc-1", "adtc-2")
    return Variant(settings=settings, published=published, tables=tables, note=note)


_MODERN = {
    "encoder.pooling": "gem",
    "augment.pad": 10,
    "augment.erase": 0.5,
    "loss": "memory",
    "rounds": 50,
    "epochs": 1,
    "iterations": 400,
    "people": 16,
    "views": 16,
    "rate": 3.5e-4,
    "rate_end": 1.0,
    "rate_step": 20,
    "k1": 30,
    "weighted": True,
}
"""The base of Cluster Contrast."""

VARIANTS = {
    "only-tc": _row({"attention": "none"}, (41.1, 66.2), (28.2, 49.8)),
    "only-va": _row({"labelling": "k-means"}, (35.5, 61.7), (32.6, 52.0)),
    "tc-channel": _row({"attention": "voxel-channel"}, (42.8, 68.9), (30.1, 52.2)),
    "tc-spatial": _row({"attention": "voxel-spatial"}, (41.3, 66.6), (28.8, 50.7)),
    "tc-harmonious": _row({"attention": "harmonious"}, (50.6, 76.2), (48.9, 69.2)),
    "tc-cbam": _row({"attention": "cbam"}, (55.2, 77.3), (49.1, 69.8)),
    "full": _row({}, (59.7, 79.3), (52.5, 71.9)),
    "without-source": Variant(
        published={"Market-1501": (38.8, 59.5), "DukeMTMC": (37.9, 59.4)},
        tables=("adtc-1",),
        note="from ImageNet",
    ),
    "full-gated": Variant(settings={"gate": True}, tables=("adtc-gated",)),
    "modern-base": Variant(
        settings=_MODERN | {"attention": "none", "labelling": "dbscan"}, tables=("adtc-modern",)
    ),
    "modern-tc": Variant(settings=_MODERN | {"attention": "none"}, tables=("adtc-modern",)),
    "modern-va": Variant(
        settings=_MODERN | {"gate": True, "labelling": "dbscan"}, tables=("adtc-modern",)
    ),
    "modern": Variant(settings=_MODERN | {"gate": True}, tables=("adtc-modern",)),
}
"""Tables 1 and 2 of the paper, its full model with a gate, and its ideas on the base of Cluster
Contrast."""
