"""Composition of batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from reseen.checks import Auto, at_least, settled
from reseen.errors import SettingsError
from reseen.records import NOISE


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Composition of a batch: P clusters with V images each (`identity_batches`).

    The defaults are those of Cluster Contrast; methods set those of their paper.
    """

    people: int | Auto = 16
    """Number of clusters in a batch, P."""
    views: int | Auto = 16
    """Number of images of each cluster in a batch, V. Clusters with fewer images repeat them."""
    iterations: int | Auto = 400
    """Number of training steps in a round."""

    def __post_init__(self):
        at_least(self, 1, "people", "views", "iterations")
        if self.people == self.views == 1:
            raise SettingsError("A batch is 1 x 1 images. Use batches of two images or more.")

    def draw(
        self,
        ids: np.ndarray,
        cameras: np.ndarray,
        rng: np.random.Generator,
        *,
        times: int = 1,
        alone_once: bool = False,
    ) -> tuple[Iterator[np.ndarray], int]:
        """Draw the batches of a round.

        Args:
            ids: (N,) clusters, 0..K-1 or NOISE; at least one cluster.
            cameras: (N,) camera of each image, -1 if unknown.
            rng: random generator.
            times: number of rounds for which batches are drawn.
            alone_once: whether an image that is alone in its cluster occurs once, not V times
                (`class_batches`).

        Returns:
            Positions (P * V,) of each batch, and the number of batches.

        Raises:
            SettingsError: a setting is still auto.
        """
        people, views, steps = (settled(self, name) for name in ("people", "views", "iterations"))
        give = class_batches if alone_once else identity_batches
        batches = give(ids, cameras, people, views, rng)
        return islice(batches, times * steps), times * steps


def identity_batches(
    ids: np.ndarray, cameras: np.ndarray, people: int, views: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield batches of P clusters with V images each, endlessly.

    Every cluster is drawn once before any is drawn again. Within a cluster, images of cameras that
    are not yet in the batch come first; a cluster with fewer than V images repeats them. If there
    are fewer than P clusters, the batch has all of them. Noise is never drawn.

    Source: P x K sampling of Hermans et al., In Defense of the Triplet Loss, 2017, Sec. 2; other
    cameras first as in the published clustering code (SpCL, Cluster Contrast).

    Args:
        ids: (N,) clusters, 0..K-1 or NOISE; at least one cluster.
        cameras: (N,) camera of each image, -1 if unknown.
        people: P.
        views: V.
        rng: random number generator.

    Yields:
        (P * V,) positions, with the images of a cluster next to each other.
    """
    members = _members(ids)
    people = min(people, len(members))
    queue: list[int] = []
    while True:
        while len(queue) < people:
            fresh = rng.permutation(len(members)).tolist()
            if queue:  # a waiting cluster must not be in a batch twice
                fresh.sort(key=queue.__contains__)
            queue += fresh
        batch, queue = queue[:people], queue[people:]
        yield np.concatenate([_views(members[k], cameras, views, rng) for k in batch])


def class_batches(
    ids: np.ndarray, cameras: np.ndarray, people: int, views: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield batches of P x V images, V of each cluster and one of each image alone, endlessly.

    All clusters are drawn once, in a new order, before any is drawn again; if a batch is full, the
    rest of a cluster is in the next one. Cameras are drawn as in `identity_batches`.

    Source: authors' code of Ge et al., SpCL, NeurIPS 2020.

    Args:
        ids, cameras, people, views, rng: as in `identity_batches`.

    Yields:
        (P * V,) positions.
    """
    members = _members(ids)
    queue = np.empty(0, np.int64)
    while True:
        while len(queue) < people * views:
            drawn = (members[k] for k in rng.permutation(len(members)))
            fresh = (_views(of, cameras, views, rng) if len(of) > 1 else of for of in drawn)
            queue = np.concatenate([queue, *fresh])
        yield queue[: people * views]
        queue = queue[people * views :]


def _members(ids: np.ndarray) -> list[np.ndarray]:
    """Return the positions of the images of each cluster."""
    order = np.argsort(ids, kind="stable")[np.count_nonzero(ids == NOISE) :]
    return np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)


def _views(members: np.ndarray, cameras: np.ndarray, views: int, rng) -> np.ndarray:
    members = rng.permutation(members)
    camera = cameras[members]
    turn = np.zeros(len(members), int)  # how many images of its camera precede each image
    for c in np.unique(camera[camera >= 0]):
        turn[camera == c] = np.arange(np.count_nonzero(camera == c))
    return np.resize(members[np.argsort(turn, kind="stable")], views)


def epoch_batches(
    count: int, batch: int, epochs: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], int]:
    """Make batches in which every image occurs once per epoch, in a new random order each epoch.

    Args:
        count: number of images, N.
        batch: batch size, B. If it does not divide N, the last batch of an epoch is smaller; if
            that has a single image, which batch norm cannot use, it is left out.
        epochs: number of epochs.
        rng: random number generator.

    Returns:
        (B,) positions of each batch, and how many batches there are.
    """
    batches = [
        order[start : start + batch]
        for order in (rng.permutation(count) for _ in range(epochs))
        for start in range(0, count, batch)
    ]
    batches = [positions for positions in batches if len(positions) > 1]
    return batches, len(batches)


def mixed(first: int, second: int) -> np.ndarray:
    """Mix two parts of a batch evenly, so that each section of it has the same share of both.

    Batch norm with statistics of a section of the batch (a group, a process) then sees the same
    mixture as in the whole batch.

    Args:
        first, second: number of images of each part.

    Returns:
        (first + second,) int64, positions in the concatenation of both parts; the images of each
        part stay in order.
    """
    places = [(np.arange(count) + 0.5) / max(1, count) for count in (first, second)]
    return np.argsort(np.concatenate(places), kind="stable")
