"""Consistency between two views of the same images."""

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(scores: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of two softmax distributions: H(P, Q) = -sum P log Q, averaged over the batch.

    Source: Yin et al., ConsLearn, Eqs. 3, 4 and 6.

    Args:
        scores: (B, D), logits of Q, which get gradients.
        wanted: (B, D), logits of P, which get no gradients.

    Returns:
        A scalar.
    """
    return F.cross_entropy(scores, wanted.detach().softmax(1))


def consistency(views: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Make each view predict the mean network's output for the other: H(w1, v2) + H(w2, v1).

    Source: Yin et al., ConsLearn, Eq. 6.

    Args:
        views: projected vectors of both views, each (B, D).
        wanted: vectors of both views by the mean network, each (B, D); they get no gradients.

    Returns:
        A scalar.
    """
    (first, second), (wanted_first, wanted_second) = views, wanted
    return soft_cross_entropy(second, wanted_first) + soft_cross_entropy(first, wanted_second)
