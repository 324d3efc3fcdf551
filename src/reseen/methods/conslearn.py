"""ConsLearn: clustering, and consistency of two views of an image with a mean network.

Yin, Qiu, Zhang, Xie, Ma, Guo: Unsupervised Person Re-identification via Simultaneous Clustering and
Consistency Learning, 2021.

Each round:
1. features of all images are clustered by k-reciprocal Jaccard distances and DBSCAN (Sec. 3.2);
2. a new classifier is made, with one vector per cluster;
3. each batch passes through the network twice, with different rectangles of its feature maps
   dropped, which gives two views (Sec. 3.1). Both are trained on the same labels by cross-entropy
   (Eq. 7) and softmax-triplet loss (Eq. 8), and each has to predict the mean network's output for
   the other view (Eq. 6). The mean network is updated after each step (Eq. 2).

The result of the run is the mean network.
"""

from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.checks import Auto, above_zero, at_least, below_one, one_of, settled
from reseen.cluster.density import DensitySettings
from reseen.data.augment import AugmentSettings
from reseen.data.sampling import BatchSettings
from reseen.engine.batches import augmented
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, averaged, step
from reseen.errors import SettingsError
from reseen.losses.consistency import consistency
from reseen.losses.contrastive import cluster_nce
from reseen.losses.triplet import softmax_triplet
from reseen.memory.clusters import MemorySettings
from reseen.nets.dropblock import drop_before, dropping
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.heads import INITS, PROJECTIONS, ProjectionHead, classifier
from reseen.nets.mean_network import MeanNetwork
from reseen.records import Image
from reseen.transfer import send

CLASSIFIERS = ("linear", "memory")


@dataclass(frozen=True, kw_only=True)
class ConsLearn:
    """ConsLearn: clustering, and consistency between two views of an image (Yin et al., 2021).

    The defaults are those of the paper for training without labels: mean pooling, no random
    erasing, a learning rate of 3.5e-4, and batches of 256 on four GPUs, so that 64 images shared
    batch-norm statistics (`encoder.ghost_group`). The paper does not give the number of clusters in
    a batch (32 here), nor k1, k2, eps, the steps in a round and the learning rate schedule (usual
    values here). The cluster memory is not in the paper.
    """

    encoder: EncoderSettings = field(
        default_factory=partial(EncoderSettings, pooling="mean", ghost_group=64)
    )
    augment: AugmentSettings = field(default_factory=partial(AugmentSettings, erase=0.0))
    density: DensitySettings = field(default_factory=DensitySettings)
    batches: BatchSettings = field(default_factory=partial(BatchSettings, people=32, views=8))
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    stages: tuple[int, ...] = (0, 1, 2)
    """Stages of the backbone whose input has a rectangle dropped; 0 is the image itself. Paper: 0,
    1 and 2."""
    alpha: float = 0.4
    """Share of the height of the feature map that is dropped; 0 drops nothing. Paper: 0.4."""
    beta: float = 0.3
    """Share of the width of the feature map that is dropped. Paper: 0.3."""
    rescale: bool = False
    """Rescale the remaining values so that the mean of the feature map is preserved, as dropout
    does. Paper: no."""
    both_views: bool = True
    """Train both views on the pseudo-labels. Paper: yes; the baseline in its Table 5, read as
    having a single view: no."""
    classifier: str = "linear"
    """linear, or memory (the cluster memory and ClusterNCE loss of Cluster Contrast). Paper:
    linear."""
    ce_weight: float = 0.2
    """Weight of the cross-entropy of both views (lambda). Paper: 0.2."""
    triplet_weight: float = 0.35
    """Weight of the softmax-triplet loss of both views (xi). Paper: 0.35."""
    consistency_weight: float = 0.1
    """Weight of the consistency loss (eta); 0 turns off both this loss and the second view. Paper:
    0.1."""
    projection: str = "shared"
    """Projection layers: none, linear (one for the consistency loss, one for the classifier) or
    shared (one for both). Paper: shared."""
    projected: int = 2048
    """Output size of the projection (Omega). Paper: 2048."""
    projection_init: str = "uniform"
    """Initialisation of the projection: uniform (PyTorch's default for linear layers) or normal
    (Kaiming, fan-out, as in the code of Mutual Mean-Teaching). The paper does not say."""
    projection_unit: bool = False
    """Normalise projected vectors to length 1 before the softmax of the consistency loss. Paper:
    no."""
    projection_temperature: float = 1.0
    """Temperature of the softmax in the consistency loss. Paper: 1. With 1, the softmax over 2048
    values is almost uniform and the loss has little effect."""
    mean_momentum: float = 0.999
    """Momentum of the mean network (zeta): the share of its weights that is kept at each update;
    with 0 it equals the network itself. Paper: 0.999."""
    mean_ages: tuple[int, ...] = (0,)
    """Ages, in steps, of the network weights that are averaged at each update of the mean network:
    0 is the current step, 1 the step before, and so on. Paper: 0."""
    epochs: int | Auto = 50
    """Number of rounds of labelling and training. Paper: 50."""
    temperature: float = 0.05
    """Temperature of the memory's loss. Not in the paper; Cluster Contrast: 0.05."""

    def __post_init__(self):
        at_least(self, 1, "epochs", "projected")
        at_least(self, 0, "ce_weight", "triplet_weight", "consistency_weight")
        above_zero(self, "temperature", "projection_temperature")
        below_one(self, "alpha", "beta", "mean_momentum")
        one_of(self, PROJECTIONS, "projection")
        one_of(self, INITS, "projection_init")
        one_of(self, CLASSIFIERS, "classifier")
        at_least(self.batches, 2, "people")
        if not self.mean_ages or min(self.mean_ages) < 0:
            raise SettingsError(f"mean_ages is {self.mean_ages}. Use ages of 0 or more.")

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            ClusteringError: a round found fewer than two clusters.
        """
        network = run.build(self.encoder)
        crops = run.load(images, network)
        drop_before(network.backbone, self.stages, self.alpha, self.beta, self.rescale)
        head = ProjectionHead(
            network.dimensions, self.projected, self.projection, self.projection_init
        )
        head.to(network.device)
        means = (
            MeanNetwork(network, momentum=self.mean_momentum, ages=self.mean_ages),
            MeanNetwork(head, momentum=self.mean_momentum, ages=self.mean_ages),
        )
        mean_network, mean_head = means[0].net, means[1].net
        self = run.settle(self, network, crops)

        parts = dict(network=network, head=head, mean_head=mean_head)
        for epoch in run.rounds(settled(self, "epochs"), encoder=mean_network, **parts):
            features = extract(network, crops, track=run.track("extracting"))
            labels = run.once(self.density.label, features, crops.cameras)
            run.label(labels, partial(self.density.explain, features, crops.cameras))
            memory = self.memory.begin(features, labels.ids, run.rng("memory"), network.device)
            with torch.no_grad():
                classify = classifier(head.classify(memory.centres))
            # a new Adam with the new classifier, as in the authors' code of MMT
            optimizer = self.schedule.adam(network, head, classify, done=epoch)

            ids = torch.from_numpy(labels.ids)
            drawn = self.batches.draw(labels.ids, crops.cameras, run.rng("batches"))
            losses = []
            for mean in means:
                mean.forget()
            dropping(mean_network)
            for positions, pixels in augmented(run, network, crops, drawn, self.augment):
                own = ids[positions]
                targets = send(own, network.device)
                passes = 2 if self.both_views or self.consistency_weight else 1
                views = [network.neck(network.pool(pixels)) for _ in range(passes)]  # h1, h2

                none = torch.zeros((), device=network.device)
                terms: dict[str, Tensor] = {"ce": none, "triplet": none}
                for view in views[: 1 + self.both_views]:
                    if self.classifier == "memory":
                        unit = F.normalize(view)
                        ce = cluster_nce(unit, memory.centres, targets, self.temperature)
                    else:
                        ce = F.cross_entropy(classify(head.classify(view)), targets)  # Eq. 7
                    terms["ce"] = terms["ce"] + ce
                    if self.triplet_weight:
                        terms["triplet"] = terms["triplet"] + softmax_triplet(
                            view, targets
                        )  # Eq. 8
                if self.consistency_weight:
                    with torch.no_grad():
                        seen = [mean_network.neck(mean_network.pool(pixels)) for _ in views]
                        wanted = [self._project(mean_head, view) for view in seen]
                    projected = [self._project(head, view) for view in views]  # Eq. 1
                    terms["consistency"] = consistency(projected, wanted)  # Eq. 6
                weighted = [getattr(self, f"{name}_weight") * terms[name] for name in terms]
                losses.append(step(torch.stack(weighted).sum(), optimizer, **terms))
                for mean in means:
                    mean.update()  # Eq. 2
                if self.classifier == "memory":
                    memory.update(F.normalize(views[0].detach()), own)
            run.log(**averaged(losses))
        return mean_network

    def _project(self, head: ProjectionHead, vectors: Tensor) -> Tensor:
        """Return the input of the consistency loss (B, Omega) for vectors (B, D)."""
        scores = head.project(vectors)
        return (
            F.normalize(scores) if self.projection_unit else scores
        ) / self.projection_temperature
