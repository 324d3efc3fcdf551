"""BUC: each image starts as its own cluster, and a few clusters are merged after each training.

Lin, Dong, Zheng, Yan, Yang: A Bottom-up Clustering Approach to Unsupervised Person
Re-identification, AAAI 2019; with cross-camera encouragement and parts as in Table 3 of Lin et al.,
Softened Similarity Learning, CVPR 2020.

First stage: each image is a class, the rows of a lookup table are the classes.
Then each round:
1. features of all images (and of their horizontal stripes);
2. the least dissimilar clusters are merged, large ones last, until a share of N is gone;
3. the table starts with one row a cluster; images are classified into their clusters.
"""

from dataclasses import dataclass, field
from functools import partial
from math import inf

import torch
import torch.nn.functional as F

from reseen.cluster.bottom_up import merge, nearer_share
from reseen.data.augment import AugmentSettings, augment
from reseen.data.sampling import epoch_batches
from reseen.engine.extract import extract, extract_parts
from reseen.engine.run import Run
from reseen.engine.step import mean_loss, scale_rates, sgd, step
from reseen.engine.variants import Variant
from reseen.errors import SettingsError
from reseen.kernels.dissimilarity import stripe_weights
from reseen.losses.contrastive import cluster_nce
from reseen.memory.table import LookupTable
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image, PseudoLabels


@dataclass(frozen=True, kw_only=True)
class BUC:
    """BUC: bottom-up clustering from one cluster an image (Lin et al., 2019).

    The defaults are those of its authors' code for images, without the additions of SSL's paper.
    Encoder and augmentation: mean pooling, no padding, no erasing.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="mean"))
    augment: AugmentSettings = field(default_factory=partial(AugmentSettings, pad=0, erase=0.0))
    first: int = 20
    """Epochs of the first stage, a round each. Authors' code: 20."""
    merge_rate: float = 0.05
    """Share of the number of images by which each round has fewer clusters (mp). Authors' code:
    0.05."""
    size_weight: float = 0.005
    """Weight of the clusters' sizes beside their distance (lambda). Authors' code: 0.005, beside
    squared distances."""
    stop: float = 0.01
    """Training ends before a round whose last merge is wider than this share of all pairs of
    images; 0 never ends early. Not in the paper, whose choice needs labels."""
    epochs: int = 2
    """Epochs of training after a merge. Authors' code: 2, for video 5."""
    batch: int = 16
    """Images in a batch. Authors' code: 16."""
    rate: float = 0.1
    """Learning rate of SGD (momentum 0.9) in the first stage. Authors' code: 0.1."""
    rate_hold: int = 16
    """Rounds, first stage included, after which the rate is a tenth. Authors' code: 16."""
    backbone_rate: float = 0.1
    """Share of the rate that the backbone learns with. Authors' code: 0.1."""
    weight_decay: float = 5e-4
    """Weight decay of SGD. Authors' code: 5e-4."""
    dropout: float = 0.5
    """Dropout rate of the features in training. Authors' code: 0.5."""
    temperature: float = 0.1
    """Temperature of the softmax. Authors' code: 0.1."""
    table_momentum: float = 0.5
    """Share of a row of the table that stays at an update. Authors' code: 0.5."""
    parts: int = 8
    """Horizontal stripes (p), where they count. SSL: 8."""
    part_weight: float = 0.0
    """Share of the stripes in the distance (lambda_p). Not in BUC: 0; SSL: 0.5."""
    camera_weight: float = 0.0
    """What images of one camera are farther apart (lambda_c). Not in BUC: 0; SSL: 0.02."""

    def __post_init__(self):
        for name in ("first", "epochs", "parts"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 1 or more.")
        for name in ("rate", "temperature", "backbone_rate"):
            if not 0 < getattr(self, name) < inf:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use a number above 0.")
        for name in ("dropout", "table_momentum", "weight_decay", "stop"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 0 to below 1.")
        for name in ("rate_hold", "size_weight", "camera_weight"):
            if not 0 <= getattr(self, name) < inf:
                raise SettingsError(f"{name} is {getattr(self, name)}. Use 0 or more.")
        if not 0 < self.merge_rate <= 0.5 or not 0 <= self.part_weight <= 1 or self.batch < 2:
            raise SettingsError(
                f"merge_rate is {self.merge_rate}, part_weight {self.part_weight} and batch "
                f"{self.batch}. Use above 0 to 0.5, 0 to 1, and two images or more."
            )

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Learn from N unlabelled images.

        Args:
            images: in an order that says nothing about who is who.
            run: keeps what is learnt and measured.

        Returns:
            The encoder of the last round.

        Raises:
            ClusteringError: a round left fewer than two clusters.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        optimizer = sgd(encoder, self.backbone_rate, self.weight_decay)
        table = LookupTable(
            extract(encoder, crops, track=run.track("extracting")),
            momentum=self.table_momentum,
            device=encoder.device,
        )
        weights = stripe_weights(self.parts, self.part_weight)
        cost = {"cameras": crops.cameras, "camera_weight": self.camera_weight}
        merges = max(1, int(len(crops) * self.merge_rate))

        total = self.first + int(1 / self.merge_rate) - 2
        for done in run.rounds(total, encoder=encoder, optimizer=optimizer, table=table):
            later = done >= self.first
            scale_rates(optimizer, self.rate * (0.1 if done >= self.rate_hold else 1.0))
            labels = PseudoLabels(table.classes.cpu().numpy())
            if later:
                features = extract_parts(
                    encoder, crops, len(weights) - 1, track=run.track("extracting")
                )
                merged, limit = merge(
                    *(features, weights, labels.ids, merges), size_weight=self.size_weight, **cost
                )
                nearer = nearer_share(features, weights, limit, run.rng("pairs"), **cost)
                run.log(nearer=nearer)
                if self.stop and nearer > self.stop:
                    run.end("the next clusters to merge are as far apart as strangers")
                    continue
                labels = merged
                table.start(features[0], labels.ids)
            run.label(labels, lambda: "Use a smaller merge_rate, or a stop above 0.")

            batches, steps = epoch_batches(
                len(crops), self.batch, self.epochs if later else 1, run.rng("batches")
            )
            chance, losses = run.rng("augment"), []
            encoder.train()
            for positions, pixels in run.track("training")(crops.batches(batches), steps):
                pixels = augment(pixels.to(encoder.device), chance, self.augment, encoder.mean)
                places = torch.from_numpy(positions).to(encoder.device)
                pooled = encoder.neck(encoder.pool(pixels))
                vectors = F.normalize(F.dropout(pooled, self.dropout))
                loss = cluster_nce(vectors, table.rows, table.classes[places], self.temperature)
                losses.append(step(loss, optimizer))
                table.update(vectors.detach(), places)
            run.log(loss=mean_loss(losses))
        return encoder


def _row(settings: dict[str, float], market: tuple[float, float], duke: tuple[float, float]):
    published = {"Market-1501": market, "DukeMTMC": duke}
    return Variant(settings=settings, published=published, tables=("buc-3",))


VARIANTS = {
    "none": _row({}, (30.6, 61.0), (21.9, 40.2)),
    "cce": _row({"camera_weight": 0.02}, (31.8, 65.9), (24.4, 48.3)),
    "cce-part": _row({"camera_weight": 0.02, "part_weight": 0.5}, (36.2, 69.5), (25.1, 51.5)),
    "video": Variant(
        settings={"epochs": 5},
        published={"MARS": (34.7, 57.9), "DukeMTMC-VideoReID": (68.3, 76.2)},
        tables=("buc-2",),
    ),
}
"""BUC's half of Table 3 in SSL's paper, and its row of Table 2 there."""
