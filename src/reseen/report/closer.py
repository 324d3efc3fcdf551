"""A closer look at clusters: split people, mixed people, new clusters, and orders of members."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from reseen.cluster.density import encode_images
from reseen.cluster.two_stage import nearest_images
from reseen.errors import counted
from reseen.kernels.kmeans import kmeans
from reseen.kernels.neighbours import nearest
from reseen.metrics.clusters import by_distance, by_jaccard, majority, merges, newest, splits
from reseen.records import JUNK, NOISE, PseudoLabels
from reseen.report.evidence import Learnt
from reseen.report.sheets import Cell, Row, mark

SHOWN = 4
"""Number of splits, merges and new clusters on a sheet."""

HALF = 0.5
"""A cluster represents a person only if more than this share of it shows the person."""

PARTS, EACH = 3, 3
"""Number of parts of a split or merge on a sheet, and of crops of each."""

NEAREST, FARTHEST = 7, 3
"""Number of members of a cluster at the beginning and at the end of an order."""

CENTROIDS, TOP = 3, 10
"""Number of centroids on a sheet, and of images nearest to each."""


def split_rows(learnt: Learnt, labels: PseudoLabels, people: np.ndarray) -> list[Row]:
    """Lay out people who are split over several clusters, the worst first.

    Args:
        learnt: N images.
        labels: their pseudo-labels.
        people: (N,) the person on each, or JUNK.
    """
    rows = []
    for split in splits(labels, people)[:SHOWN]:
        own = people == split.person
        parts = [(f"in {k}", np.flatnonzero(own & (labels.ids == k))) for k in split.clusters]
        note = f"in {counted(len(parts), 'cluster')}, "
        note += f"with {_listed(split.clusters.values())} images"
        if split.noise:
            parts.append(("in none", np.flatnonzero(own & (labels.ids == NOISE))))
            note += f", and {split.noise} in no cluster"
        rows.append(Row(f"Person {split.person}", note, _cells(learnt, parts)))
    return rows


def merge_rows(learnt: Learnt, labels: PseudoLabels, people: np.ndarray) -> list[Row]:
    """Lay out clusters that contain several people, the worst first; see `split_rows`."""
    rows = []
    for merge in merges(labels, people)[:SHOWN]:
        inside = labels.ids == merge.cluster
        parts = [(f"person {p}", np.flatnonzero(inside & (people == p))) for p in merge.people]
        note = f"{len(parts)} people, with {_listed(merge.people.values())} images"
        rows.append(Row(f"Cluster {merge.cluster}", note, _cells(learnt, parts)))
    return rows


def table_of_splits(labels: PseudoLabels, people: np.ndarray) -> list[list[Any]]:
    """List all people who are split over several clusters, the worst first.

    Args:
        labels: pseudo-labels of N images.
        people: (N,) the person on each, or JUNK.

    Returns:
        Person, separated pairs of images, images in clusters, clusters, images in none, and the
        images in each cluster, the largest part first.
    """
    return [
        ["person", "torn_pairs", "images", "clusters", "images_in_none", "images_of_clusters"],
        *(
            [of.person, of.pairs, *_counted(of.clusters), of.noise, _told(of.clusters)]
            for of in splits(labels, people)
        ),
    ]


def table_of_merges(labels: PseudoLabels, people: np.ndarray) -> list[list[Any]]:
    """List all clusters that contain several people, the worst first.

    Args:
        labels: pseudo-labels of N images.
        people: (N,) the person on each, or JUNK.

    Returns:
        Cluster, pairs of images of two people, images of known people, people, and the images of
        each person, the largest part first.
    """
    return [
        ["cluster", "mixed_pairs", "images", "people", "images_of_people"],
        *(
            [of.cluster, of.pairs, *_counted(of.people), _told(of.people)]
            for of in merges(labels, people)
        ),
    ]


def newest_rows(learnt: Learnt, before: PseudoLabels, after: PseudoLabels) -> list[Row]:
    """Lay out the clusters that share the fewest images with those of the round before.

    Args:
        learnt: N images.
        before, after: their pseudo-labels in two consecutive rounds.
    """
    rows = []
    order, overlap = newest(before, after)
    for cluster, share in zip(order[:SHOWN], overlap[:SHOWN], strict=True):
        if share == 1:
            break
        members, _ = by_distance(learnt.features, after, int(cluster))
        note = f"{counted(len(members), 'member')}, shares {share:.0%} with "
        note += "the most similar cluster of the previous round"
        old = before.ids[members]

        def word(place: int, old: np.ndarray = old) -> str:
            return "was in none" if old[place] == NOISE else f"was in {old[place]}"

        rows.append(Row(f"Cluster {cluster}", note, _ends(learnt, members, word)))
    return rows


def order_rows(
    learnt: Learnt,
    labels: PseudoLabels,
    encoding: sparse.csr_matrix,
    cluster: int,
    people: np.ndarray,
) -> list[Row]:
    """Lay out the members of a cluster by Euclidean distance, and below by Jaccard distance.

    Args:
        learnt: N images.
        labels: their pseudo-labels.
        encoding: (N, N), from `encode`.
        cluster: its number.
        people: (N,) the person on each, or JUNK; the person on more than half of them is right.
    """
    rows, most = [], most_of(labels, people)[0][cluster]
    for name, (members, distances) in {
        "Euclidean distance to the mean": by_distance(learnt.features, labels, cluster),
        "mean Jaccard distance to the others": by_jaccard(encoding, labels, cluster),
    }.items():
        words = [f"{distance:.2f}" for distance in distances]
        kinds = [mark(person, most) for person in people[members].tolist()]
        cells = _ends(learnt, members, words.__getitem__, kinds)
        rows.append(Row(f"Cluster {cluster}", f"by {name}", cells))
    return rows


def centroid_rows(learnt: Learnt, settings: Mapping[str, Any], people: np.ndarray) -> list[Row]:
    """Lay out the images nearest to k-means centroids by Euclidean, below by Jaccard distance.

    All images are ranked, whatever their cluster. The centroids are evenly spaced from the one
    whose two orders share the fewest images to the one whose orders share the most.

    Args:
        learnt: N images.
        settings: of a run of ADTC: its clusters, k1, k2 and weighted are used.
        people: (N,) the person on each, or JUNK; the person on more than half of the images that
            k-means assigns to a centroid is right.

    Source: Ji et al., ADTC, ECCV 2020, Fig. 5.
    """
    features = learnt.features
    centroids, ids = kmeans(features, min(int(settings["clusters"]), len(features)), seed=0)
    length = np.linalg.norm(centroids, axis=1, keepdims=True)
    near, cosines = nearest(centroids / length, TOP, features)
    euclidean = np.sqrt(np.maximum(0, 1 + length**2 - 2 * length * cosines))
    k1 = min(int(settings["k1"]), len(features))
    words: dict[str, Any] = dict(k1=k1, k2=int(settings["k2"]), weighted=settings["weighted"])
    reciprocal, jaccard = nearest_images(features, centroids, p=TOP, **words)
    shared = [len(np.intersect1d(*pair)) for pair in zip(near, reciprocal, strict=True)]
    order = np.argsort(shared, kind="stable")
    steps = len(order) * (1 + 2 * np.arange(CENTROIDS)) // (2 * CENTROIDS)
    most = most_of(PseudoLabels(ids.astype(np.int64)), people)[0]
    ways = {
        "Euclidean distance": (near, euclidean),
        "k-reciprocal Jaccard distance": (reciprocal, jaccard),
    }
    rows = []
    for centroid in dict.fromkeys(order[steps].tolist()):
        for name, (found, distances) in ways.items():
            pairs = zip(found[centroid].tolist(), distances[centroid], strict=True)
            cells = [
                Cell(learnt.images[i], f"{distance:.2f}", mark(int(people[i]), int(most[centroid])))
                for i, distance in pairs
                if i >= 0
            ]
            rows.append(Row(f"Centroid {centroid}", f"by {name}", cells))
    return rows


def most_of(labels: PseudoLabels, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the person on more than half of each cluster (K,), or JUNK, and their share (K,)."""
    who, share = majority(labels, people)
    return np.where(share > HALF, who, JUNK), share


def encode(features: np.ndarray, settings: Mapping[str, Any]) -> sparse.csr_matrix:
    """Encode images for Jaccard distances, with k1 and k2 of a run, or else 30 and 6."""
    k1 = min(int(settings.get("k1", 30)), len(features) - 1)
    return encode_images(features, k1=k1, k2=min(int(settings.get("k2", 6)), k1))


def _listed(sizes: Iterable[int]) -> str:
    sizes = list(sizes)
    rest = f" and {len(sizes) - PARTS} more" if len(sizes) > PARTS else ""
    return ", ".join(map(str, sizes[:PARTS])) + rest


def _counted(parts: Mapping[int, int]) -> tuple[int, int]:
    """Return the number of images in all parts, and the number of parts."""
    return sum(parts.values()), len(parts)


def _told(parts: Mapping[int, int]) -> str:
    """Format parts and their numbers of images for one cell: "4:12 7:3"."""
    return " ".join(f"{part}:{images}" for part, images in parts.items())


def _cells(learnt: Learnt, parts: Sequence[tuple[str, np.ndarray]]) -> list[Cell | None]:
    """Return some crops of each part, with gaps between the parts."""
    cells: list[Cell | None] = []
    for text, members in parts[:PARTS]:
        gap = [None] if cells else []
        cells += [*gap, *(Cell(learnt.images[i], text) for i in members[:EACH])]
    return cells


def _ends(
    learnt: Learnt, members: np.ndarray, word: Callable[[int], str], kinds: Sequence[str] = ()
) -> list[Cell | None]:
    """Return the first and last members, with a gap if some are left out."""
    places = range(len(members))
    cells = [
        Cell(learnt.images[members[place]], word(place), kinds[place] if kinds else "")
        for place in places
    ]
    if len(cells) <= NEAREST + FARTHEST:
        return [*cells]
    return [*cells[:NEAREST], None, *cells[-FARTHEST:]]
