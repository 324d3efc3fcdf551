"""MMT: two networks, each taught by the mean network of the other.

Ge, Chen, Li: Mutual Mean-Teaching: Pseudo Label Refinery for Unsupervised Domain Adaptation on
Person Re-identification, ICLR 2020 (arXiv:2001.01526).

Two networks start with the same weights, each with a mean network (Eq. 4). Each round:
1. the features of all images, averaged over both mean networks, are clustered by DBSCAN or k-means;
2. each network and each mean network gets a new classifier with one vector per cluster;
3. each batch is augmented twice, once for each network. Both are trained on the labels by
   cross-entropy and softmax-triplet loss (Eq. 7), and on the soft outputs of the other's mean
   network for its own view: classes (Eq. 5) and triplets (Eq. 8). The mean networks are updated
   after each step.

The result of the run is the first mean network.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseen.checks import Auto, at_least, at_most_images, below_one, one_of, settled, shares
from reseen.cluster.density import DensitySettings
from reseen.cluster.numbering import by_appearance
from reseen.data.augment import AugmentSettings, augment
from reseen.data.sampling import BatchSettings
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, averaged, step
from reseen.kernels.kmeans import kmeans
from reseen.losses.consistency import soft_cross_entropy
from reseen.losses.triplet import soft_triplet, softmax_triplet
from reseen.memory.clusters import cluster_means
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.heads import classifier
from reseen.nets.mean_network import MeanNetwork
from reseen.records import Image, PseudoLabels
from reseen.transfer import send

LABELLINGS = ("dbscan", "k-means")


@dataclass(frozen=True, kw_only=True)
class MMT:
    """MMT: two networks that teach each other through their mean networks (Ge et al., 2020).

    The defaults are those of the paper, except for the clustering: DBSCAN, as in the authors' code
    for training without a source. The paper uses k-means and starts from a model that was trained
    on a labelled source (--start). Batches have 16 x 4 images on four GPUs, so that 16 images
    shared batch-norm statistics (`encoder.ghost_group`), and the learning rate is a constant
    3.5e-4.
    """

    encoder: EncoderSettings = field(
        default_factory=partial(EncoderSettings, pooling="mean", ghost_group=16)
    )
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(default_factory=DensitySettings)
    batches: BatchSettings = field(default_factory=partial(BatchSettings, views=4))
    schedule: ScheduleSettings = field(default_factory=partial(ScheduleSettings, rate_step=0))
    labelling: str = "dbscan"
    """Clustering: dbscan or k-means. Paper: k-means; authors' code without a source: dbscan."""
    clusters: int = 500
    """Number of k-means clusters (M). Paper: 500, 700, 900, and more for MSMT17."""
    soft_ce_weight: float = 0.5
    """Share of the soft cross-entropy in the total cross-entropy (lambda_id). Paper: 0.5."""
    soft_triplet_weight: float = 0.8
    """Share of the soft triplet loss in the total triplet loss (lambda_tri). Paper: 0.8."""
    smoothing: float = 0.1
    """Label smoothing: the share of each label that is spread over all clusters. Authors' code:
    0.1."""
    mean_momentum: float = 0.999
    """Momentum of the mean networks (alpha): the share of their weights that is kept at each
    update, after a warm-up of 1 - 1 / step; with 0 they equal the networks themselves. Paper:
    0.999."""
    epochs: int | Auto = 40
    """Number of rounds of labelling and training. Paper: 40."""

    def __post_init__(self):
        at_least(self, 1, "epochs")
        at_least(self, 2, "clusters")
        shares(self, "soft_ce_weight", "soft_triplet_weight")
        below_one(self, "smoothing", "mean_momentum")
        one_of(self, LABELLINGS, "labelling")
        at_least(self.batches, 2, "people")

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            SettingsError: there are fewer images than clusters to be found.
            ClusteringError: a round found fewer than two clusters.
        """
        network = run.build(self.encoder)
        crops = run.load(images, network)
        networks = [network, deepcopy(network)]
        means = [MeanNetwork(net, momentum=self.mean_momentum) for net in networks]
        self = run.settle(self, network, crops)

        mean_network, peer_mean = (mean.net for mean in means)
        parts = dict(network=network, peer=networks[1], peer_mean=peer_mean)
        for epoch in run.rounds(settled(self, "epochs"), encoder=mean_network, **parts):
            track = run.track("extracting")
            both = [extract(mean.net, crops, track=track) for mean in means]
            features = F.normalize(torch.from_numpy(both[0] + both[1])).numpy()
            labels = run.once(self._label, features, crops.cameras, run)
            run.label(labels, partial(self.density.explain, features, crops.cameras))
            centres = torch.from_numpy(cluster_means(features, labels.ids)).to(network.device)
            heads = [classifier(centres) for _ in networks]
            mean_heads = [MeanNetwork(head, momentum=self.mean_momentum) for head in heads]
            teachers = [(m.net, h.net) for m, h in zip(means, mean_heads, strict=True)]
            # a new Adam in each round, as in the authors' code
            optimizer = self.schedule.adam(*networks, *heads, done=epoch)

            ids = torch.from_numpy(labels.ids)
            order, steps = self.batches.draw(labels.ids, crops.cameras, run.rng("batches"))
            chances = run.rng("augment"), run.rng("augment_peer")
            losses = []
            for net in (*networks, *(net for net, _ in teachers)):
                net.train()  # soft labels by the statistics of the batch, as in the authors' code
            batches = run.track("training")(crops.batches(order, network.rows), steps)
            for number, (positions, pixels) in enumerate(batches):
                targets, pixels = (send(v, network.device) for v in (ids[positions], pixels))
                how = self.augment, network.mean, network.rows(len(pixels))
                views = [augment(pixels, rng, *how) for rng in chances]
                seen = [_look(*each) for each in zip(networks, heads, views, strict=True)]
                with torch.no_grad():
                    soft = [_look(*of, view) for of, view in zip(teachers, views, strict=True)]
                told = [
                    (
                        F.cross_entropy(scores, targets, label_smoothing=self.smoothing),
                        soft_cross_entropy(scores, said),  # Eq. 5
                        softmax_triplet(vectors, targets),  # Eq. 7
                        soft_triplet(vectors, wanted, targets),  # Eq. 8
                    )
                    for (vectors, scores), (wanted, said) in zip(seen, reversed(soft), strict=True)
                ]
                ce, soft_ce, triplet, soft_tri = (a + b for a, b in zip(*told, strict=True))
                loss = torch.lerp(ce, soft_ce, self.soft_ce_weight)  # Eq. 9
                loss = loss + torch.lerp(triplet, soft_tri, self.soft_triplet_weight)
                terms = dict(ce=ce, soft_ce=soft_ce, triplet=triplet, soft_triplet=soft_tri)
                losses.append(step(loss, optimizer, **terms))
                for mean in (*means, *mean_heads):
                    mean.update(min(1 - 1 / (epoch * steps + number + 1), self.mean_momentum))
            run.log(**averaged(losses))
        return mean_network

    def _label(self, features: np.ndarray, cameras: np.ndarray, run: Run) -> PseudoLabels:
        """Group images (N) by features (N, D)."""
        if self.labelling == "dbscan":
            return self.density.label(features, cameras)
        at_most_images(self, len(features), "clusters")
        _, nearest = kmeans(features, self.clusters, seed=run.rng("centroids"))
        return PseudoLabels(by_appearance(nearest))


def _look(network: Encoder, head: nn.Linear, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return pooled vectors (B, D) and the scores (B, K) of all clusters."""
    pooled = network.pool(pixels)
    return pooled, head(network.neck(pooled))
