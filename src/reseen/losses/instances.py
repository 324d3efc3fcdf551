"""Multi-instance loss: the farthest image of the own cluster, and the nearest of each other."""

import torch
import torch.nn.functional as F
from torch import Tensor


def many_instances(
    vectors: Tensor, instances: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """Compare each image with the hardest stored image of each cluster.

    Cross-entropy of similarities / t, where the logit of the own cluster is the lowest similarity
    to its stored images, and that of every other cluster the highest.

    Source: Zou et al., DCMIP, ICCV 2023, multi-instance proxies.

    Args:
        vectors: (B, D) unit rows.
        instances: (K, V, D) unit rows, V images of each cluster.
        targets: (B,) int64, the cluster of each image, 0..K-1.
        temperature: t; smaller is sharper.

    Returns:
        A scalar. Memory: O(B K V).
    """
    similar = torch.einsum("bd,kvd->bkv", vectors, instances)
    own = F.one_hot(targets, len(instances)).bool()
    hardest = torch.where(own, similar.amin(2), similar.amax(2))
    return F.cross_entropy(hardest / temperature, targets)
