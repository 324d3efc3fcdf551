"""What untrained features tell about the data, above all how many images show one person.

The images are clustered with many settings. The settings whose labels are stable, with little noise
and no giant cluster, show how many images belong together, and so which settings are suitable.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from reseen.cluster.density import swept
from reseen.errors import SettingsError, counted
from reseen.kernels.approximate import nearest_of_many
from reseen.kernels.reciprocal import encode

TRIED_K1 = (6, 8, 10, 12, 15, 20, 25, 30)
"""The values of k1 that `survey` tries, up to half of the number of images."""
TRIED_EPS = np.array([0.4, 0.45, 0.5, 0.55, 0.6, 0.65])
"""The values of eps that `survey` tries; the first and the last only measure stability."""
TOLERANCE = 0.98
"""Settings count if their balance is at least this share of the best one."""
FACTOR = 1.5
"""k1 as a multiple of the expected images per person."""
LEAST_K1, LEAST_IMAGES = 10, 5
"""The smallest k1 if there are enough images, and the number of expected images per person from
which a core point needs the usual 4 images instead of 2."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What N images are like for the encoder that training starts from."""

    images: int
    """Number of images, N."""
    cameras: int
    """Number of known cameras."""
    per_person: float
    """Expected images per person: the size of the cluster of a typical image, unless it was
    given."""
    clusters: tuple[float, float]
    """Smallest and largest number of clusters to expect: half and twice N / per_person, at least
    2."""
    k1: int
    """Number of neighbours of an image: 1.5 times per_person, 10 to 30, at most N / 2."""
    k2: int
    """Number of neighbours to average over: two fifths of k1, at most 6."""
    eps: float
    """Radius of DBSCAN, 0.45 to 0.55, with the best balance (see `Sweep.suggest`)."""
    min_samples: int
    """Number of images for a core point: 4, or 2 if fewer than 5 images per person are expected."""
    found: int
    """Number of clusters with these settings before training."""
    noise: float
    """Share of images that are then in no cluster."""

    @property
    def expected(self) -> int:
        """The expected number of clusters."""
        return max(1, round(self.images / self.per_person))


def survey(
    features: np.ndarray, cameras: np.ndarray | None = None, per_person: float | None = None
) -> Survey:
    """Analyse the neighbourhoods of images before training.

    Args:
        features: (N, D) unit rows of the encoder that training starts from.
        cameras: (N,) int, -1 if unknown; or None.
        per_person: images per person, 1 to N, if known; None estimates them.

    Returns:
        A `Survey`. On subsets of real crops, drawn by identity, with 4 to 17 images per person, the
        estimate was 0.45 to 2 times the true mean
        (docs/explanation/automatic-settings.md).

    Raises:
        DataError: features are not finite unit rows.
        SettingsError: per_person is less than 1 or more than N.

    Memory: O(N k1 k2), with k1 up to 30; never N x N. Time: one search for neighbours, then
    clustering with 8 k1 and 6 eps.
    """
    return survey_encoded(features, cameras, per_person)[0]


def survey_encoded(
    features: np.ndarray, cameras: np.ndarray | None = None, per_person: float | None = None
) -> tuple[Survey, sparse.csr_matrix]:
    """Do as `survey`, and also return the encoding (N, N) of the images with its k1 and k2."""
    n = len(features)
    check_per_person(per_person, n)
    most = max(2, n // 2)
    tried = [k1 for k1 in TRIED_K1 if k1 <= most] or [most]
    ranks, near = nearest_of_many(features, min(tried[-1], n))

    def encoded(k1: int, k2: int) -> sparse.csr_matrix:
        narrow, found = ranks[:, :k1], near[:, :k1]
        return encode(features, narrow, k1, round(k1 / 2) + 1, k2, similarities=found)

    if per_person is None:
        sizes, balances = [], []
        for k1 in tried:
            sweep = swept(encoded(k1, _part(k1, 0.25)), TRIED_EPS, 2)
            sizes += [_typical_size(labels) for labels in sweep.labels[1:-1]]
            balances += list(sweep.balance[1:-1])
        count = np.array(balances)
        alike = np.array(sizes)[count >= TOLERANCE * count.max()]
        per_person = float(np.clip(np.exp(np.log(alike).mean()), 1, max(n, 1)))
    k1 = int(np.clip(round(FACTOR * per_person), min(LEAST_K1, tried[-1]), tried[-1]))
    k2, min_samples = _part(k1, 0.4), 2 if per_person < LEAST_IMAGES else 4
    encoding = encoded(k1, k2)
    sweep = swept(encoding, TRIED_EPS, min_samples)
    best = 1 + int(np.argmax(sweep.balance[1:-2] - 1e-6 * np.abs(TRIED_EPS[1:-2] - 0.5)))
    middle = n / per_person
    found = Survey(
        images=n,
        cameras=0 if cameras is None else len(np.unique(cameras[cameras >= 0])),
        per_person=per_person,
        clusters=(float(np.clip(middle / 2, 2, n)), float(np.clip(2 * middle, 2, n))),
        k1=k1,
        k2=k2,
        eps=float(TRIED_EPS[best]),
        min_samples=min_samples,
        found=int(sweep.clusters[best]),
        noise=float(sweep.noise[best]),
    )
    return found, encoding


def check_per_person(given: float | None, images: int) -> None:
    """Check that the given number of images per person is possible.

    Args:
        given: images per person, or None.
        images: N.

    Raises:
        SettingsError: it is less than 1 or more than N.
    """
    if given is not None and not 1 <= given <= images:
        raise SettingsError(
            f"images_per_person is {given:g} for {counted(images, 'image')}. Use a number from 1 "
            f"to {images}, or leave it out to have it estimated."
        )


def _part(k1: int, share: float) -> int:
    """Return a k2 that is a share of k1, 1 to 6 (published: 6 with k1 30)."""
    return int(np.clip(round(share * k1), 1 if k1 < 4 else 2, 6))


def _typical_size(labels: np.ndarray) -> float:
    """Return the size of the cluster of a typical image, without noise."""
    sizes = np.bincount(labels[labels >= 0])
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0
