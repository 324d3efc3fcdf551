"""How much horizontal stripes and cameras count when images are compared."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reseen.checks import at_least, one_of, shares
from reseen.kernels.centring import CENTRINGS, centre_where_known, centring_remarks
from reseen.kernels.dissimilarity import stripe_weights


@dataclass(frozen=True, kw_only=True)
class StripeSettings:
    """Parts of the distance between two images beside that of the whole.

    Source: Lin et al., Softened Similarity Learning (SSL), CVPR 2020, Eqs. 5 to 7. The defaults
    leave both out, as BUC does.
    """

    parts: int = 8
    """Horizontal stripes (p), where they count. SSL: 8."""
    part_weight: float = 0.0
    """Share of the stripes in the distance (lambda_p); 0 leaves them out. SSL: 0.5; BUC: 0."""
    camera_weight: float = 0.0
    """What images of one camera are farther apart (lambda_c); 0 leaves it out. SSL: 0.02; BUC:
    0."""
    centring: str = "off"
    """What is taken out of the features of each camera before images are compared: off (nothing),
    mean, or deviation (mean and deviation). Nothing where no two cameras have 50 crops. Published:
    off."""

    def __post_init__(self):
        one_of(self, CENTRINGS, "centring")
        at_least(self, 1, "parts")
        at_least(self, 0, "camera_weight")
        shares(self, "part_weight")

    @property
    def weights(self) -> np.ndarray:
        """Weights of the whole and of each stripe that counts."""
        return stripe_weights(self.parts, self.part_weight)

    def centred(self, features: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        """Give the features (S, N, D) by which images are compared."""
        return np.stack([centre_where_known(rows, cameras, self.centring) for rows in features])

    def remarks(self, images: int, cameras: np.ndarray) -> list[str]:
        """Say what these settings mean for N images by cameras (N,), where that is unexpected."""
        return centring_remarks(self.centring, cameras)

    def cost(self, cameras: np.ndarray) -> dict[str, Any]:
        """Give what the kernels want to know of cameras (N,)."""
        return {"cameras": cameras, "camera_weight": self.camera_weight}
