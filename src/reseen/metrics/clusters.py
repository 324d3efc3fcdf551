"""Properties of each cluster: its size, spread, cameras, people, history and members."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from reseen.errors import DataError, SettingsError
from reseen.kernels.jaccard import invert, jaccard_rows
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows
from reseen.records import JUNK, NOISE, PseudoLabels


@dataclass(frozen=True, slots=True)
class Centres:
    """K clusters, and the distances of images from their centres.

    Args:
        centres: (K, D) float64, the mean of each cluster's features.
        distances: (N,) Euclidean distance of each image to the centre of its cluster, and of a
            noise point to the nearest centre; 1 if there are no clusters.
        nearest: (N,) the cluster of that centre.
        sizes: (K,) int64, number of members.
        spread: (K,) float64, mean distance of the members.
    """

    centres: np.ndarray
    distances: np.ndarray
    nearest: np.ndarray
    sizes: np.ndarray
    spread: np.ndarray


def centres(features: np.ndarray, labels: PseudoLabels) -> Centres:
    """Compute the distances of the members of each cluster from its centre.

    Args:
        features: (N, D) unit rows.
        labels: pseudo-labels of N images.

    Raises:
        DataError: the rows are invalid (see `check_rows`), or sizes do not fit.

    Memory: O(K D), and K distances for each of 1,024 noise points at a time.
    """
    rows, ids, count = check_rows(features), labels.ids, labels.clusters
    _same_number(len(ids), features=len(rows))
    sizes = np.bincount(ids[ids != NOISE], minlength=count)
    members = members_of(labels)
    middles = np.array([rows[part].mean(0, dtype=np.float64) for part in members])
    middles = middles.reshape(count, rows.shape[1])
    nearest = ids.copy()
    outside = np.flatnonzero(ids == NOISE)
    for start in range(0, len(outside) if count else 0, 1024):
        part = outside[start : start + 1024]
        gap = (middles**2).sum(1) - 2 * rows[part] @ middles.T  # without the common summand
        nearest[part] = gap.argmin(1)
    distances = np.ones(len(ids))
    for start in range(0, len(ids) if count else 0, 1024):
        part = slice(start, start + 1024)
        distances[part] = np.linalg.norm(rows[part] - middles[nearest[part]], axis=1)
    spread = np.bincount(ids[ids != NOISE], distances[ids != NOISE], count) / np.maximum(sizes, 1)
    return Centres(middles, distances, nearest, sizes, spread)


def mixture(labels: PseudoLabels, cameras: np.ndarray, count: int) -> np.ndarray:
    """Count the members of each cluster by camera, (K, count) int64.

    Args:
        labels: pseudo-labels of N images.
        cameras: (N,) int, 0 to count - 1, or -1 if unknown, which is not counted.
        count: number of cameras.

    Raises:
        DataError: cameras and labels differ in number.
    """
    _same_number(len(labels.ids), cameras=len(cameras))
    seen = np.zeros((labels.clusters, count), np.int64)
    kept = (labels.ids != NOISE) & (cameras >= 0)
    np.add.at(seen, (labels.ids[kept], cameras[kept]), 1)
    return seen


def majority(labels: PseudoLabels, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most frequent person of each cluster (K,), and their share of its members (K,).

    Args:
        labels: pseudo-labels of N images.
        people: (N,) int; each below 0 (JUNK, unknown) counts as a person of its own.

    Raises:
        DataError: persons and labels differ in number.
    """
    people = _people(labels, people)
    who, share = np.full(labels.clusters, JUNK), np.zeros(labels.clusters)
    for cluster, members in enumerate(members_of(labels)):
        found, times = np.unique(people[members][people[members] != JUNK], return_counts=True)
        if len(found):
            who[cluster] = found[times.argmax()]
            share[cluster] = times.max() / len(members)
    return who, share


def members_of(labels: PseudoLabels) -> list[np.ndarray]:
    """Return the positions of the members of each cluster, ascending, K arrays."""
    order = np.argsort(labels.ids, kind="stable")
    bounds = np.searchsorted(labels.ids[order], np.arange(labels.clusters))
    return np.split(order, bounds)[1:]


@dataclass(frozen=True, slots=True)
class Split:
    """A person who is split over several clusters.

    Args:
        person: their number.
        clusters: number of their images in each cluster, the largest first, without noise.
        noise: number of their images in no cluster.
    """

    person: int
    clusters: dict[int, int]
    noise: int

    @property
    def pairs(self) -> int:
        """Pairs of images in two different clusters, without noise."""
        return _torn(self.clusters)


@dataclass(frozen=True, slots=True)
class Merge:
    """A cluster that contains several people.

    Args:
        cluster: its number.
        people: number of images of each person, the largest first, without unknown people.
    """

    cluster: int
    people: dict[int, int]

    @property
    def pairs(self) -> int:
        """Pairs of images of two different people."""
        return _torn(self.people)


def splits(labels: PseudoLabels, people: np.ndarray) -> list[Split]:
    """Find people who are split over several clusters, the worst first.

    The worst is the one with the most pairs of images in different clusters, without noise; ties
    are sorted by number.

    Args:
        labels: pseudo-labels of N images.
        people: (N,) int; below 0 (JUNK, unknown) is left out.

    Raises:
        DataError: persons and labels differ in number.
    """
    listed = []
    for person, parts in _parts(_people(labels, people), labels.ids).items():
        noise = parts.pop(NOISE, 0)
        if person >= 0 and len(parts) > 1:
            listed.append(Split(person, parts, noise))
    return sorted(listed, key=lambda split: (-split.pairs, split.person))


def merges(labels: PseudoLabels, people: np.ndarray) -> list[Merge]:
    """Find clusters that contain several people, the worst first.

    The worst is the one with the most pairs of images of two people; ties are sorted by number.

    Args:
        labels: pseudo-labels of N images.
        people: (N,) int; below 0 (JUNK, unknown) is left out.

    Raises:
        DataError: persons and labels differ in number.
    """
    listed = []
    for cluster, parts in _parts(labels.ids, _people(labels, people)).items():
        parts.pop(JUNK, 0)
        if cluster != NOISE and len(parts) > 1:
            listed.append(Merge(cluster, parts))
    return sorted(listed, key=lambda merge: (-merge.pairs, merge.cluster))


def newest(before: PseudoLabels, after: PseudoLabels) -> tuple[np.ndarray, np.ndarray]:
    """Find clusters that did not exist a round before, the newest first.

    Args:
        before: pseudo-labels of N images.
        after: pseudo-labels of the same images in the same order, a round later.

    Returns:
        (K,) int64 clusters of `after`, and (K,) float64 the largest Jaccard similarity of each with
        an earlier cluster (images in both over images in either), 0 to 1, ascending; ties are
        sorted by size, largest first, then by number.

    Raises:
        DataError: the rounds label different numbers of images.

    Memory: O(N).
    """
    if before.ids.shape != after.ids.shape:
        raise DataError(
            f"One round labels {len(before.ids)} images, the other {len(after.ids)}. "
            "Compare rounds with the same images."
        )
    old_sizes, sizes = (np.bincount(labels.ids[labels.ids != NOISE]) for labels in (before, after))
    both = (before.ids != NOISE) & (after.ids != NOISE)
    pairs, shared = np.unique(
        np.stack([after.ids[both], before.ids[both]]), axis=1, return_counts=True
    )
    overlap = np.zeros(after.clusters)
    np.maximum.at(overlap, pairs[0], shared / (sizes[pairs[0]] + old_sizes[pairs[1]] - shared))
    order = np.lexsort((-sizes, overlap))
    return order, overlap[order]


def by_distance(
    features: np.ndarray, labels: PseudoLabels, cluster: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rank the members of a cluster by Euclidean distance to its centre, which is their mean.

    Args:
        features: (N, D) unit rows.
        labels: pseudo-labels of N images.
        cluster: its number, 0 to K - 1.

    Returns:
        (n,) int64 positions, nearest first, ties by position, and (n,) float64 distances.

    Raises:
        DataError: sizes do not fit.
        SettingsError: there is no such cluster.

    Source: Ji et al., ADTC, ECCV 2020, Fig. 5, upper rows. Memory: O(n D).
    """
    members = _members(labels, cluster)
    _same_number(len(labels.ids), features=len(features))
    return _ranked(members, _to_centre(features[members]))


def by_jaccard(
    encoding: sparse.csr_matrix, labels: PseudoLabels, cluster: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rank the members of a cluster by their mean k-reciprocal Jaccard distance to the others.

    The paper ranks by the distance to the centroid, which is encoded together with the images; the
    mean over members needs no second encoding, and uses the distances of DBSCAN.

    Args:
        encoding: (N, N) sparse, from `cluster.density.encode_images`.
        labels: pseudo-labels of N images.
        cluster: its number, 0 to K - 1.

    Returns:
        (n,) int64 positions, nearest first, ties by position, and (n,) float64 mean distances, 0 to
        1; 0 for a cluster with one image.

    Raises:
        DataError: sizes do not fit.
        SettingsError: there is no such cluster.

    Source: distance of Zhong et al., CVPR 2017, Eq. 10; Ji et al., ADTC, ECCV 2020, Fig. 5, lower
    rows. Memory: the rows of the members and a block; never n x n.
    """
    members = _members(labels, cluster)
    _same_number(len(labels.ids), encoding=len(encoding.indptr) - 1)
    index, n = invert(encoding[members]), len(members)
    step = max(1, BLOCK_BYTES // (4 * n))
    parts = np.split(np.arange(n), range(step, n, step))
    sums = np.concatenate([jaccard_rows(index, part).sum(1, dtype=np.float64) for part in parts])
    return _ranked(members, sums / max(1, n - 1))  # the distance to itself is 0


def _to_centre(rows: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances (n,) of some rows to their mean."""
    rows = rows.astype(np.float64)
    return np.sqrt(np.square(rows - rows.mean(0)).sum(1))


def _ranked(members: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(distances, kind="stable")
    return members[order], distances[order]


def _members(labels: PseudoLabels, cluster: int) -> np.ndarray:
    if not 0 <= cluster < labels.clusters:
        raise SettingsError(
            f"There is no cluster {cluster}. Give one of 0 to {labels.clusters - 1}."
        )
    return np.flatnonzero(labels.ids == cluster)


def _people(labels: PseudoLabels, people: np.ndarray) -> np.ndarray:
    """Return people as integers, with JUNK for all that are unknown."""
    _same_number(len(labels.ids), people=len(people))
    return np.maximum(np.asarray(people, np.int64), JUNK)


def _parts(groups: np.ndarray, others: np.ndarray) -> dict[int, dict[int, int]]:
    """Count for each group how it is distributed over the others, the largest part first."""
    cells, counts = np.unique(np.stack([groups, others]), axis=1, return_counts=True)
    found: dict[int, dict[int, int]] = {}
    for place in np.lexsort((cells[1], -counts, cells[0])):
        group, other = cells[:, place].tolist()
        found.setdefault(group, {})[other] = int(counts[place])
    return found


def _torn(parts: dict[int, int]) -> int:
    """Count the pairs whose members are in different parts."""
    return (sum(parts.values()) ** 2 - sum(size**2 for size in parts.values())) // 2


def _same_number(n: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if size != n:
            raise DataError(
                f"{n} images have labels, but {name} has {size} rows. Give both for the same "
                "images in the same order."
            )
