"""Select reliable clusters: those that a slightly larger or smaller eps would hardly change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reseen.checks import above_zero, below_one
from reseen.cluster.numbering import by_appearance
from reseen.records import NOISE, PseudoLabels


@dataclass(frozen=True, kw_only=True)
class SelfPacedSettings:
    """Criteria by which SpCL selects reliable clusters (`SelfPaced`)."""

    eps_gap: float = 0.02
    """Amount by which eps is raised and lowered to test the clusters. SpCL: 0.02."""
    independence: bool = True
    """Dissolve clusters that merge with others at the larger eps (R_indep). SpCL: yes."""
    compactness: bool = True
    """Remove images that leave their cluster at the smaller eps (R_comp). SpCL: yes."""
    independent_share: float = 0.9
    """Share of the clusters of the first round that count as independent. This sets a threshold for
    all rounds. SpCL: 0.9."""

    def __post_init__(self):
        above_zero(self, "eps_gap")
        below_one(self, "independent_share")


class SelfPaced:
    """Keeps reliable clusters, by a threshold that is set in the first round.

    Source: Ge et al., SpCL, NeurIPS 2020, Sec. 3.2. As in the authors' code, noise images are
    clusters of one image, and a cluster is as independent as its most independent image.

    Args:
        settings: the criteria.

    Attributes:
        threshold: the minimum independence of a cluster (alpha), 0 to 1; None before the first
            round.
    """

    def __init__(self, settings: SelfPacedSettings):
        self.settings = settings
        self.threshold: float | None = None

    def keep(self, tight: np.ndarray, ids: np.ndarray, loose: np.ndarray) -> PseudoLabels:
        """Keep the reliable parts of clusters; everything else becomes noise.

        An image is kept if its cluster is independent, and if it is as compact as the most compact
        image of the cluster (the threshold beta). An image that is left alone becomes noise too.

        Args:
            tight: (N,) clusters at a smaller eps, 0..K-1 or NOISE.
            ids: (N,) the clusters to select from.
            loose: (N,) clusters at a larger eps.
        """
        clustered = np.flatnonzero(ids != NOISE)
        own = ids[clustered]
        best = np.zeros(own.max(initial=-1) + 1)
        independence, compactness = best.copy(), best.copy()
        np.maximum.at(independence, own, overlap(ids, loose)[clustered])
        compact = overlap(ids, tight)[clustered]
        np.maximum.at(compactness, own, compact)
        if self.threshold is None and len(best):
            place = min(len(best) - 1, round(self.settings.independent_share * len(best)))
            self.threshold = float(np.sort(independence)[::-1][place])
        kept = np.full(len(own), True)
        if self.settings.independence and self.threshold is not None:
            kept &= independence[own] >= self.threshold
        if self.settings.compactness:
            kept &= compact >= compactness[own]
        counts = np.bincount(own[kept], minlength=len(best))
        kept &= counts[own] > 1
        found = np.full(len(ids), NOISE)
        found[clustered[kept]] = own[kept]
        return PseudoLabels(by_appearance(found))

    def state_dict(self) -> dict[str, Any]:
        """Return what the next round depends on."""
        return {"threshold": self.threshold}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.threshold = state["threshold"]


def overlap(ids: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the overlap of each image's clusters in two labellings: intersection over union.

    Source: Ge et al., SpCL, NeurIPS 2020, Sec. 3.2, R_indep and R_comp.

    Args:
        ids: (N,) clusters, 0..K-1 or NOISE, where each noise image is its own cluster.
        others: (N,) the same of another labelling.

    Returns:
        (N,) above 0, at most 1.

    Memory: O(N).
    """
    one, other = (_alone(labels) for labels in (ids, others))
    _, pair, together = np.unique([one, other], axis=1, return_inverse=True, return_counts=True)
    shared = together[pair.ravel()]
    return shared / (np.bincount(one)[one] + np.bincount(other)[other] - shared)


def _alone(labels: np.ndarray) -> np.ndarray:
    """Make each noise image a cluster of its own."""
    noise = labels == NOISE
    alone = labels.copy()
    alone[noise] = labels.max(initial=NOISE) + 1 + np.arange(np.count_nonzero(noise))
    return alone
