"""Two prototypes per cluster: one for all images, one for hard ones."""

import torch.nn.functional as F
from torch import Tensor

from reseen.losses.contrastive import cluster_nce


def two_prototypes(
    vectors: Tensor,
    mean: Tensor,
    hard: Tensor,
    targets: Tensor,
    temperature: float,
    margin: float,
) -> Tensor:
    """Classify each image by mean prototypes, and by hard prototypes up to a margin.

    1/2 [ CE(x . mean / t) + max(0, CE(x . hard / t) - r) ], with each CE averaged over the batch.

    Source: Zou et al., Discrepant and Multi-Instance Proxies for Unsupervised Person
    Re-Identification (DCMIP), ICCV 2023. The public re-implementation swaps the names of the two
    halves of its memory; the margin belongs to the hard one.

    Args:
        vectors: (B, D) unit rows.
        mean: (K, D) unit rows, updated with the mean of their images.
        hard: (K, D) unit rows, updated with their least similar image.
        targets: (B,) int64, the cluster of each image, 0..K-1.
        temperature: t; smaller is sharper.
        margin: r, below which the second term is 0.

    Returns:
        A scalar.
    """
    strict = F.relu(cluster_nce(vectors, hard, targets, temperature) - margin)
    return (cluster_nce(vectors, mean, targets, temperature) + strict) / 2
