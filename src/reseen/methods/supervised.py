"""Supervised training: a strong baseline, an upper bound, and a source for adaptation.

Luo, Gu, Liao, Lai, Jiang: Bag of Tricks and a Strong Baseline for Deep Person Re-identification,
CVPR Workshops 2019 (arXiv:1903.07071).

Each round shows about as many images as there are, in batches of P people x V images. The
batch-hard triplet loss is applied to pooled vectors, which are normalised to length 1 here, because
a backbone without batch norm collapses otherwise. After the batch-norm neck, a linear classifier is
trained by cross-entropy with label smoothing (Sec. 3.3, 3.5).
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from reseen.checks import above_zero, at_least, below_one
from reseen.data.augment import AugmentSettings
from reseen.data.sampling import identity_batches
from reseen.engine.batches import augmented
from reseen.engine.run import Run
from reseen.engine.step import NewLayerSettings, averaged, set_rate, step
from reseen.errors import SettingsError
from reseen.losses.triplet import batch_hard
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image, identities
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Supervised training on crops with known identities (Luo et al., 2019)."""

    needs_people: ClassVar[bool] = True
    """This is the only method that gets the identities of the training images."""

    encoder: EncoderSettings = field(default_factory=lambda: EncoderSettings(pooling="mean"))
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    new: NewLayerSettings = field(default_factory=NewLayerSettings)
    epochs: int = 120
    """Number of epochs; each is a round. Paper: 120."""
    people: int = 16
    """Number of people in a batch, P. Paper: 16."""
    views: int = 4
    """Number of images of each person in a batch, V. Paper: 4."""
    rate: float = 3.5e-4
    """Learning rate of Adam after the warm-up. Paper: 3.5e-4."""
    warm_up: int = 10
    """Number of epochs in which the learning rate rises from a tenth to its full value. Paper:
    10."""
    rate_steps: tuple[int, ...] = (40, 70)
    """Epochs after which the learning rate is divided by 10. Paper: 40 and 70."""
    weight_decay: float = 5e-4
    """Weight decay of Adam. Authors' code: 5e-4."""
    smoothing: float = 0.1
    """Label smoothing: the share of each label that is spread over all people. Paper: 0.1."""
    margin: float = 0.3
    """Margin of the triplet loss, as a Euclidean distance. Paper: 0.3, on vectors that are not
    normalised."""
    triplet: float = 1.0
    """Weight of the triplet loss, which is added to the cross-entropy; 0 turns it off. Paper: 1."""

    def __post_init__(self):
        at_least(self, 1, "epochs", "people", "views")
        at_least(self, 0, "margin", "triplet", "warm_up")
        above_zero(self, "rate")
        below_one(self, "smoothing", "weight_decay")
        if self.triplet and min(self.people, self.views) < 2:
            raise SettingsError(
                f"A batch is {self.people} people x {self.views} views. Use 2 x 2 or more, or "
                "leave out the triplet loss (triplet 0)."
            )

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images of known people.

        Args:
            images: in an order that does not reveal identities.
            run: records labels, metrics and checkpoints.

        Returns:
            The encoder of the last round.

        Raises:
            DataError: fewer than two people.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        count, ids = identities(crops.images, "The training images show")
        classifier = nn.Linear(encoder.dimensions, count, bias=False)
        nn.init.normal_(classifier.weight, std=0.001)
        classifier.to(encoder.device)
        groups = self.new.groups(encoder, classifier, decay=self.weight_decay)
        optimizer = torch.optim.Adam(groups, self.rate)
        iterations = max(1, len(crops) // (min(self.people, count) * self.views))

        parts = dict(classifier=classifier, optimizer=optimizer)
        for epoch in run.rounds(self.epochs, encoder=encoder, **parts):
            set_rate(optimizer, self._rate(epoch))
            order = identity_batches(
                ids, crops.cameras, self.people, self.views, run.rng("batches")
            )
            drawn = islice(order, iterations), iterations
            losses = []
            for positions, pixels in augmented(run, encoder, crops, drawn, self.augment):
                targets = send(ids[positions], encoder.device)
                pooled = encoder.pool(pixels)
                scores = classifier(encoder.neck(pooled))
                terms = dict(ce=F.cross_entropy(scores, targets, label_smoothing=self.smoothing))
                loss = terms["ce"]
                if self.triplet:
                    terms["triplet"] = batch_hard(F.normalize(pooled), targets, self.margin)
                    loss = loss + self.triplet * terms["triplet"]
                losses.append(step(loss, optimizer, **terms))
            run.log(**averaged(losses))
        return encoder

    def _rate(self, epoch: int) -> float:
        fallen = sum(epoch >= after for after in self.rate_steps)
        risen = min(1.0, 0.1 + 0.9 * epoch / self.warm_up) if self.warm_up else 1.0
        return self.rate * risen * 0.1**fallen
