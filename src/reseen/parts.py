"""The parts that methods are made of, to build a method of your own.

docs/tutorials/own-method.md shows how.

Every name here is public and stays. Settings are frozen dataclasses, for the fields of a method;
the rest are functions and classes that do not know each other.

- What a method works with: Run, Image, Crops, Encoder, EncoderSettings.
- Features: extract (of the crops that `run.load` gives), extract_parts.
- Pseudo-labels: PseudoLabels, NOISE, DensitySettings, jaccard_dbscan, share_eps, kmeans, two_stage,
  merge, by_appearance, centre.
- Batches: BatchSettings, identity_batches, epoch_batches, augmented, AugmentSettings, augment.
- Memory: MemorySettings, ClusterMemory, TableSettings, LookupTable, cluster_means, MeanNetwork,
  CameraProxies, InstanceMemory.
- Mean teacher: TeacherSettings.
- Losses: cluster_nce, batch_hard, softmax_triplet, consistency, soft_cross_entropy, soft_labels,
  two_prototypes, neighbour_weights, refined_labels, neighbour_agreement, inter_camera,
  many_instances.
- Steps: ScheduleSettings, SgdSettings, step, averaged, set_rate.
"""

from reseen.cluster.bottom_up import merge
from reseen.cluster.density import DensitySettings, jaccard_dbscan, share_eps
from reseen.cluster.numbering import by_appearance
from reseen.cluster.two_stage import two_stage
from reseen.data.augment import AugmentSettings, augment
from reseen.data.loading import Crops
from reseen.data.sampling import BatchSettings, epoch_batches, identity_batches
from reseen.engine.batches import augmented
from reseen.engine.extract import extract, extract_parts
from reseen.engine.run import Run
from reseen.engine.step import ScheduleSettings, SgdSettings, averaged, set_rate, step
from reseen.kernels.centring import centre
from reseen.kernels.kmeans import kmeans
from reseen.losses.consistency import consistency
from reseen.losses.contrastive import cluster_nce
from reseen.losses.instances import many_instances
from reseen.losses.inter_camera import inter_camera
from reseen.losses.neighbours import neighbour_agreement, neighbour_weights, refined_labels
from reseen.losses.prototypes import two_prototypes
from reseen.losses.soft import soft_cross_entropy
from reseen.losses.soft_labels import soft_labels
from reseen.losses.triplet import batch_hard, softmax_triplet
from reseen.memory.clusters import ClusterMemory, MemorySettings, cluster_means
from reseen.memory.instances import InstanceMemory
from reseen.memory.proxies import CameraProxies
from reseen.memory.table import LookupTable, TableSettings
from reseen.nets.encoder import Encoder, EncoderSettings
from reseen.nets.mean_network import MeanNetwork
from reseen.nets.teacher import TeacherSettings
from reseen.records import NOISE, Image, PseudoLabels

__all__ = [
    "Run",
    "Image",
    "Crops",
    "Encoder",
    "EncoderSettings",
    "extract",
    "extract_parts",
    "PseudoLabels",
    "NOISE",
    "DensitySettings",
    "jaccard_dbscan",
    "share_eps",
    "kmeans",
    "two_stage",
    "merge",
    "by_appearance",
    "centre",
    "BatchSettings",
    "identity_batches",
    "epoch_batches",
    "augmented",
    "AugmentSettings",
    "augment",
    "MemorySettings",
    "ClusterMemory",
    "TableSettings",
    "LookupTable",
    "cluster_means",
    "MeanNetwork",
    "CameraProxies",
    "InstanceMemory",
    "TeacherSettings",
    "cluster_nce",
    "batch_hard",
    "softmax_triplet",
    "consistency",
    "soft_cross_entropy",
    "soft_labels",
    "two_prototypes",
    "neighbour_weights",
    "refined_labels",
    "neighbour_agreement",
    "inter_camera",
    "many_instances",
    "ScheduleSettings",
    "SgdSettings",
    "step",
    "averaged",
    "set_rate",
]
