"""Distances between images that include horizontal stripes and cameras."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reseen.checks import at_least, one_of, shares
from reseen.kernels.centring import CENTRINGS, centre_where_known, centring_remarks
from reseen.kernels.dissimilarity import stripe_weights


@dataclass(frozen=True, kw_only=True)
class StripeSettings:
    """Terms of the distance between two images in addition to that of the whole images.

    Source: Lin et al., Softened Similarity Learning (SSL), CVPR 2020, Eqs. 5 to 7. The defaults
    leave both out, as BUC does.
    """

    parts: int = 8
    """Number of horizontal stripes (p), if part_weight is above 0. SSL: 8."""
    part_weight: float = 0.0
    """Weight of the stripes in the distance (lambda_p); 0 turns them off. SSL: 0.5; BUC: 0."""
    camera_weight: float = 0.0
    """Added to the distance of images from the same camera (lambda_c); 0 turns it off. SSL: 0.02;
    BUC: 0."""
    centring: str = "off"
    """How to centre the features of each camera before images are compared: off, mean (subtract the
    mean) or deviation (also divide by the standard deviation). Has no effect if fewer than two
    cameras have 50 crops. Published: off."""

    def __post_init__(self):
        one_of(self, CENTRINGS, "centring")
        at_least(self, 1, "parts")
        at_least(self, 0, "camera_weight")
        shares(self, "part_weight")

    @property
    def weights(self) -> np.ndarray:
        """Weights of the whole image and of each stripe that is used."""
        return stripe_weights(self.parts, self.part_weight)

    def centred(self, features: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        """Return the features (S, N, D) by which images are compared."""
        return np.stack([centre_where_known(rows, cameras, self.centring) for rows in features])

    def remarks(self, images: int, cameras: np.ndarray) -> list[str]:
        """Return messages about what these settings mean for N images, if it may be unexpected."""
        return centring_remarks(self.centring, cameras)

    def cost(self, cameras: np.ndarray) -> dict[str, Any]:
        """Return the arguments of the kernels that depend on the cameras (N,)."""
        return {"cameras": cameras, "camera_weight": self.camera_weight}
