"""Consistency of two views of the same images."""

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(scores: Tensor, wanted: Tensor) -> Tensor:
    """Compare two softmax distributions: H(P, Q) = -sum P log Q, averaged over the batch.

    Source: Yin et al., ConsLearn, Eqs. 3, 4 and 6.

    Args:
        scores: (B, D), Q before its softmax; it learns.
        wanted: (B, D), P before its softmax; no gradient reaches it.

    Returns:
        A scalar.
    """
    return F.cross_entropy(scores, wanted.detach().softmax(1))


def consistency(views: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Ask each view to foresee what the mean network sees of the other: H(w1, v2) + H(w2, v1).

    Source: Yin et al., ConsLearn, Eq. 6.

    Args:
        views: two of (B, D), projected.
        wanted: two of (B, D), the mean network's; no gradient reaches them.

    Returns:
        A scalar.
    """
    (first, second), (wanted_first, wanted_second) = views, wanted
    return soft_cross_entropy(second, wanted_first) + soft_cross_entropy(first, wanted_second)
