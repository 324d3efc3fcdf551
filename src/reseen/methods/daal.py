"""DAAL: attention separates what two domains share from what is specific to each.

Huang, Peng, Jin, Li, Xing, Ge: Domain Adaptive Attention Learning for Unsupervised Person
Re-Identification, AAAI 2020.

The first round trains on the labelled source (Algorithm 1, line 1). Each later round:
1. features of all target images are clustered by k-reciprocal Jaccard distances and DBSCAN, where
   eps is the mean of the smallest share p of all pairwise distances (lines 3 and 4);
2. soft labels are computed: how much each image belongs to each cluster (line 5, Eq. 4);
3. the network is trained on batches of both domains (line 6). Attention splits the feature map
   (Eqs. 1 and 2): the shared part is trained on the people of the source (Eq. 3) and the soft
   labels of the target (Eq. 5), the specific part to classify the domain (Eq. 6).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseen.checks import Auto, above_zero, at_least, below_one, one_of, settled, shares
from reseen.cluster.density import DensitySettings
from reseen.data.augment import AugmentSettings, augment
from reseen.data.loading import Crops
from reseen.data.sampling import BatchSettings, mixed
from reseen.engine.batches import augmented
from reseen.engine.extract import extract, extract_of
from reseen.engine.run import Run
from reseen.engine.step import NewLayerSettings, averaged, set_rate, step
from reseen.errors import SettingsError
from reseen.losses.soft_labels import soft_labels
from reseen.memory.clusters import cluster_means
from reseen.nets.attention.domain_adaptive import DomainAdaptiveAttention
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.heads import classifier
from reseen.nets.teacher import Teacher, TeacherSettings
from reseen.records import Image, identities
from reseen.transfer import send

ATTENTIONS = ("residual", "two", "none")
LABELS = ("soft", "lsr", "hard")


@dataclass(frozen=True, kw_only=True)
class DAAL:
    """DAAL: attention that separates what domains share, and soft labels (Huang et al., 2020).

    The defaults are the full model and schedule of the paper, which takes ten times as long as the
    other methods: images of 384 x 128, mean pooling, and an eps that is computed in each round from
    the share p of all pairwise distances. The paper does not give k1 and k2 (usual values here), p
    (1.6e-3) and M (4; both as in Song et al., whom it follows), the number of steps in an epoch
    (400 batches of 32 show about as many images as Market-1501 has), nor the composition of a batch
    of 32: here 4 x 4 images of each domain, and 8 x 4 when training on the source alone.
    """

    needs_source: ClassVar[bool] = True
    """The method gets the identities of the source, but never those of the target."""

    encoder: EncoderSettings = field(
        default_factory=partial(EncoderSettings, height=384, pooling="mean")
    )
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(
        default_factory=partial(DensitySettings, eps=0.0, share=1.6e-3)
    )
    batches: BatchSettings = field(default_factory=partial(BatchSettings, people=4, views=4))
    new: NewLayerSettings = field(default_factory=partial(NewLayerSettings, gate_rate=1.0))
    teaching: TeacherSettings = field(default_factory=TeacherSettings)
    attention: str = "residual"
    """residual (the domain-specific part is what attention leaves over), two (one attention module
    for each part) or none (both branches see the whole feature map). Paper: residual."""
    specific: bool = True
    """Train the domain-specific part to classify the domain. Paper: yes."""
    gate: bool = False
    """Start from the network without attention, and blend attention in by a learnt weight. Not in
    the paper."""
    labels: str = "soft"
    """Labels of the target: soft, lsr (label smoothing: the same share for every other cluster) or
    hard. Paper: soft."""
    epsilon: float = 0.9
    """Minimum weight of the image's own cluster in a soft label. Paper: 0.9."""
    floor: float = 0.1
    """Lower bound for the squared distances to cluster centres, from which soft labels are
    computed. Not in the paper, whose weights have no bound."""
    unit: bool = False
    """Compute these distances between vectors of length 1 instead of pooled vectors. Paper: pooled
    vectors (Eq. 4)."""
    normalised: bool = False
    """Distribute 1 - epsilon over the clusters by their distance, so that the weights of an image
    sum to 1. Paper: no (Eq. 4), which depends on the scale of the features."""
    smoothing: float = 0.1
    """Share of a label that lsr spreads over all clusters. Not in the paper; Szegedy et al.:
    0.1."""
    pretrain: int = 120
    """Epochs on the source alone, which are the first round; use 0 if --start already knows the
    source. The paper does not say."""
    rounds: int | Auto = 5
    """Number of rounds of labelling and training (Iteration); 0 evaluates direct transfer. Paper:
    below 10, no gain after 5."""
    epochs: int | Auto = 260
    """Epochs of training in each round. Paper: 260."""
    rate: float = 1.5e-4
    """Learning rate of SGD for the backbone at the start of each round. Paper: 1.5e-4."""
    head_rate: float = 3e-5
    """Learning rate of all other layers. Paper: 3e-5."""
    rate_hold: int = 20
    """Epochs of a round after which the learning rates are divided by 10. Paper: 20."""
    rate_step: int = 60
    """Number of epochs after which they are divided by 10 again, repeatedly. Paper: 60."""
    momentum: float = 0.9
    """Momentum of SGD. Paper: 0.9."""
    weight_decay: float = 5e-4
    """Weight decay of SGD. The paper does not say; a usual value is 5e-4."""

    def __post_init__(self):
        at_least(self, 1, "epochs", "rate_step")
        at_least(self, 0, "pretrain", "rounds", "rate_hold")
        above_zero(self, "rate", "head_rate", "floor")
        below_one(self, "momentum", "weight_decay", "smoothing")
        shares(self, "epsilon")
        one_of(self, ATTENTIONS, "attention")
        one_of(self, LABELS, "labels")
        if self.pretrain == self.rounds == 0:
            raise SettingsError(
                "pretrain is 0 and rounds is 0, so there is nothing to train. To evaluate a run "
                "without training, use reseen evaluate RUN DATA."
            )
        if self.attention == "two" and not self.specific:
            raise SettingsError(
                "attention is 'two' but specific is off, so the second attention module would not "
                "be trained. Use 'residual' or turn specific on."
            )
        self._attended()

    def fit(self, images: tuple[Image, ...], run: Run, source: tuple[Image, ...]) -> Encoder:
        """Train on the images of the target and a labelled source; return the shared encoder.

        Raises:
            DataError: the source has fewer than two known people.
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self._attended())
        crops = run.load(images, encoder)
        known = run.load_source(source, encoder)
        self = run.settle(self, encoder, crops)
        count, people = identities(known.images, "The source shows")
        heads = nn.ModuleDict()
        heads["people"] = nn.Linear(encoder.dimensions, count, bias=False)
        heads["domain"] = nn.Linear(encoder.dimensions, 2)
        if self.attention == "two":
            heads["attention"] = DomainAdaptiveAttention(encoder.dimensions)
        heads.to(encoder.device)

        first, rounds = bool(self.pretrain), settled(self, "rounds")
        epochs = settled(self, "epochs")
        steps = (self.pretrain + rounds * epochs) * settled(self.batches, "iterations")
        teacher = self.teaching.follow(encoder, steps)
        kept = dict(heads=heads, **teacher.parts)
        for done in run.rounds(first + rounds, encoder=teacher.net, **kept):
            if done == 0:  # people begin with their means, as clusters do below
                vectors = extract(encoder, known, track=run.track("extracting_source"))
                heads["people"].load_state_dict(classifier(_means(vectors, people)).state_dict())
            if done < first:
                self._learn_source(encoder, teacher, heads, known, people, run)
                continue

            features = extract(teacher.net, crops, track=run.track("extracting"))
            density = run.once(self.density.at, features, crops.cameras)
            labels = run.once(density.label, features, crops.cameras)
            run.log(eps=settled(density, "eps"))
            run.label(labels, partial(density.explain, features, crops.cameras))
            clusters = classifier(_means(features, labels.ids).to(encoder.device))
            points = features
            if not self.unit:
                points = extract_of(teacher.net, crops, teacher.net.pool, unit=False)
            centres = _means(points, labels.ids).to(encoder.device)
            points = torch.from_numpy(points).to(encoder.device)

            ours, steps = self._draw(known, people, run.rng("source"), epochs)
            theirs, _ = self._draw(crops, labels.ids, run.rng("target"), epochs)
            batches = zip(known.batches(ours), crops.batches(theirs), strict=True)
            optimizer = self._optimizer(encoder, heads, clusters)
            chance, losses = run.rng("augment"), []
            encoder.train()
            for number, (ours, theirs) in enumerate(run.track("training")(batches, steps)):
                self._set_rates(optimizer, number * epochs // steps)
                pixels = torch.cat([send(part, encoder.device) for _, part in (ours, theirs)])
                pixels = augment(pixels, chance, self.augment, encoder.mean)
                n, both, places = len(ours[0]), len(pixels), send(theirs[0], encoder.device)
                person, own = (
                    send(ids, encoder.device) for ids in (people[ours[0]], labels.ids[theirs[0]])
                )
                order = send(mixed(n, both - n), encoder.device)  # batch norm sees groups of both
                apart = order.argsort()
                whole, shared = encoder.maps(pixels[order])
                vectors = encoder.neck(encoder.pooled(shared, both))[apart]

                told = F.cross_entropy(heads["people"](vectors[:n]), person)  # Eq. 3
                wanted = self._wanted(points[places], centres, own)
                soft = F.cross_entropy(clusters(vectors[n:]), wanted)  # Eq. 5
                loss = torch.lerp(soft, told, n / both)  # Eq. 7, averaged over the batch
                terms = dict(source=told, target=soft)
                if self.specific:
                    specific = self._specific(whole.float(), shared.float(), heads)
                    domain = (torch.arange(both, device=encoder.device) >= n).long()
                    scores = heads["domain"](encoder.whole(specific.mean((2, 3)), both)[apart])
                    terms["domain"] = F.cross_entropy(scores, domain)  # Eq. 6
                    loss = loss + terms["domain"]
                losses.append(step(loss, optimizer, **terms))
                teacher.update()
            run.log(**averaged(losses))
        return teacher.net

    def _learn_source(
        self,
        encoder: Encoder,
        teacher: Teacher,
        heads: nn.ModuleDict,
        known: Crops,
        people: np.ndarray,
        run: Run,
    ) -> None:
        """Train on the source with its identities (Algorithm 1, line 1)."""
        optimizer = self._optimizer(encoder, heads)
        drawn = self._draw(known, people, run.rng("source"), self.pretrain, domains=2)
        losses = []
        seen = augmented(run, encoder, known, drawn, self.augment)
        for number, (positions, pixels) in enumerate(seen):
            self._set_rates(optimizer, number * self.pretrain // drawn[1])
            scores = heads["people"](encoder.neck(encoder.pool(pixels)))
            targets = send(people[positions], encoder.device)
            losses.append(step(F.cross_entropy(scores, targets), optimizer))  # Eq. 3
            teacher.update()
        run.log(**averaged(losses))

    def _attended(self) -> EncoderSettings:
        names = () if self.attention == "none" else ("domain-adaptive",)
        return replace(
            self.encoder,
            attention=names,
            attention_place="after",
            attention_gate=self.gate and bool(names),
            attention_options={},
        )

    def _draw(
        self, crops: Crops, ids: np.ndarray, rng: np.random.Generator, epochs: int, domains: int = 1
    ) -> tuple[Iterator[np.ndarray], int]:
        """Draw the batches of a round, of as many people as `domains` domains have in one."""
        batches = replace(self.batches, people=settled(self.batches, "people") * domains)
        return batches.draw(ids, crops.cameras, rng, times=epochs)

    def _wanted(self, points: Tensor, centres: Tensor, own: Tensor) -> Tensor:
        """Return the weight of each cluster for each image (B, K)."""
        if self.labels == "soft":
            rules = {name: getattr(self, name) for name in ("epsilon", "floor", "normalised")}
            return soft_labels(points, centres, own, **rules)
        spread = self.smoothing if self.labels == "lsr" else 0.0
        return (1 - spread) * F.one_hot(own, len(centres)) + spread / len(centres)

    def _specific(self, whole: Tensor, shared: Tensor, heads: nn.ModuleDict) -> Tensor:
        """Return the input map (B, C, h, w) of the specific branch."""
        if self.attention == "two":
            return heads["attention"](whole)
        return whole if self.attention == "none" else whole - shared  # Eq. 2

    def _optimizer(self, encoder: Encoder, *heads: nn.Module) -> torch.optim.Optimizer:
        """Create the optimiser of a round; `head_rate` is for everything except the backbone."""
        share = self.rate / self.head_rate
        groups = self.new.groups(encoder, *heads, decay=self.weight_decay, backbone=share)
        return torch.optim.SGD(groups, self.head_rate, momentum=self.momentum)

    def _set_rates(self, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        late = epoch - self.rate_hold
        falls = 1 + late // self.rate_step if late >= 0 else 0
        set_rate(optimizer, self.head_rate * 0.1**falls)


def _means(points: np.ndarray, ids: np.ndarray) -> Tensor:
    return torch.from_numpy(cluster_means(points, ids))
