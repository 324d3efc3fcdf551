"""Contrastive losses between images and the memory of their clusters."""

import torch.nn.functional as F
from torch import Tensor


def cluster_nce(vectors: Tensor, centres: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Pull each image towards the centre of its own cluster, and away from all others.

    -log( exp(x . c_own / t) / sum over k of exp(x . c_k / t) ), averaged over the batch.

    Source: Dai et al., Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022,
    Eq. 2 (ClusterNCE); MLA Eq. 1.

    Args:
        vectors: (B, D) unit rows.
        centres: (K, D) unit rows.
        targets: (B,) int64, the cluster of each image, 0..K-1.
        temperature: t; smaller is sharper.

    Returns:
        A scalar.
    """
    return F.cross_entropy(vectors @ centres.T / temperature, targets)
