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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.checks import Auto, at_least, settled, shares
from reseen.cluster.stripes import StripeSettings
from reseen.data.augment import AugmentSettings
from reseen.data.loading import Crops
from reseen.data.sampling import epoch_batches
from reseen.engine.batches import augmented
from reseen.engine.extract import extract, extract_of
from reseen.engine.run import Run
from reseen.engine.step import SgdSettings, averaged, step
from reseen.errors import SettingsError, counted
from reseen.kernels.dissimilarity import least_dissimilar
from reseen.losses.soft import soft_cross_entropy
from reseen.memory.table import LookupTable, TableSettings
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class SSL:
    """SSL: soft targets over reliable images instead of clusters (Lin et al., 2020).

    The defaults are the full model of the paper for images: mean pooling, no padding and no random
    erasing. What the paper does not give (learning rate of the backbone, weight decay, momentum of
    the lookup table) is taken from the authors' code of BUC. The paper does not say whether the
    learning rate stays at a tenth in the later rounds (here it does), nor whether random resized
    crops are used as in that code (augment.crop_area 0.64 1; here they are not).
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="mean"))
    augment: AugmentSettings = field(default_factory=partial(AugmentSettings, pad=0, erase=0.0))
    schedule: SgdSettings = field(default_factory=partial(SgdSettings, rate_hold=15))
    memory: TableSettings = field(default_factory=TableSettings)
    stripes: StripeSettings = field(
        default_factory=partial(StripeSettings, part_weight=0.5, camera_weight=0.02)
    )
    first: int = 25
    """Number of epochs of the first stage; each counts as a round. Paper: 25; 30 for video."""
    rounds: int = 25
    """Number of rounds of mining and training after the first stage. Paper: its curve peaks at 16
    and stays flat up to 25."""
    epochs: int = 2
    """Epochs of training in each of these rounds. The paper does not say; authors' code of BUC: 2,
    or 5 for video."""
    batch: int = 16
    """Batch size. Paper: 16."""
    own: float = 0.6
    """Share of the soft target that is on the image's own class (lambda). Paper: 0.6."""
    k: int | Auto = 4
    """Number of reliable images for each image; 0 keeps the hard target. Paper: 4, read off its
    plot."""
    mining_vector: str = "pooled"
    """Features used to find reliable images: pooled (before the neck) or neck (after the neck, as
    used for the loss and for search). Paper: features after pooling, to whose distances the value
    of camera_weight refers."""

    def __post_init__(self):
        at_least(self, 1, "epochs")
        at_least(self, 0, "first", "rounds", "k")
        shares(self, "own")
        if self.mining_vector not in ("pooled", "neck"):
            raise SettingsError(f"mining_vector is {self.mining_vector!r}. Use 'pooled' or 'neck'.")
        if self.batch < 2 or self.first + self.rounds < 1:
            raise SettingsError(
                f"batch is {self.batch}, first {self.first} and rounds {self.rounds}. Use batches "
                "of two images or more, and one round or more in all."
            )

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            SettingsError: k is not below N.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        self = run.settle(self, encoder, crops)
        if settled(self, "k") >= len(crops):
            raise SettingsError(
                f"k is {self.k} for {counted(len(crops), 'image')}. Use less than that."
            )
        optimizer = self.schedule.sgd(encoder)
        features = extract(encoder, crops, track=run.track("extracting"))
        table = self.memory.begin(features, encoder.device)

        total = self.first + self.rounds
        for done in run.rounds(total, encoder=encoder, optimizer=optimizer, table=table):
            soft = done >= self.first
            self.schedule.set_rates(optimizer, done)
            own, reliable = 1.0, np.arange(len(crops))[:, None]  # hard labels: itself alone
            if soft:
                own, reliable = self.own, self._mine(encoder, crops, table, run)

            reliable = reliable.astype(np.int64)
            epochs = self.epochs if soft else 1
            drawn = epoch_batches(len(crops), self.batch, epochs, run.rng("batches"))
            losses = []
            for positions, pixels in augmented(run, encoder, crops, drawn, self.augment):
                targets, near = (send(v, encoder.device) for v in (positions, reliable[positions]))
                vectors = self.memory.vectors(encoder.neck(encoder.pool(pixels)))
                loss = soft_cross_entropy(
                    vectors, table.rows, targets, near, own, self.memory.temperature
                )
                losses.append(step(loss, optimizer))
                table.update(vectors.detach(), positions)
            run.log(**averaged(losses))
        return encoder

    def _mine(self, encoder: Encoder, crops: Crops, table: LookupTable, run: Run) -> np.ndarray:
        weights = self.stripes.weights

        def views(pixels: Tensor) -> Tensor:
            pooled = encoder.pool_parts(pixels, len(weights) - 1)
            behind = torch.stack([encoder.neck(of) for of in pooled])
            mined = pooled if self.mining_vector == "pooled" else behind
            return F.normalize(torch.cat([behind[:1], mined]), dim=-1)

        features = extract_of(encoder, crops, views, track=run.track("extracting"))
        table.start(features[0])
        if not self.k:
            return np.arange(len(crops))[:, None]  # itself alone: the hard target
        cost = self.stripes.cost(crops.cameras)
        compared = self.stripes.centred(features[1:], crops.cameras)
        k = settled(self, "k")
        reliable, _ = run.once(least_dissimilar, compared, weights, k, **cost)
        run.neighbours(reliable)
        return reliable
