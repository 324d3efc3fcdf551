"""Which images make a batch."""

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
            cameras: (N,) camera of each image, -1 where unknown.
            rng: makes every choice.
            times: rounds that these batches are to last.
            alone_once: whether an image that is alone in its cluster comes once, not V times
                (`class_batches`).

        Returns:
            Positions (P * V,) of each batch, and how many batches there are.

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
        cameras: (N,) camera of each image, -1 where unknown.
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
            if queue:  # a cluster that still waits must not come twice into one batch
                fresh.sort(key=queue.__contains__)
            queue += fresh
        batch, queue = queue[:people], queue[people:]
        yield np.concatenate([_views(members[k], cameras, views, rng) for k in batch])


def class_batches(
    ids: np.ndarray, cameras: np.ndarray, people: int, views: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Give batches of P x V images, V of each cluster and one of each image alone, without end.

    All clusters come once, in a new order, before any comes again; where a batch is full the rest
    of a cluster begins the next one. Cameras are drawn as in `identity_batches`.

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
    """Give the positions of the images of each cluster."""
    order = np.argsort(ids, kind="stable")[np.count_nonzero(ids == NOISE) :]
    return np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)


def _views(members: np.ndarray, cameras: np.ndarray, views: int, rng) -> np.ndarray:
    members = rng.permutation(members)
    camera = cameras[members]
    turn = np.zeros(len(members), int)  # how many of its camera stand before each image
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
    """Mix two parts of a batch evenly, so that each stretch of it holds as much of both.

    Batch norm that takes its statistics of a stretch of the batch (a group, a process) then sees
    what it sees of the whole.

    Args:
        first, second: images of each.

    Returns:
        (first + second,) int64, positions in both parts one after the other; those of each part are
        in its order.
    """
    places = [(np.arange(count) + 0.5) / max(1, count) for count in (first, second)]
    return np.argsort(np.concatenate(places), kind="stable")
