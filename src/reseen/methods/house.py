"""house: Cluster Contrast with several parts that were published separately.

Each round:
1. the mean teacher, a moving average of the encoder's weights, extracts the features of all images;
2. if cameras are known, the mean of each camera is subtracted from the features, and k-reciprocal
   Jaccard distances are camera-aware; DBSCAN gives clusters;
3. memories are initialised: a mean and optionally a hard prototype per cluster, a proxy for each
   cluster and camera, and the last images of each cluster;
4. batches of P clusters x V images are drawn. Each image is pulled towards the prototypes of its
   cluster, the predictions for its neighbours in the batch, the proxies of its cluster by other
   cameras, and the farthest image of its cluster, as far as these parts are on. The teacher and the
   memories are updated after each step.

The encoder pools the upper and the lower half separately. The teacher is used for evaluation and is
the result of the run; its vectors are averaged over the image and its mirror image, and whitened
with strength 0.25. With all parts off this is Cluster Contrast, bit for bit: teacher false,
prototypes 1, all weights 0, camera_aware false, centring off, encoder.stripes 1, encoder.mirrored
false, encoder.whitening 0.

Sources: Cluster Contrast (Dai et al., ACCV 2022); mean teacher (Tarvainen and Valpola, NeurIPS
2017); CA-Jaccard (Chen et al., CVPR 2024); two prototypes and many instances (Zou et al., DCMIP,
ICCV 2023); refined labels (Tai et al., NCPLR, TIFS 2024); inter-camera proxies (Chen et al., ICE,
ICCV 2021; Cho et al., PPLR, CVPR 2022); stripes (Sun et al., PCB, ECCV 2018). The effect of each
part is in docs/methods/house.md.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from reseen.checks import Auto, above_zero, at_least, settled, shares
from reseen.cluster.density import DensitySettings
from reseen.data.augment import AugmentSettings
from reseen.data.sampling import BatchSettings
from reseen.engine.batches import augmented
from reseen.engine.extract import extract
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, averaged, set_rate, step
from reseen.errors import SettingsError
from reseen.losses.contrastive import cluster_nce
from reseen.losses.instances import many_instances
from reseen.losses.inter_camera import inter_camera
from reseen.losses.neighbours import neighbour_agreement, neighbour_weights, ramp, refined_labels
from reseen.losses.prototypes import two_prototypes
from reseen.memory.clusters import ClusterMemory, MemorySettings
from reseen.memory.instances import InstanceMemory
from reseen.memory.proxies import CameraProxies
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.teacher import TeacherSettings
from reseen.records import Image
from reseen.transfer import send


@dataclass(frozen=True, kw_only=True)
class House:
    """house: Cluster Contrast with a mean teacher and parts that use neighbours and cameras.

    This is reseen's own method. Settings that it shares with Cluster Contrast have the same
    defaults. Parts that need cameras do nothing if fewer than two cameras are known.
    """

    encoder: EncoderSettings = field(
        default_factory=partial(
            EncoderSettings, ghost_group=64, stripes=2, mirrored=True, whitening=0.25
        )
    )
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    density: DensitySettings = field(
        default_factory=partial(DensitySettings, camera_aware=True, centring="mean")
    )
    batches: BatchSettings = field(default_factory=BatchSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    teaching: TeacherSettings = field(default_factory=partial(TeacherSettings, teacher=True))
    epochs: int | Auto = 50
    """Number of rounds of labelling and training. Cluster Contrast: 50."""
    temperature: float = 0.05
    """Temperature of all losses except the inter-camera loss. Cluster Contrast: 0.05."""
    prototypes: int = 1
    """Prototypes per cluster: 1 (as in Cluster Contrast), or 2, of which one is updated with the
    mean of the cluster's images and one with the hardest. DCMIP: 2; this brought no gain here."""
    margin: float = 0.2
    """Margin up to which the loss of the hard prototype is ignored. DCMIP: 0.2."""
    refined_weight: float = 0.0
    """Weight of the loss with labels that are refined by neighbours; 0 turns it off. NCPLR: 1; this
    brought no gain here."""
    refined_own: float = 0.1
    """Share of the image's own cluster in a refined label. NCPLR: 0.1."""
    refined_radius: float = 0.2
    """Jaccard distance up to which images are neighbours. NCPLR: 0.2, and 0.3 for DukeMTMC-reID and
    MSMT17."""
    refined_temperature: float = 0.05
    """Temperature of the softmax that weights the neighbours. NCPLR: 0.05."""
    refined_farther: bool = False
    """Give farther neighbours more weight, as the authors' code of NCPLR does, instead of nearer
    ones."""
    agreement_weight: float = 0.0
    """Weight, at the end of the run, of the loss that makes neighbours agree with the teacher.
    NCPLR: 1; this brought no gain here."""
    proxy_weight: float = 0.5
    """Weight of the inter-camera loss; 0 turns it off. PPLR: 0.5."""
    proxy_temperature: float = 0.07
    """Temperature of the inter-camera loss. PPLR: 0.07."""
    proxy_negatives: int = 50
    """Number of proxies of other clusters that each image is compared with. PPLR: 50."""
    proxy_momentum: float = 0.2
    """Momentum of the proxies: the share of a proxy that is kept at each update; 1 freezes them.
    O2CAP: 0.2; PPLR: 1."""
    instance_weight: float = 0.0
    """Weight of the many-instance loss; 0 turns it off. DCMIP: 1."""
    instances: int = 16
    """Number of images that the memory keeps for each cluster (V). DCMIP: 16."""
    instance_start: float = 0.5
    """Share of the rounds after which the many-instance loss is used. DCMIP: after a first training
    stage."""

    def __post_init__(self):
        at_least(self, 1, "epochs", "proxy_negatives", "instances")
        at_least(self, 0, "margin", "refined_weight", "agreement_weight")
        at_least(self, 0, "proxy_weight", "instance_weight")
        above_zero(self, "temperature", "proxy_temperature", "refined_temperature")
        shares(self, "refined_own", "refined_radius", "proxy_momentum", "instance_start")
        if self.prototypes not in (1, 2):
            raise SettingsError(f"prototypes is {self.prototypes}. Use 1 or 2.")

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Train on N images, whose order tells nothing about their identities.

        Raises:
            ClusteringError: a round found fewer than two clusters.
        """
        encoder = run.build(self.encoder)
        crops = run.load(images, encoder)
        self = run.settle(self, encoder, crops)
        optimizer = self.schedule.adam(encoder)
        rounds, steps = settled(self, "epochs"), settled(self.batches, "iterations")
        teacher = self.teaching.follow(encoder, rounds * steps)
        cameras = crops.cameras

        kept = dict(optimizer=optimizer, **teacher.parts)
        for epoch in run.rounds(rounds, encoder=teacher.net, **kept):
            set_rate(optimizer, self.schedule.rate_at(epoch))

            # 1 and 2: the teacher's features, and clusters
            features = extract(teacher.net, crops, track=run.track("extracting"))
            labels = run.once(self.density.label, features, crops.cameras)
            run.label(labels, partial(self.density.explain, features, crops.cameras))

            # 3: memories
            memory, hard = self._prototypes(features, labels.ids, run, encoder.device)
            near = proxies = instances = None
            if self.refined_weight or self.agreement_weight:
                radius = self.refined_radius
                near = run.once(self.density.near, features, crops.cameras, radius)
            if self.proxy_weight:
                proxies = CameraProxies(
                    *(features, labels.ids, crops.cameras),
                    momentum=self.proxy_momentum,
                    device=encoder.device,
                )
            if self.instance_weight and epoch >= self.instance_start * rounds:
                instances = InstanceMemory(
                    *(features, labels.ids, self.instances), run.rng("instances"), encoder.device
                )

            # 4: batches
            weights = {
                "clusters": 1.0,
                "refined": self.refined_weight,
                "agreement": self.agreement_weight * ramp(epoch, rounds),
                "proxies": self.proxy_weight,
                "instances": self.instance_weight,
            }
            ids = torch.from_numpy(labels.ids)
            drawn = self.batches.draw(labels.ids, crops.cameras, run.rng("batches"))
            losses = []
            for positions, pixels in augmented(run, encoder, crops, drawn, self.augment):
                own = ids[positions]
                targets = send(own, encoder.device)
                vectors = encoder(pixels)
                taught = vectors.detach()
                if near is not None or instances:
                    taught = teacher.see(pixels, vectors)

                terms = {"clusters": self._clusters(vectors, memory, hard, targets)}
                if near is not None:
                    towards = memory.centres.T / self.temperature
                    apart = send(_distances(near, positions), encoder.device)
                    terms |= self._refined(vectors @ towards, taught @ towards, targets, apart)
                if proxies:
                    terms["proxies"] = inter_camera(
                        *(vectors, proxies.centres, proxies.clusters, proxies.cameras),
                        *(targets, send(cameras[positions], encoder.device)),
                        temperature=self.proxy_temperature,
                        negatives=self.proxy_negatives,
                    )
                if instances:
                    terms["instances"] = many_instances(
                        vectors, instances.rows, targets, self.temperature
                    )
                loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
                losses.append(step(loss, optimizer, **terms))

                teacher.update()
                memory.update(vectors.detach(), own)
                if hard:
                    hard.update(vectors.detach(), own)
                if proxies:
                    proxies.update(vectors.detach(), positions)
                if instances:
                    instances.update(taught, own)
            run.log(**averaged(losses))
        return teacher.net

    def _prototypes(
        self, features: np.ndarray, ids: np.ndarray, run: Run, device: torch.device
    ) -> tuple[ClusterMemory, ClusterMemory | None]:
        """Start the prototypes of clusters: those of Cluster Contrast, or mean and hard ones."""
        if self.prototypes == 1:
            return self.memory.begin(features, ids, run.rng("memory"), device), None
        mean, hard = (
            replace(self.memory, memory_update=how).begin(features, ids, run.rng("memory"), device)
            for how in ("mean", "hard")
        )
        return mean, hard

    def _clusters(
        self, vectors: Tensor, memory: ClusterMemory, hard: ClusterMemory | None, targets: Tensor
    ) -> Tensor:
        """Return the loss of images (B) and the prototypes of clusters."""
        if not hard:
            return cluster_nce(vectors, memory.centres, targets, self.temperature)
        both = memory.centres, hard.centres
        return two_prototypes(vectors, *both, targets, self.temperature, self.margin)

    def _refined(
        self, scores: Tensor, taught: Tensor, targets: Tensor, apart: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of labels refined by neighbours; see `losses.neighbours`."""
        farther = self.refined_farther
        weights = neighbour_weights(apart, self.refined_temperature, farther=farther)
        wanted = refined_labels(scores, taught, targets, weights, self.refined_own)
        return {
            "refined": F.cross_entropy(scores, wanted),
            "agreement": neighbour_agreement(scores, taught, apart),
        }


def _distances(near: sparse.csr_matrix, positions: np.ndarray) -> np.ndarray:
    """Return the distances (B, B) of the images of a batch, infinite if they are not near."""
    apart = near[positions][:, positions].toarray()
    return np.where(apart > 0, apart, np.float32(np.inf))
