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

from reseen.checks import AUTO, Auto, at_least, below_one, settled
from reseen.cluster.bottom_up import merge, nearer_share
from reseen.cluster.stripes import StripeSettings
from reseen.data.augment import AugmentSettings
from reseen.data.sampling import epoch_batches
from reseen.engine.batches import augmented
from reseen.engine.extract import extract, extract_parts
from reseen.engine.run import Run
from reseen.engine.step import SgdSettings, averaged, step
from reseen.errors import SettingsError
from reseen.losses.contrastive import cluster_nce
from reseen.memory.table import TableSettings
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.records import Image, PseudoLabels
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class BUC:
    """BUC: bottom-up clustering, starting from one cluster per image (Lin et al., 2019).

    The defaults are those of the authors' code for images, without the additions of the SSL paper:
    mean pooling, random resized crops, no padding and no random erasing.
    """

    encoder: EncoderSettings = field(default_factory=partial(EncoderSettings, pooling="mean"))
    augment: AugmentSettings = field(
        default_factory=partial(AugmentSettings, pad=0, erase=0.0, crop_area=(0.64, 1.0))
    )
    schedule: SgdSettings = field(default_factory=SgdSettings)
    memory: TableSettings = field(default_factory=TableSettings)
    stripes: StripeSettings = field(default_factory=StripeSettings)
    first: int = 20
    """Number of epochs of the first stage; each counts as a round. Authors' code: 20."""
    merge_rate: float | Auto = 0.05
    """Number of clusters merged in each round, as a share of the number of images N (mp). There are
    int(1 / mp) - 2 such rounds. Authors' code: 0.05, which leaves N / 10 clusters."""
    size_weight: float = 0.005
    """Weight of the cluster sizes, which is added to the distance of two clusters (lambda).
    Authors' code: 0.005, added to squared distances."""
    stop: float = 0.01
    """Early stopping: training ends before a round whose last merge is wider than this share of all
    pairs of images; 0 turns it off. Not in the paper, which needs labels to choose the round."""
    epochs: int = 2
    """Epochs of training after each merge. Authors' code: 2, or 5 for video."""
    batch: int = 16
    """Batch size. Authors' code: 16."""

    def __post_init__(self):
        at_least(self, 1, "first", "epochs")
        at_least(self, 2, "batch")
        at_least(self, 0, "size_weight")
        below_one(self, "stop")
        if self.merge_rate != AUTO and not 0 < self.merge_rate <= 0.5:
            raise SettingsError(f"merge_rate is {self.merge_rate}. Use above 0 to 0.5.")

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            ClusteringError: a round left fewer than two clusters.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        self = run.settle(self, encoder, crops)
        merge_rate = settled(self, "merge_rate")
        optimizer = self.schedule.sgd(encoder)
        features = extract(encoder, crops, track=run.track("extracting"))
        table = self.memory.begin(features, encoder.device)
        weights, cost = self.stripes.weights, self.stripes.cost(crops.cameras)
        merges = max(1, int(len(crops) * merge_rate))

        total = self.first + int(1 / merge_rate) - 2
        for done in run.rounds(total, encoder=encoder, optimizer=optimizer, table=table):
            later = done >= self.first
            self.schedule.set_rates(optimizer, done)
            labels = PseudoLabels(table.classes.numpy())
            if later:
                track = run.track("extracting")
                features = extract_parts(encoder, crops, len(weights) - 1, track=track)
                compared = self.stripes.centred(features, crops.cameras)
                how = dict(size_weight=self.size_weight, **cost)
                merged, limit = run.once(merge, compared, weights, labels.ids, merges, **how)
                chance = run.rng("pairs")
                nearer = run.once(nearer_share, compared, weights, limit, chance, **cost)
                run.log(nearer=nearer)
                if self.stop and nearer > self.stop:
                    run.end("the next clusters to merge are as far apart as strangers")
                    continue
                labels = merged
                table.start(features[0], labels.ids)
            run.label(labels, lambda: "Use a smaller merge_rate, or a stop above 0.")

            epochs = self.epochs if later else 1
            drawn = epoch_batches(len(crops), self.batch, epochs, run.rng("batches"))
            losses = []
            for positions, pixels in augmented(run, encoder, crops, drawn, self.augment):
                vectors = self.memory.vectors(encoder.neck(encoder.pool(pixels)))
                classes = send(table.classes[positions], encoder.device)
                loss = cluster_nce(vectors, table.rows, classes, self.memory.temperature)
                losses.append(step(loss, optimizer))
                table.update(vectors.detach(), positions)
            run.log(**averaged(losses))
        return encoder
