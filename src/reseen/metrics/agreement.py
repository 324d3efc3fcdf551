"""Agreement of pseudo-labels with the identities, and with those of the round before."""

import math

import numpy as np

from reseen.errors import DataError
from reseen.records import NOISE, PseudoLabels


def agreement(labels: PseudoLabels, person: np.ndarray) -> dict[str, float]:
    """Compare clusters with identities.

    In all metrics except nmi_labelled, each noise point is its own cluster: a singleton for NMI and
    ARI, and without any predicted pair, so that the pairs with its own person are missed.

    Args:
        labels: pseudo-labels of N images.
        person: (N,) int, the person on each image.

    Returns:
        nmi (normalised by the arithmetic mean of the entropies), nmi_labelled (by the geometric
        mean, over the images in clusters only; 0 if there are none), ari, pairwise_f, precision and
        recall (over pairs of images; 0 if there is no pair), clusters, and noise (share of images).

    Raises:
        DataError: persons and labels differ in number.

    Source: Strehl & Ghosh, JMLR 2002 (NMI); Ji et al., ADTC, ECCV 2020, Eq. 7 (nmi_labelled);
    Hubert & Arabie, 1985 (ARI).
    """
    if np.shape(person) != labels.ids.shape:
        raise DataError(
            f"{len(labels.ids)} images have labels, but {len(person)} have persons. "
            "Give both for the same images in the same order."
        )
    person, kept = np.asarray(person), labels.ids != NOISE
    table = _Table(_alone(labels.ids), person)
    labelled = _Table(labels.ids[kept], person[kept])
    precision = _share(table.both, table.left)
    recall = _share(table.both, table.right)
    return {
        "nmi": table.nmi(),
        "nmi_labelled": labelled.nmi(geometric=True) if kept.any() else 0.0,
        "ari": table.ari(),
        "pairwise_f": _share(2 * precision * recall, precision + recall),
        "precision": precision,
        "recall": recall,
        "clusters": labels.clusters,
        "noise": labels.noise,
    }


def stability(before: PseudoLabels, after: PseudoLabels) -> float:
    """Measure the agreement with the clusters of the last round by ARI, without identities.

    Only images that are in clusters in both rounds count.

    Args:
        before: pseudo-labels of N images.
        after: pseudo-labels of the same images in the same order, a round later.

    Returns:
        1 for the same clusters, about 0 for unrelated ones; NaN if fewer than 2 images count.

    Raises:
        DataError: the rounds label different numbers of images.

    Source: Hubert & Arabie, Comparing partitions, Journal of Classification 1985.
    """
    if before.ids.shape != after.ids.shape:
        raise DataError(
            f"One round labels {len(before.ids)} images, the other {len(after.ids)}. "
            "Compare rounds with the same images."
        )
    kept = (before.ids != NOISE) & (after.ids != NOISE)
    if kept.sum() < 2:
        return float("nan")
    return _Table(before.ids[kept], after.ids[kept]).ari()


class _Table:
    """Sparse contingency table of two labellings, O(N)."""

    def __init__(self, left, right):
        _, left = np.unique(left, return_inverse=True)
        _, right = np.unique(right, return_inverse=True)
        width = right.max(initial=0) + 1
        cells, self._counts = np.unique(left * width + right, return_counts=True)
        self._lefts = np.bincount(left)[cells // width]
        self._rights = np.bincount(right)[cells % width]
        self._sizes = np.bincount(left), np.bincount(right)
        self.left, self.right = map(_pairs, self._sizes)
        self.both = _pairs(self._counts)
        self.all = _pairs(np.array([len(left)]))

    def ari(self):
        """Hubert & Arabie 1985: (index - expected) / (largest - expected)."""
        expected = self.left * self.right / max(self.all, 1)
        largest = (self.left + self.right) / 2
        return (self.both - expected) / (largest - expected) if largest != expected else 1.0

    def nmi(self, geometric=False):
        """Mutual information over the mean entropy; 1 if both labellings are one cluster."""
        n = max(self._counts.sum(), 1)
        share = self._counts / n
        mutual = float(np.sum(share * np.log(self._counts * n / (self._lefts * self._rights))))
        left, right = (max(0.0, -float(np.sum(s / n * np.log(s / n)))) for s in self._sizes)
        entropy = math.sqrt(left * right) if geometric else (left + right) / 2
        if not entropy:
            return float(left == right)
        return min(1.0, max(0.0, mutual / entropy))


def _alone(ids: np.ndarray) -> np.ndarray:
    """Make each noise point its own cluster."""
    ids = ids.copy()
    noise = ids == NOISE
    ids[noise] = ids.max(initial=NOISE) + 1 + np.arange(noise.sum())
    return ids


def _pairs(sizes: np.ndarray) -> int:
    sizes = sizes.astype(np.int64)
    return int(np.sum(sizes * (sizes - 1) // 2))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
