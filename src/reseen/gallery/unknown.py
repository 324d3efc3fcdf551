"""Unknown people: crops without a name that may show one person, for a human to review."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from reseen.cluster.density import DensitySettings
from reseen.cluster.numbering import by_appearance
from reseen.cluster.survey import survey_encoded
from reseen.gallery.facts import Facts, cannot_be_one, facts_of
from reseen.gallery.records import Crop, Cutoffs, Proposal
from reseen.kernels.components import density_labels
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows
from reseen.records import NOISE

LEAST = 3
"""Minimum number of crops for clustering."""
CAREFUL = 0.1
"""How much smaller eps is than for pseudo-labels: a stranger in a proposal is worse than a person
in two proposals (docs/how-to/thresholds.md)."""
APART = 1e9
"""Distance of crops that cannot be one person, so large that no mean with it is small."""


def label_crops(features: np.ndarray, crops: Sequence[Crop]) -> np.ndarray:
    """Cluster crops by density, whatever their names: the part that takes long.

    Neighbours and min_samples are chosen as by `auto`, and eps is smaller by CAREFUL; features are
    centred by camera if at least two cameras have enough crops.

    Args:
        features: (N, D) unit rows.
        crops: N records, in any order.

    Returns:
        (N,) int64 groups, those of the oldest crops first; NOISE for crops in none.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
    """
    labels = np.full(len(crops), NOISE, np.int64)
    if len(crops) < LEAST:
        return labels
    order = _by_age(crops)
    rows, cameras = features[order], facts_of([crops[i] for i in order]).cameras
    found, encoding = survey_encoded(DensitySettings(centring="deviation").centred(rows, cameras))
    eps = np.array([found.eps - CAREFUL])
    labels[order] = by_appearance(density_labels(encoding, eps, found.min_samples)[0])
    return labels


def _by_age(crops: Sequence[Crop]) -> list[int]:
    return sorted(range(len(crops)), key=lambda i: (crops[i].added, crops[i].id))


def group_unknown(
    features: np.ndarray,
    facts: Facts,
    labels: np.ndarray,
    *,
    overlapping: bool = False,
) -> np.ndarray:
    """Group crops without a name by the person whom they may show.

    Crops with a name and ignored crops are removed from the clusters of all crops. The crops of a
    tracklet stay together, in the cluster of most of them. A group with crops that cannot be one
    person is split: it is built again from its tracklets and single crops, starting with the
    nearest parts (mean distance of their crops), without joining what cannot be one person.

    Args:
        features: (N, D) unit rows, oldest crop first, which determines the numbers of groups.
        facts: of the N crops.
        labels: (N,) their clusters (`label_crops`).
        overlapping: as in `cannot_be_one`.

    Returns:
        (N,) int64 groups, in the order of their first crops; NOISE for crops in none, for a crop
        that is alone, and for named and ignored crops. Groups without crops keep their numbers, so
        that naming and ignoring do not change the numbers of others.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
    """
    groups = labels.copy()
    tracklets, counts = np.unique(facts.tracklets[facts.tracklets >= 0], return_counts=True)
    for tracklet in tracklets[counts > 1]:
        crops = np.flatnonzero(facts.tracklets == tracklet)
        own = groups[crops][groups[crops] != NOISE]
        groups[crops] = np.bincount(own).argmax() if len(own) else groups.max() + 1
    free = ~facts.ignored & (facts.people < 0)
    apart = cannot_be_one(facts, overlapping=overlapping)
    apart = apart[free[apart].all(1) & (groups[apart[:, 0]] == groups[apart[:, 1]])]
    apart = apart[groups[apart[:, 0]] != NOISE]
    alone = facts.tracklets.max(initial=-1) + 1 + np.arange(len(groups))
    units = np.where(facts.tracklets >= 0, facts.tracklets, alone)
    for group in np.unique(groups[apart[:, 0]]):
        rows = np.flatnonzero(free & (groups == group))
        inside = np.searchsorted(rows, apart[groups[apart[:, 0]] == group])
        groups[rows] = groups.max() + 1 + _parted(features[rows], units[rows], inside)
    groups = by_appearance(groups)
    sizes = np.bincount(groups[free & (groups != NOISE)], minlength=max(1, groups.max() + 1))
    return np.where(free & (groups != NOISE) & (sizes[groups] > 1), groups, NOISE)


def _parted(features: np.ndarray, units: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Split a group, so that no part contains crops that cannot be one person.

    Args:
        features: (M, D) unit rows.
        units: (M,) equal numbers for crops that stay together.
        apart: (P, 2) positions of crops that cannot be one person.

    Returns:
        (M,) int64 parts, from 0.

    Memory: O(U^2) for U units.
    """
    _, place = np.unique(units, return_inverse=True)
    means = np.zeros((place.max() + 1, features.shape[1]))
    np.add.at(means, place, features)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    distances = np.clip(1 - means @ means.T, 0, 2)
    a, b = place[apart].T
    distances[a, b] = distances[b, a] = APART
    np.fill_diagonal(distances, 0)
    if len(means) == 1:  # a tracklet that contradicts itself is not split
        return np.zeros(len(units), np.int64)
    tree = linkage(squareform(distances, checks=False), "average")
    return fcluster(tree, 2, "distance")[place].astype(np.int64) - 1


def propose(
    features: np.ndarray,
    crops: Sequence[Crop],
    labels: np.ndarray,
    cutoffs: Cutoffs,
    denials: Iterable[tuple[str, str]] = (),
    *,
    overlapping: bool = False,
) -> list[Proposal]:
    """Propose unknown people; no crop gets a name.

    Args:
        features: (N, D) unit rows.
        crops: N records.
        labels: (N,) their clusters (`label_crops`).
        cutoffs: thresholds from which a proposal is reported to look like a named person.
        denials: pairs of the id of a crop and the name of a person whom it does not show.
        overlapping: as in `cannot_be_one`.

    Returns:
        Proposals of at least 2 crops, numbered from 1 in the order in which their first crops were
        added; numbers of groups whose crops have names are not reused. The crops of each are
        sorted by time.

    Raises:
        DataError: the rows are invalid (see `check_rows`).
    """
    if not crops:
        return []
    order = _by_age(crops)
    features, crops = features[order], [crops[i] for i in order]
    facts = facts_of(crops, denials)
    groups = group_unknown(features, facts, labels[order], overlapping=overlapping)
    likeness = alike(features, facts, groups, cannot_be_one(facts, overlapping=overlapping))
    found = []
    for group in np.unique(groups[groups != NOISE]).tolist():
        own = [crops[i] for i in np.flatnonzero(groups == group)]
        times = sorted(crop.time for crop in own if crop.time is not None)
        similar = float(likeness[group].max(initial=-np.inf))
        like = similar >= cutoffs.maybe
        found.append(
            Proposal(
                number=group + 1,
                crops=tuple(c.id for c in sorted(own, key=_moment)),
                cameras=tuple(sorted({crop.camera for crop in own if crop.camera})),
                first=times[0] if times else None,
                last=times[-1] if times else None,
                like=facts.names[int(likeness[group].argmax())] if like else None,
                similarity=similar if like else None,
            )
        )
    return found


def _moment(crop: Crop) -> tuple[bool, float, str]:
    return crop.time is None, crop.time or 0.0, crop.id


def alike(features: np.ndarray, facts: Facts, groups: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Compute how similar groups of crops are to named people.

    Args:
        features: (N, D) unit rows.
        facts: of the N crops.
        groups: (N,) int, 0..K-1 (not all must exist) or NOISE.
        apart: (P, 2) pairs of crops that cannot be one person.

    Returns:
        (K, P) the median, over the crops of a group, of the highest similarity to a crop of the
        person; -inf if the group cannot be that person.
    """
    rows, count = check_rows(features), int(groups.max(initial=NOISE)) + 1
    found = np.full((count, len(facts.names)), -np.inf)
    named = np.flatnonzero((facts.people >= 0) & ~facts.ignored)
    named = named[np.argsort(facts.people[named], kind="stable")]
    if not len(named) or not count:
        return found
    who, starts = np.unique(facts.people[named], return_index=True)
    pool = np.ascontiguousarray(rows[named].T)
    step = max(1, BLOCK_BYTES // (4 * len(named)))
    for group in np.unique(groups[groups != NOISE]):
        own = np.flatnonzero(groups == group)
        best = [
            np.maximum.reduceat(rows[own[i : i + step]] @ pool, starts, axis=1)
            for i in range(0, len(own), step)
        ]
        found[group, who] = np.median(np.concatenate(best), axis=0)
    for a, b in ((apart[:, 0], apart[:, 1]), (apart[:, 1], apart[:, 0])):
        barred = (groups[a] != NOISE) & (facts.people[b] >= 0)
        found[groups[a[barred]], facts.people[b[barred]]] = -np.inf
    return found
