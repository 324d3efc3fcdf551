"""Soft labels: a weight of each cluster for each image."""

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_labels(
    points: Tensor,
    centres: Tensor,
    own: Tensor,
    *,
    epsilon: float = 0.9,
    floor: float = 0.1,
    normalised: bool = False,
) -> Tensor:
    """Weight each cluster by 1 / (K d^2), with epsilon more for the image's own cluster.

    The weights in the paper depend on the scale of the points: if squared distances are in the
    hundreds, they are nearly hard labels; if they are around 0.1, nearly all weight is on other
    clusters.

    Source: Huang et al., Domain Adaptive Attention Learning (DAAL), AAAI 2020, Eq. 4. The floor and
    the normalisation are not in the paper, whose weights have no bound near a centre.

    Args:
        points: (B, D).
        centres: (K, D), means of the clusters.
        own: (B,) int64, the cluster of each point, 0..K-1.
        epsilon: minimum weight of the own cluster.
        floor: lower bound for squared distances.
        normalised: whether to scale the rest of the weights to a sum of 1 - epsilon, so that the
            weights of a point sum to 1 at any scale.

    Returns:
        (B, K) weights, for `torch.nn.functional.cross_entropy` (Eq. 5).
    """
    squared = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
    weights = 1 / (len(centres) * squared.clamp(min=floor))
    if normalised:
        weights *= (1 - epsilon) / weights.sum(1, keepdim=True)
    return weights + epsilon * F.one_hot(own, len(centres))
