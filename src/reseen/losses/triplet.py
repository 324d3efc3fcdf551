"""Triplet losses with the hardest examples of a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def squared_distances(vectors: Tensor) -> Tensor:
    """Give the squared Euclidean distances of vectors (B, D) to each other: (B, B), 0 or more."""
    squares = vectors.pow(2).sum(1)
    return (squares[:, None] + squares - 2 * vectors @ vectors.T).clamp(min=0)


def hardest(distances: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Pick each image's farthest of its own cluster and nearest of another.

    Args:
        distances: (B, B).
        targets: (B,) clusters; at least two different ones.

    Returns:
        (B,) distances to the hardest positive, and (B,) to the hardest negative.

    Source: Hermans et al., In Defense of the Triplet Loss, 2017, Eq. 5.
    """
    same = targets[:, None] == targets
    positive = distances.masked_fill(~same, -torch.inf).amax(1)
    negative = distances.masked_fill(same, torch.inf).amin(1)
    return positive, negative


def batch_hard_triplet(vectors: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Ask the hardest positive to be nearer than the hardest negative by a margin.

    max(0, |g - g+|^2 - |g - g-|^2 + m), averaged over the batch.

    Source: Ji et al., ADTC, ECCV 2020, Eq. 6: distances are squared, unlike those of Hermans et al.

    Args:
        vectors: (B, D).
        targets: (B,) clusters; at least two different ones.
        margin: m, in squared distance.

    Returns:
        A scalar.
    """
    positive, negative = hardest(squared_distances(vectors), targets)
    return F.relu(positive - negative + margin).mean()


def softmax_triplet(vectors: Tensor, targets: Tensor) -> Tensor:
    """Ask the hardest negative to be farther than the hardest positive, softly.

    -log( exp(d-) / (exp(d-) + exp(d+)) ), averaged over the batch.

    Source: Yin et al., ConsLearn, Eq. 8. There minus the distances stand in the place of the
    distances, which would pull negatives in; here, as in Ge et al., Mutual Mean-Teaching, ICLR
    2020, Eq. 7, they do not.

    Args:
        vectors: (B, D).
        targets: (B,) clusters; at least two different ones.

    Returns:
        A scalar.
    """
    distances = squared_distances(vectors).clamp(min=1e-12).sqrt()  # no slope at 0
    positive, negative = hardest(distances, targets)
    return F.softplus(positive - negative).mean()
