"""Labels refined by neighbours: predictions for the nearest images in the batch count as well.

Source of everything here: Tai et al., Neighbor Consistency and Global-Local Interaction (NCPLR),
TIFS 2024, and its authors' code (haichuntai/NCPLR-ReID). There the scores come from a linear layer
that is initialised with the centroids in each round; here the memory of the clusters may be used.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def neighbour_weights(distances: Tensor, temperature: float, *, farther: bool = False) -> Tensor:
    """Compute the weights of the neighbours of each image by a softmax over distances.

    Args:
        distances: (B, B) distances of the images of a batch, infinite between images that are not
            neighbours, and 0 on the diagonal.
        temperature: temperature of the softmax over the negative distances.
        farther: whether to use the positive distances instead, as the authors' code does, so that
            farther neighbours have more weight.

    Returns:
        (B, B) rows that sum to 1, with 0 for images that are not neighbours.
    """
    near = distances.isfinite()
    sign = 1.0 if farther else -1.0
    return (sign * distances / temperature).masked_fill(~near, -torch.inf).softmax(1)


def refined_labels(
    scores: Tensor, taught: Tensor, targets: Tensor, weights: Tensor, own: float
) -> Tensor:
    """Mix the label of each image with the predictions for its neighbours.

    q_i = a onehot(y_i) + (1 - a) sum_j w_ij p_j, where p_j is the mean prediction of encoder and
    teacher.

    Args:
        scores: (B, K) logits of the encoder; they get no gradients.
        taught: (B, K) logits of the teacher.
        targets: (B,) int64, y, 0..K-1.
        weights: (B, B) w, rows that sum to 1.
        own: a, the share of the label, 0 to 1.

    Returns:
        (B, K) rows that sum to 1, for `torch.nn.functional.cross_entropy`.
    """
    said = (scores.detach().softmax(1) + taught.detach().softmax(1)) / 2
    label = F.one_hot(targets, scores.shape[1]).to(said.dtype)
    return own * label + (1 - own) * (weights @ said)


def neighbour_agreement(scores: Tensor, taught: Tensor, distances: Tensor) -> Tensor:
    """Make the mean prediction for the neighbours of an image agree with the teacher's for it.

    KL( mean of p_j over the neighbours j of i, including i, || p'_i ), averaged over the batch.

    Args:
        scores: (B, K) logits of the encoder.
        taught: (B, K) logits of the teacher; they get no gradients.
        distances: (B, B) as in `neighbour_weights`.

    Returns:
        A scalar.
    """
    near = distances.isfinite().to(scores.dtype)
    mean = (near / near.sum(1, keepdim=True)) @ scores.softmax(1)
    return F.kl_div(taught.detach().log_softmax(1), mean, reduction="batchmean")


def ramp(done: int, rounds: int) -> float:
    """Return a weight that rises over a run: exp(-5 (1 - done / rounds)^2), from 0.007 to 1.

    Args:
        done: number of finished rounds.
        rounds: number of rounds of the run.
    """
    return math.exp(-5 * (1 - done / rounds) ** 2)
