"""Heads: what stands between the vectors of an encoder and the losses, and is dropped after."""

import torch.nn.functional as F
from torch import Tensor, nn

from reseen.errors import SettingsError

PROJECTIONS = ("none", "linear", "shared")


class ProjectionHead(nn.Module):
    """Project vectors for the consistency loss (g) and for the classifier (f).

    Source: Yin et al., ConsLearn, Eq. 1 and Fig. 3: no projection, a linear one for each, or one
    that both share.

    Args:
        dimensions: D of the vectors.
        size: numbers that come out (Omega).
        kind: none, linear or shared.

    Attributes:
        project: vectors (B, D) to (B, size), for the consistency loss.

    Raises:
        SettingsError: no such kind.
    """

    def __init__(self, dimensions: int, size: int, kind: str):
        super().__init__()
        if kind not in PROJECTIONS:
            raise SettingsError(f"projection is {kind!r}. Use one of: {', '.join(PROJECTIONS)}.")
        self.project, self._own = (
            nn.Linear(dimensions, size, bias=False) if there else nn.Identity()
            for there in (kind != "none", kind == "linear")
        )
        self._shared = kind == "shared"

    def classify(self, vectors: Tensor) -> Tensor:
        """Give what the classifier sees of vectors (B, D): (B, size)."""
        return (self.project if self._shared else self._own)(vectors)


def classifier(centres: Tensor) -> nn.Linear:
    """Make a linear classifier that starts from one vector a cluster.

    Source: authors' code of Ge et al., Mutual Mean-Teaching, ICLR 2020.

    Args:
        centres: (K, D), of any length above 0.
    """
    layer = nn.Linear(centres.shape[1], len(centres), bias=False, device=centres.device)
    layer.weight.data.copy_(F.normalize(centres))
    return layer
