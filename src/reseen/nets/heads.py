"""Heads between the vectors of an encoder and the losses, which are dropped after training."""

import torch.nn.functional as F
from torch import Tensor, nn

from reseen.errors import SettingsError

PROJECTIONS = ("none", "linear", "shared")
INITS = ("uniform", "normal")


class ProjectionHead(nn.Module):
    """Project vectors for the consistency loss (g) and for the classifier (f).

    Source: Yin et al., ConsLearn, Eq. 1 and Fig. 3: no projection, a linear one for each, or one
    that both share.

    Args:
        dimensions: D of the vectors.
        size: size of the output (Omega).
        kind: none, linear or shared.
        init: of the weights: uniform, as in PyTorch's linear layer, or normal, with variance 2 /
            size (He et al., ICCV 2015, by the outputs).

    Attributes:
        project: vectors (B, D) to (B, size), for the consistency loss.

    Raises:
        SettingsError: kind or init is unknown.
    """

    def __init__(self, dimensions: int, size: int, kind: str, init: str = "uniform"):
        super().__init__()
        for name, value, known in (("projection", kind, PROJECTIONS), ("init", init, INITS)):
            if value not in known:
                raise SettingsError(f"{name} is {value!r}. Use one of: {', '.join(known)}.")
        self.project, self._own = (
            nn.Linear(dimensions, size, bias=False) if there else nn.Identity()
            for there in (kind != "none", kind == "linear")
        )
        self._shared = kind == "shared"
        if init == "normal":
            for weight in self.parameters():
                nn.init.kaiming_normal_(weight, mode="fan_out")

    def classify(self, vectors: Tensor) -> Tensor:
        """Return the input of the classifier (B, size) for vectors (B, D)."""
        return (self.project if self._shared else self._own)(vectors)


def classifier(centres: Tensor) -> nn.Linear:
    """Create a linear classifier whose initial weights are one vector per cluster.

    Source: authors' code of Ge et al., Mutual Mean-Teaching, ICLR 2020.

    Args:
        centres: (K, D), of any length above 0.
    """
    layer = nn.Linear(centres.shape[1], len(centres), bias=False, device=centres.device)
    layer.weight.data.copy_(F.normalize(centres))
    return layer
