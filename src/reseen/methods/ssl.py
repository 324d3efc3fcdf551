"""SSL: no clusters; each image is its own class, and a little of those of its reliable images.

Lin, Xie, Wu, Yan, Tian: Unsupervised Person Re-identification via Softened Similarity Learning,
CVPR 2020.

First stage: each image is a class, the rows of a lookup table are the classes (Eqs. 1 and 2).
Then each round:
1. features of all images and of their horizontal stripes;
2. the k images least dissimilar to each are its reliable ones: distance of the whole, of the
   stripes, and a bonus for other cameras (Eqs. 5 to 7);
3. batches of images, asked for their own class by lambda, for the reliable ones by the rest
   (Eq. 4); after each step the table follows.
"""

from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from reseen.data.augment import AugmentSettings, augment
from reseen.data.sampling import epoch_batches
from reseen.engine.extract import extract, extract_parts
from reseen.engine.run import Run
from reseen.engine.step import mean_loss, scale_rates, sgd, step
from reseen.engine.variants import Variant
from reseen.errors import SettingsError, counted
from reseen.kernels.dissimilarity import least_dissimilar, stripe_weights
from reseen.losses.soft import soft_cross_entropy
from reseen.memory.table import LookupTable
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image


@dataclass(frozen=True, kw_only=True)
class SSL:
    """SSL: soft targets over reliable images instead of clusters (Lin et al., 2020).

    The defaults are the paper's full model for images. Encoder and augmentation: mean pooling, no
    padding, no erasing.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="mean"))
    augment: AugmentSettings = field(default_factory=partial(AugmentSettings, pad=0, erase=0.0))
    first: int = 25
    """Epochs of the first stage, a round each. Paper: 25; 30 for video."""
    rounds: int = 25
    """Rounds of mining and training after it. Paper: its curve has its best at 16 and stays flat
    to 25."""
    epochs: int = 2
    """Epochs of training in such a round. The paper does not say; authors' code of BUC: 2, for
    video 5."""
    batch: int = 16
    """Images in a batch. Paper: 16."""
    rate: float = 0.1
    """Learning rate of SGD (momentum 0.9) in the first stage. Paper: 0.1."""
    rate_hold: int = 15
    """Rounds, first stage included, after which the rate is a tenth. Paper: 15; that it stays so in
    the later rounds is not said."""
    backbone_rate: float = 0.1
    """Share of the rate that the backbone learns with. The paper does not say; authors' code of
    BUC: 0.1."""
    weight_decay: float = 5e-4
    """Weight decay of SGD. The paper does not say; authors' code of BUC: 5e-4."""
    dropout: float = 0.5
    """Dropout rate of the features in training. Paper: 0.5."""
    temperature: float = 0.1
    """Temperature of the softmax (tau). Paper: 0.1."""
    table_momentum: float = 0.5
    """Share of a row of the table that stays at an update. The paper does not say; authors' code
    of BUC: 0.5."""
    own: float = 0.6
    """Share of the target on the image's own class (lambda). Paper: 0.6."""
    k: int = 4
    """Reliable images of each image. Paper: 4, read off its plot."""
    parts: int = 8
    """Horizontal stripes (p). Paper: 8."""
    part_weight: float = 0.5
    """Share of the stripes in the distance (lambda_p); 0 leaves them out. Paper: 0.5."""
    camera_weight: float = 0.02
    """What images of one camera are farther apart (lambda_c); 0 leaves it out. Paper: 0.02."""

    def __post_init__(self):
        for name in ("epochs", "batch", "k", "parts"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 1 or more.")
        for name in ("rate", "temperature", "backbone_rate"):
            if not 0 < getattr(self, name) < inf:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use a number above 0.")
        for name in ("own", "part_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 0 to 1.")
        for name in ("dropout", "table_momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 0 to below 1.")
        for name in ("first", "rounds", "rate_hold", "camera_weight"):
            if not 0 <= getattr(self, name) < inf:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 0 or more.")
        if self.batch < 2 or self.first + self.rounds < 1:
            raise SettingsError(
                f"batch is {self.batch}, first {self.first} and rounds {self.rounds}. Use batches "
                "of two images or more, and one round or more in all."
            )

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Learn from N unlabelled images.

        Args:
            images: in an order that says nothing about who is who.
            run: keeps what is learnt and measured.

        Returns:
            The encoder of the last round.

        Raises:
            SettingsError: k is not below N.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        if self.k >= len(crops):
            raise SettingsError(
                f"k is {self.k} for {counted(len(crops), 'image')}. Use less than that."
            )
        optimizer = sgd(encoder, self.backbone_rate, self.weight_decay)
        table = LookupTable(
            extract(encoder, crops, track=run.track("extracting")),
            momentum=self.table_momentum,
            device=encoder.device,
        )

        total = self.first + self.rounds
        for done in run.rounds(total, encoder=encoder, optimizer=optimizer, table=table):
            soft = done >= self.first
            scale_rates(optimizer, self.rate * (0.1 if done >= self.rate_hold else 1.0))
            own, reliable = 1.0, np.arange(len(crops))[:, None]  # hard labels: itself alone
            if soft:
                own, reliable = self.own, self._mine(encoder, crops, table, run)

            near = torch.from_numpy(reliable).long().to(encoder.device)
            batches, steps = epoch_batches(
                len(crops), self.batch, self.epochs if soft else 1, run.rng("batches")
            )
            chance, losses = run.rng("augment"), []
            encoder.train()
            for positions, pixels in run.track("training")(crops.batches(batches), steps):
                pixels = augment(pixels.to(encoder.device), chance, self.augment, encoder.mean)
                targets = torch.from_numpy(positions).to(encoder.device)
                pooled = encoder.neck(encoder.pool(pixels))
                vectors = F.normalize(F.dropout(pooled, self.dropout))
                loss = soft_cross_entropy(
                    vectors, table.rows, targets, near[targets], own, self.temperature
                )
                losses.append(step(loss, optimizer))
                table.update(vectors.detach(), targets)
            run.log(loss=mean_loss(losses))
        return encoder

    def _mine(self, encoder: Encoder, crops: Any, table: LookupTable, run: Run) -> np.ndarray:
        weights = stripe_weights(self.parts, self.part_weight)
        features = extract_parts(encoder, crops, len(weights) - 1, track=run.track("extracting"))
        table.start(features[0])
        reliable, _ = least_dissimilar(
            features, weights, self.k, cameras=crops.cameras, camera_weight=self.camera_weight
        )
        run.neighbours(reliable)
        return reliable


def _row(settings: dict[str, Any], market: tuple[float, float], duke: tuple[float, float]):
    published = {"Market-1501": market, "DukeMTMC": duke}
    tables = ("ssl-1",) if "rounds" in settings else ("ssl-1", "ssl-3")
    return Variant(settings=settings, published=published, tables=tables)


VARIANTS = {
    "baseline": _row({"rounds": 0}, (13.2, 34.4), (7.9, 16.5)),
    "without-part-and-cce": _row(
        {"part_weight": 0.0, "camera_weight": 0.0}, (29.8, 58.7), (17.4, 31.6)
    ),
    "without-part": _row({"part_weight": 0.0}, (35.1, 68.4), (26.4, 49.2)),
    "full": _row({}, (37.8, 71.7), (28.6, 52.5)),
    "video": Variant(
        settings={"first": 30, "epochs": 5},
        published={"MARS": (43.6, 62.8), "DukeMTMC-VideoReID": (69.3, 76.4)},
        tables=("ssl-2",),
    ),
}
"""The four own rows of Table 1, of which the last three are SSL's half of Table 3, and the own row
of Table 2."""
