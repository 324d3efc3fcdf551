"""Density-based pseudo-labels: k-reciprocal Jaccard distances and DBSCAN.

Most unsupervised re-identification does this since Ge et al., Self-paced Contrastive Learning with
Hybrid Memory (SpCL), NeurIPS 2020.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from reseen.checks import AUTO, Auto, at_least, one_of, settled, shares
from reseen.cluster.numbering import by_appearance
from reseen.errors import SettingsError, counted
from reseen.kernels.approximate import MANY, nearest_approximate, recall_on_sample
from reseen.kernels.centring import CENTRINGS, centre_where_known, centring_remarks
from reseen.kernels.components import density_labels
from reseen.kernels.jaccard import jaccard_graph, jaccard_kth, smallest_mean
from reseen.kernels.joined import nearest_by_camera
from reseen.kernels.neighbours import nearest
from reseen.kernels.reciprocal import average, encode
from reseen.kernels.whitening import whitened
from reseen.records import NOISE, PseudoLabels

EPS = tuple(round(0.3 + 0.05 * step, 2) for step in range(11))
"""The values of eps that `sweep` tries by default: 0.3 to 0.8."""
NEIGHBOURS = ("exact", "approximate")
Note = Callable[..., None]
"""Gets numbers by name, such as `recall=0.99`."""
SAMPLE = 512
"""Number of images on which the recall of approximate neighbours is measured."""


@dataclass(frozen=True, kw_only=True)
class DensitySettings:
    """Clustering by k-reciprocal Jaccard distances and DBSCAN (`jaccard_dbscan`).

    The defaults are those of SpCL and Cluster Contrast; each method sets those of its paper.
    """

    k1: int | Auto = 30
    """Number of nearest neighbours, including the image itself, among which the k-reciprocal
    neighbours of an image are found. Published: 30."""
    k2: int | Auto = 6
    """Number of nearest neighbours used for local query expansion. Published: 6."""
    eps: float | Auto = 0.6
    """Radius of DBSCAN in Jaccard distance, above 0 and below 1. Published: 0.4 to 0.6."""
    min_samples: int | Auto = 4
    """Number of images within eps that make an image a core point of DBSCAN. Published: 4."""
    share: float | Auto = 0.0
    """If eps is 0: eps is set in each round to the mean of this share of all pairwise distances,
    the smallest ones (p of DAAL). Published, by Song et al.: 1.6e-3."""
    camera_aware: bool = False
    """Take a fixed number of neighbours from the image's own camera (k1 / 5 and k2 / 3) and the
    rest from other cameras (CA-Jaccard; its paper: k1 25 and k2 6, of which 5 and 2 from the own
    camera). Has no effect if fewer than two cameras are known."""
    camera_eps: float = 0.0
    """Added to eps if distances are camera-aware, because these are larger."""
    camera_quota: int = 0
    """Maximum number of the k1 neighbours from one camera; 0 sets no limit. Has no effect if fewer
    than two cameras are known."""
    centring: str = "off"
    """How to centre the features of each camera before clustering: off, mean (subtract the mean) or
    deviation (also divide by the standard deviation). Has no effect if fewer than two cameras have
    50 crops. Published methods: off."""
    whitening: float = 0.0
    """Strength of the whitening of features before clustering, 0 (off) to 1. Whitening reduces the
    weight of directions in which all features vary much. Published methods: 0."""
    neighbours: str = "exact"
    """Neighbour search: exact, approximate (finds about 98 % of the neighbours, and is faster for
    very many images; each round prints the share that was found, measured on a sample), or auto,
    which chooses by the number of images."""

    def __post_init__(self):
        one_of(self, CENTRINGS, "centring")
        at_least(self, 0, "camera_eps", "camera_quota")
        shares(self, "whitening")
        if self.neighbours != AUTO:
            one_of(self, NEIGHBOURS, "neighbours")
        for name in ("k1", "k2", "min_samples"):
            at_least(self, 1, name)
        if self.share == AUTO or (self.share and not self.eps):
            if self.share != AUTO and not 0 < self.share <= 1:
                raise SettingsError(f"share is {self.share}. Use a number above 0, 1 or less.")
        elif self.eps != AUTO:
            check_eps(self.eps)

    def label(self, features: np.ndarray, cameras: np.ndarray | None = None) -> PseudoLabels:
        """Cluster images.

        Args:
            features: (N, D) unit rows.
            cameras: (N,) int, -1 if unknown; used by the settings of cameras and `centring`.

        Returns:
            (N,) ids, clusters numbered in the order in which they first appear.

        Raises:
            DataError, SettingsError: as `jaccard_dbscan`.
        """
        features, neighbours, cut = self._ready(features, cameras)
        told: dict[str, float] = {}
        return replace(jaccard_dbscan(features, **neighbours, **cut, note=told.update), **told)

    def near(
        self, features: np.ndarray, cameras: np.ndarray | None, radius: float
    ) -> sparse.csr_matrix:
        """Return the pairs of images with a small Jaccard distance, as `label` uses it.

        Args:
            features: (N, D) unit rows.
            cameras: as in `label`.
            radius: the largest distance to include, 0 to 1.

        Returns:
            (N, N) sparse, as `jaccard_graph`.
        """
        features, neighbours, _ = self._ready(features, cameras)
        return jaccard_graph(encode_images(features, **neighbours), radius)

    def label_around(
        self, features: np.ndarray, cameras: np.ndarray | None, gap: float
    ) -> tuple[PseudoLabels, PseudoLabels, PseudoLabels]:
        """Cluster images three times, for about the cost of one.

        Args:
            features, cameras: as in `label`.
            gap: how much eps is lowered and raised, above 0.

        Returns:
            The labels that `label` gives at eps - gap, eps and eps + gap.
        """
        features, neighbours, cut = self._ready(features, cameras)
        tried = np.clip(cut["eps"] + gap * np.array([-1, 0, 1]), 1e-3, 1 - 1e-3)
        told: dict[str, float] = {}
        encoding = encode_images(features, **neighbours, note=told.update)
        found = density_labels(encoding, tried, cut["min_samples"])
        tight, middle, loose = (PseudoLabels(by_appearance(row), **told) for row in found)
        return tight, middle, loose

    def explain(self, features: np.ndarray, cameras: np.ndarray | None = None) -> str:
        """Describe the distances that `label` uses, and what to change (see `explain`)."""
        features, neighbours, cut = self._ready(features, cameras)
        return explain(features, **neighbours, **cut)

    def at(self, features: np.ndarray, cameras: np.ndarray | None = None) -> "DensitySettings":
        """Return settings whose eps is a number: that of the share, if eps is 0.

        Args:
            features: (N, D) unit rows, not centred yet.
            cameras: as in `label`.
        """
        return self._at(self.centred(features, cameras), cameras)

    def centred(self, features: np.ndarray, cameras: np.ndarray | None) -> np.ndarray:
        """Return the features (N, D) that are clustered."""
        return whitened(centre_where_known(features, cameras, self.centring), self.whitening)

    def _at(self, features: np.ndarray, cameras: np.ndarray | None) -> "DensitySettings":
        if self.eps or not self.share:
            return self
        eps = share_eps(features, settled(self, "share"), **self._neighbours(cameras))
        return replace(self, eps=float(np.clip(eps, 1e-3, 1 - 1e-3)), camera_eps=0.0)

    def _ready(
        self, features: np.ndarray, cameras: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
        """Return the features (N, D) that are clustered, and the arguments of `jaccard_dbscan`.

        These are the arguments of `encode_images`, and eps and min_samples.
        """
        features = self.centred(features, cameras)
        return features, self._neighbours(cameras), self._at(features, cameras)._cut(cameras)

    def remarks(self, images: int, cameras: np.ndarray) -> list[str]:
        """Return messages about what these settings mean for the data, if that may be unexpected.

        Args:
            images: N.
            cameras: (N,) int, -1 if unknown.
        """
        said = []
        if (self.camera_aware or self.camera_quota) and not several(cameras):
            said.append(
                "No two cameras are known, so camera_aware and camera_quota have no effect. To "
                "find out how to say which camera took each image: reseen data check."
            )
        said += centring_remarks(self.centring, cameras)
        if images >= MANY and self.neighbours == "exact":
            said.append(
                f"Exact neighbours of {images:,} images take a while in each round, and four times "
                "as long for twice as many: --neighbours approximate finds about 98 % of them in "
                "less time."
            )
        return said

    def _neighbours(self, cameras: np.ndarray | None) -> dict[str, Any]:
        """Return the arguments of `encode_images`."""
        k1, k2 = settled(self, "k1"), settled(self, "k2")
        words = {"k1": k1, "k2": k2, "approximate": settled(self, "neighbours") == "approximate"}
        if several(cameras) and self.camera_aware:
            words |= {"cameras": cameras, "own": (max(1, round(k1 / 5)), max(1, round(k2 / 3)))}
        if several(cameras) and self.camera_quota:
            words |= {"cameras": cameras, "quota": min(self.camera_quota, k1)}
        return words

    def _cut(self, cameras: np.ndarray | None) -> dict[str, Any]:
        """Return eps and min_samples."""
        eps = settled(self, "eps")
        if several(cameras) and self.camera_aware:
            eps = min(eps + self.camera_eps, 0.99)
        return {"eps": eps, "min_samples": settled(self, "min_samples")}


def several(cameras: np.ndarray | None) -> bool:
    """Return whether at least two cameras are known, of (N,) int, -1 if unknown; None for none."""
    return cameras is not None and len(np.unique(cameras[cameras >= 0])) > 1


def jaccard_dbscan(
    features: np.ndarray,
    *,
    k1: int = 30,
    k2: int = 6,
    eps: float = 0.6,
    min_samples: int = 4,
    cameras: np.ndarray | None = None,
    own: tuple[int, int] | None = None,
    quota: int | None = None,
    approximate: bool = False,
    note: Note | None = None,
) -> PseudoLabels:
    """Cluster images whose neighbourhoods overlap: DBSCAN on k-reciprocal Jaccard distances.

    Args:
        features: (N, D) unit rows.
        k1: number of neighbours that encode a point, including the point itself; N may be smaller.
        k2: number of nearest points whose encodings are averaged, including the point itself; 1
            for no average.
        eps: the largest Jaccard distance between neighbours, above 0 and below 1.
        min_samples: number of points within eps, including the point itself, that make a point a
            core point.
        cameras: (N,) int, the camera of each image; required for own and quota.
        own: how many of the k1 and how many of the k2 come from a point's own camera, including
            the point itself, while the others are from other cameras; sets are then not expanded.
            This is the camera-aware Jaccard distance; its paper: k1 25, k2 6, own (5, 2).
        quota: largest number of the k1 neighbours from one camera.
        approximate: find nearly all neighbours instead of all (`nearest_approximate`); with a quota
            they are exact nevertheless.
        note: gets `recall`, the share of the neighbours that were found, measured on a sample, if
            they are approximate.

    Returns:
        (N,) ids, clusters numbered in the order in which they first appear.

    Raises:
        DataError: features are not finite unit rows, or cameras has another length.
        SettingsError: a setting is outside its range.

    Source: distances of Zhong et al., CVPR 2017, Sec. 3; DBSCAN of Ester et al., KDD 1996; own:
    Chen et al., CA-Jaccard: Camera-aware Jaccard Distance, CVPR 2024, Secs. 3.2 and 3.3.
    Memory: O(N k1 k2), independent of the number of pairs within eps; never N x N.
    """
    check_density(k1, k2, eps, min_samples)
    how: Any = dict(cameras=cameras, own=own, quota=quota, approximate=approximate, note=note)
    encoding = encode_images(features, k1=k1, k2=k2, **how)
    return PseudoLabels(by_appearance(density_labels(encoding, np.array([eps]), min_samples)[0]))


def encode_images(
    features: np.ndarray,
    *,
    k1: int = 30,
    k2: int = 6,
    cameras: np.ndarray | None = None,
    own: tuple[int, int] | None = None,
    quota: int | None = None,
    approximate: bool = False,
    note: Note | None = None,
) -> sparse.csr_matrix:
    """Encode images as `jaccard_dbscan` does: neighbours, reciprocal sets, average.

    Args:
        features: (N, D) unit rows.
        k1: as in `jaccard_dbscan`, like all the following.
        k2: number of neighbours to average.
        cameras: (N,) int.
        own: number of neighbours from the own camera.
        quota: largest number from each camera.
        approximate, note: as in `jaccard_dbscan`.

    Returns:
        (N, N) sparse rows that sum to 1.

    Raises:
        DataError: features are not finite unit rows, or cameras has another length.
        SettingsError: own or quota is out of range or given without cameras, or the reverse.

    Memory: O(N k1 k2).
    """
    if (cameras is None) != (own is None and quota is None):
        raise SettingsError(
            f"cameras are {'given' if cameras is not None else 'not given'}, own is {own} and "
            f"quota is {quota}. Give cameras together with own or quota, or none of them."
        )
    if approximate and quota is None:
        by: Any = dict(cameras=cameras, own=own and own[0])
        ranks, near = nearest_approximate(features, k1, seed=0, **by)
        if note:
            note(recall=recall_on_sample(features, ranks, SAMPLE, 1, **by))
    elif cameras is None:
        ranks, near = nearest(features, k1)
    else:
        ranks, near = nearest_by_camera(features, cameras, k1, own=own and own[0], quota=quota)
    if own is None:
        return encode(features, ranks, k1, round(k1 / 2) + 1, k2, similarities=near)
    own_k1, own_k2 = own
    if not (1 <= own_k2 <= own_k1 and 0 <= k2 - own_k2 <= k1 - own_k1):
        raise SettingsError(
            f"own is {own}, k1 is {k1} and k2 is {k2}. The k2 neighbours are taken from the k1, "
            "for the own camera and for the others, so neither part of the k2 can be larger."
        )
    here = np.asarray(cameras)[ranks] == np.asarray(cameras)[:, None]
    found = ranks >= 0
    first = here & (np.cumsum(here & found, axis=1) <= own_k2)
    first |= ~here & (np.cumsum(~here & found, axis=1) <= k2 - own_k2)
    encoding = encode(features, ranks, k1, 1, 1, similarities=near)
    encoding = average(encoding, np.where(first, ranks, -1))
    encoding.sort_indices()
    return encoding


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of DBSCAN for each of several eps.

    Args:
        eps: (E,) ascending.
        labels: (E, N) int64, as in `PseudoLabels`.
        clusters: (E,) number of clusters.
        noise: (E,) share of images in no cluster.
        largest: (E,) share of images in the largest cluster.
        stability: (E,) mean agreement with the labels at the next eps below and above: adjusted
            Rand index, with each noise image as its own cluster.
    """

    eps: np.ndarray
    labels: np.ndarray
    clusters: np.ndarray
    noise: np.ndarray
    largest: np.ndarray
    stability: np.ndarray

    def at(self, eps: float) -> PseudoLabels:
        """Return the labels at the nearest eps that was tried."""
        return PseudoLabels(self.labels[np.argmin(np.abs(self.eps - eps))])

    @property
    def balance(self) -> np.ndarray:
        """(E,) the score that `suggest` maximises, 0 to 1."""
        stability = np.sqrt(np.maximum(self.stability, 0))
        return stability * (1 - self.noise) * (1 - self.largest)

    def suggest(self) -> tuple[float, str]:
        """Return the best eps, and the reason as a sentence.

        Stability alone is not enough: it is 1 if all images are noise, and if all are one cluster.
        So it is multiplied by the share of images in clusters and by the share outside the largest
        one; the square root of stability is used, because stability falls long before the labels
        become worse. On 40 synthetic sets, the agreement of the labels with the people was 0.97 of
        that at the best eps (mean ratio of adjusted Rand indices), and 0.87 with eps 0.6.
        """
        best = int(np.argmax(self.balance))
        if not self.clusters.any():
            return float(self.eps[-1]), f"no eps up to {self.eps[-1]:g} finds a cluster."
        return float(self.eps[best]), (
            f"eps {self.eps[best]:g}: {counted(self.clusters[best], 'cluster')},"
            f" {self.noise[best]:.0%} noise,"
            f" {self.largest[best]:.1%} of the images in the largest cluster, and an agreement of"
            f" {self.stability[best]:.2f} with the labels of the neighbouring eps: the best"
            f" balance between {self.eps[0]:g} and {self.eps[-1]:g}."
        )

    def __str__(self) -> str:
        rows = zip(
            *(self.eps, self.clusters, self.noise, self.largest, self.stability), strict=True
        )
        lines = [f"{e:5.3g} {k:8d} {n:6.1%} {s:8.1%} {a:10.3f}" for e, k, n, s, a in rows]
        return "\n".join(["  eps clusters  noise  largest  stability", *lines])


def sweep(
    features: np.ndarray,
    eps: Sequence[float] = EPS,
    *,
    k1: int = 30,
    k2: int = 6,
    min_samples: int = 4,
    cameras: np.ndarray | None = None,
    own: tuple[int, int] | None = None,
    quota: int | None = None,
) -> Sweep:
    """Cluster images by `jaccard_dbscan` with many eps, for about the cost of one.

    Args:
        features: (N, D) unit rows.
        eps: the values to try, each above 0 and below 1.
        k1: as in `jaccard_dbscan`, like all the following.
        k2: number of neighbours to average.
        min_samples: number of points that make a core point.
        cameras: (N,) int.
        own: number of neighbours from the own camera.
        quota: largest number from each camera.

    Returns:
        A `Sweep`; print it as a table, or call `suggest`.

    Raises:
        DataError: features are not finite unit rows, or cameras has another length.
        SettingsError: a setting is outside its range, or there is no eps.

    Memory: O(N k1 k2 + threads E N).
    """
    tried = np.unique(np.asarray(eps, np.float64))
    if len(tried) == 0:
        raise SettingsError("There is no eps to try. Give one or more, such as 0.4, 0.5, 0.6.")
    for value in tried:
        check_density(k1, k2, float(value), min_samples)
    encoding = encode_images(features, k1=k1, k2=k2, cameras=cameras, own=own, quota=quota)
    return swept(encoding, tried, min_samples)


def swept(encoding: sparse.csr_matrix, eps: np.ndarray, min_samples: int) -> Sweep:
    """Do as `sweep` for images that are encoded already.

    Args:
        encoding: (N, N) sparse rows that sum to 1.
        eps: (E,) ascending, the values to try.
        min_samples: number of points that make a core point.
    """
    labels = np.stack([by_appearance(row) for row in density_labels(encoding, eps, min_samples)])
    sizes = [np.bincount(row[row != NOISE], minlength=1) for row in labels]
    return Sweep(
        eps=eps,
        labels=labels,
        clusters=labels.max(1) + 1,
        noise=(labels == NOISE).mean(1),
        largest=np.array([size.max() for size in sizes]) / labels.shape[1],
        stability=_stability(labels),
    )


def _stability(labels: np.ndarray) -> np.ndarray:
    """Return the mean agreement of each labelling with the one before and the one after."""
    steps = [_agreement(a, b) for a, b in pairwise(labels)]
    if not steps:
        return np.ones(1)
    return np.array([np.mean(steps[max(0, e - 1) : e + 1]) for e in range(len(labels))])


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Return the adjusted Rand index of two labellings (N,), with noise points as own clusters.

    scikit-learn computes the same number, but takes seconds to import.
    """
    kept = (one != NOISE) & (other != NOISE)
    _, cells = np.unique(one[kept] * (other.max() + 1) + other[kept], return_counts=True)
    sizes = cells, *(np.bincount(ids[ids != NOISE]) for ids in (one, other))
    both, left, right = (int((size * (size - 1)).sum()) for size in sizes)
    if both == left == right:
        return 1.0
    neither = len(one) * (len(one) - 1) - left - right + both
    left, right = left - both, right - both
    return (
        2.0
        * (both * neither - left * right)
        / ((both + left) * (left + neither) + (both + right) * (right + neither))
    )


def share_eps(
    features: np.ndarray, share: float = 1.6e-3, *, k1: int = 30, k2: int = 6, **more: Any
) -> float:
    """Compute the eps of DAAL: the mean of the smallest distances of all pairs.

    Args:
        features: (N, D) unit rows, N >= 2.
        share: of the N (N - 1) / 2 pairs, above 0, at most 1 (p of DAAL, which gives no value).
        k1: as in `jaccard_dbscan`.
        k2: as in `jaccard_dbscan`.
        more: cameras, own, quota and approximate, as in `jaccard_dbscan`.

    Returns:
        The mean Jaccard distance, 0 to 1, accurate to 1e-5.

    Raises:
        DataError: features are not finite unit rows.
        SettingsError: a setting is outside its range.

    Source: Huang et al., Domain Adaptive Attention Learning (DAAL), AAAI 2020, "Learning"; the
    default is that of Song et al., arXiv:1807.11334. Memory: O(N k1 k2).
    """
    check_density(k1, k2, 0.5, 1)
    return smallest_mean(encode_images(features, k1=k1, k2=k2, **more), share)


def core_distances(
    features: np.ndarray, *, k1: int = 30, k2: int = 6, min_samples: int = 4, **by_camera: Any
) -> np.ndarray:
    """Compute for each point the eps from which it is a core point of a cluster.

    It is the Jaccard distance to the min_samples-th nearest point, where the first is the point
    itself, as in DBSCAN. With eps equal to the median, half of the points are core points.

    Args:
        features: (N, D) unit rows.
        k1: as in `jaccard_dbscan`.
        k2: as in `jaccard_dbscan`.
        min_samples: as in `jaccard_dbscan`.
        by_camera: cameras, own, quota and approximate, as in `jaccard_dbscan`.

    Returns:
        (N,) float32, 0 to 1; 1 if fewer than min_samples points share a neighbour with it.

    Raises:
        DataError: features are not finite unit rows.
        SettingsError: a setting is outside its range.

    Source: Ankerst et al., OPTICS, SIGMOD 1999, Def. 5.
    Memory: O(N k1 k2); never N x N.
    """
    check_density(k1, k2, 0.5, min_samples)
    return jaccard_kth(encode_images(features, k1=k1, k2=k2, **by_camera), min_samples)


def explain(
    features: np.ndarray, *, k1: int, k2: int, eps: float, min_samples: int, **by_camera: Any
) -> str:
    """Describe how the distances compare with eps, and what to change.

    It is for a round of `jaccard_dbscan` with the same arguments that found too few clusters.
    """
    reach = core_distances(features, k1=k1, k2=k2, min_samples=min_samples, **by_camera)
    low, middle, high = np.quantile(reach, (0.1, 0.5, 0.9))
    change = "raise" if eps < middle else "lower"
    advice = f"{change} eps to about {middle:.2f}"
    if eps >= middle and k1 > len(features) // 3:
        few = max(3, len(features) // 4)
        advice = (
            f"k1 {k1} is a large part of {counted(len(features), 'image')}, so all of them become "
            f"neighbours: lower k1 to about {few} and k2 to {max(1, few // 4)}, or use auto"
        )
    if middle >= 0.99:
        advice = "most images share no neighbours, so no eps works: start from a better encoder"
    elif middle < 0.01:
        advice = "the encoder cannot tell most images apart: start from a better one"
    return (
        f"DBSCAN used eps {eps:g}. The distance to the nearest {min_samples} images, including the "
        f"image itself, is {low:.2f} for the closest tenth of the images, {middle:.2f} for the "
        f"median and {high:.2f} for the farthest tenth: {advice}."
    )


def check_density(k1: int, k2: int, eps: float, min_samples: int) -> None:
    """Refuse invalid settings of `jaccard_dbscan`.

    Raises:
        SettingsError: names the setting, its value and the valid values.
    """
    for name, value in (("k1", k1), ("k2", k2), ("min_samples", min_samples)):
        if value < 1:
            raise SettingsError(f"{name} is {value} and counts the point itself: give 1 or more.")
    check_eps(eps)


def check_eps(eps: float | str) -> None:
    """Refuse an eps in Jaccard distance that is not between 0 and 1.

    Raises:
        SettingsError: names the value and the valid values.
    """
    if isinstance(eps, str) or not 0 < eps < 1:
        raise SettingsError(
            f"eps is {eps}. Jaccard distances are 0 to 1; 0 joins only copies, and 1 joins all. "
            "Give a number in between, such as 0.4 to 0.7."
        )
