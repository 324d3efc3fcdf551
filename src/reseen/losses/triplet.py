"""Triplet losses."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hardest(distances: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Find the farthest positive and the nearest negative of each vector in the batch.

    Args:
        distances: (B, B).
        ids: (B,) identities; at least two different ones, each at least twice.

    Returns:
        (B,) distances to the farthest positive, and (B,) to the nearest negative.

    Source: Hermans et al., In Defense of the Triplet Loss, 2017, Eq. 5.
    """
    same = ids[:, None] == ids
    own = distances.masked_fill(~same, -torch.inf).amax(1)
    other = distances.masked_fill(same, torch.inf).amin(1)
    return own, other


def batch_hard(vectors: Tensor, ids: Tensor, margin: float, *, squared: bool = False) -> Tensor:
    """Batch-hard triplet loss: the farthest positive must be nearer than the nearest negative.

    Args:
        vectors: (B, D).
        ids: (B,) identities; at least two different ones, each at least twice.
        margin: margin, in units of the distance.
        squared: whether to use squared Euclidean distances.

    Returns:
        The mean over the batch of max(0, margin + own - other).

    Source: Hermans et al., 2017, Eq. 5; squared, Ji et al., ADTC, ECCV 2020, Eq. 6.
    """
    own, other = hardest(euclidean(vectors, squared=squared), ids)
    return F.relu(margin + own - other).mean()


def softmax_triplet(vectors: Tensor, ids: Tensor) -> Tensor:
    """Softmax-triplet loss of the farthest positive and the nearest negative of each image.

    Args:
        vectors: (B, D).
        ids: (B,) identities; at least two different ones.

    Returns:
        The mean over the batch of -log( exp(other) / (exp(other) + exp(own)) ).

    Source: Yin et al., ConsLearn, Eq. 8. That equation has the distances with a minus sign, which
    would attract negatives; here the sign is that of Ge et al., Mutual Mean-Teaching, ICLR 2020,
    Eq. 7.
    """
    own, other = hardest(euclidean(vectors), ids)
    return F.softplus(own - other).mean()


def soft_triplet(vectors: Tensor, wanted: Tensor, ids: Tensor) -> Tensor:
    """Make triplets as well separated as they are for another network.

    The separation of a triplet is T = exp(other) / (exp(other) + exp(own)), of the distances to the
    farthest positive and to the nearest negative, which `vectors` select for both networks.

    Args:
        vectors: (B, D), which get gradients.
        wanted: (B, D) of the same images from another network, without gradient.
        ids: (B,) identities; at least two different ones.

    Returns:
        The mean over the batch of the binary cross-entropy of T between both.

    Source: Ge et al., Mutual Mean-Teaching, ICLR 2020, Eqs. 6 and 8.
    """
    same, gaps = ids[:, None] == ids, euclidean(vectors)
    own = gaps.masked_fill(~same, -torch.inf).argmax(1, keepdim=True)
    other = gaps.masked_fill(same, torch.inf).argmin(1, keepdim=True)

    def clear(distances: Tensor) -> Tensor:
        return distances.gather(1, other) - distances.gather(1, own)

    target = clear(euclidean(wanted.detach())).sigmoid()
    return F.binary_cross_entropy_with_logits(clear(gaps), target)


def euclidean(vectors: Tensor, *, squared: bool = False) -> Tensor:
    """Compute the Euclidean distances (B, B) between vectors (B, D), or their squares."""
    squares = vectors.pow(2).sum(1)
    gaps = (squares[:, None] + squares - 2 * vectors @ vectors.T).clamp(min=1e-12)
    return gaps if squared else gaps.sqrt()
