"""The frozen records that travel between the parts.

One letter legend, used everywhere: N images, B batch, D feature size, K clusters, Q queries,
G gallery, C, H, W channels, height, width, P people and V views in a batch.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from reseen.errors import DataError, counted

NOISE = -1
"""The pseudo-label of a point that belongs to no cluster."""

JUNK = -1
"""The person of an image that evaluation must ignore (Market-1501's own convention)."""


@dataclass(frozen=True, slots=True)
class Image:
    """One crop of one person, or one tracklet: where it lies, and what is known about it.

    A tracklet is what one camera saw of one person without a gap, as crops of consecutive frames.
    """

    path: Path
    """The picture; of a tracklet the first frame, which stands for it everywhere."""
    person: int | None = None
    """Identity, or JUNK, or None where it is unknown or withheld."""
    camera: int | None = None
    """Camera, or None where it is unknown."""
    time: float | None = None
    """Time stamp in the data set's own unit (seconds or frames), or None."""
    frames: tuple[str, ...] = field(default=(), repr=False)
    """File names of a tracklet's frames, in order, all beside `path`; none for a single picture."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every picture of it: of a tracklet its frames."""
        return tuple(self.path.with_name(name) for name in self.frames) or (self.path,)


def people_of(images: Iterable[Image]) -> np.ndarray:
    """Give who each image shows (N,) int64, JUNK where nobody knows."""
    return np.array([JUNK if i.person is None else i.person for i in images], np.int64)


def cameras_of(images: Iterable[Image]) -> np.ndarray:
    """Give the camera of each image (N,) int64, -1 where it is unknown."""
    return np.array([-1 if i.camera is None else i.camera for i in images], np.int64)


def camera_names(images: Iterable[Image], names: Mapping[int, str]) -> list[str | None]:
    """Give the name of the camera of each image, None where it is unknown.

    Args:
        images: N records.
        names: by number, where a data set gives them (`Dataset.cameras`); the number otherwise.
    """
    told = {number: _WHOLE.sub(r"\1", name.strip()) for number, name in names.items()}
    return [None if i.camera is None else told.get(i.camera, str(i.camera)) for i in images]


_WHOLE = re.compile(r"^0*(\d+)(?:\.0+)?$")
"""A camera's number, however it is written: 7, 07 or 7.0."""


def identities(images: Iterable[Image], shows: str) -> tuple[int, np.ndarray]:
    """Number the people of images to learn from.

    Args:
        images: N records of known people.
        shows: who is said to show too few, as "The source shows".

    Returns:
        The number of people, and (N,) int64 who is on each image, from 0.

    Raises:
        DataError: fewer than two people.
    """
    people = np.array([image.person for image in images], np.int64)
    names, ids = np.unique(people, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"{shows} {counted(len(names), 'person who is', 'people who are')} known. Learning "
            "from labels needs two or more: check how the folder is read (reseen data check); "
            "where each sub-folder is a person, say --folders person."
        )
    return len(names), ids


def distinct(*parts: Iterable[Image]) -> tuple[Image, ...]:
    """Give the images of all parts, each path once, in order."""
    return tuple({image.path: image for part in parts for image in part}.values())


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images to learn from, and, where people are known, queries and a gallery to judge by."""

    name: str
    root: Path
    train: tuple[Image, ...]
    query: tuple[Image, ...] = ()
    gallery: tuple[Image, ...] = ()
    cameras: Mapping[int, str] = field(default_factory=dict)
    """Names of the cameras, where the folder gives them."""
    notes: tuple[str, ...] = ()
    """What a user should know about how it was read, such as files that were passed over."""
    format: str = field(default="", compare=False)
    """Which of `data.reading.READERS` read it, such as "market1501"; "folder" and "tracklets" are
    pictures of a user's own. Empty where none did."""

    def __str__(self) -> str:
        train = counted(len(self.train), "training image")
        query = counted(len(self.query), "query", "queries")
        gallery = counted(len(self.gallery), "gallery image")
        return f"{self.name}: {train}, {query}, {gallery}"

    def __repr__(self) -> str:
        return f"<Dataset: {self}>"

    def unlabelled(self, seed: int) -> tuple[Image, ...]:
        """Give the training images without people, in an order that says nothing about them."""
        return tuple(replace(image, person=None) for image in self._shuffled(seed))

    def labelled(self, seed: int) -> tuple[Image, ...]:
        """Give the training images of known people, in the order of `unlabelled`."""
        return tuple(i for i in self._shuffled(seed) if i.person not in (None, JUNK))

    def _shuffled(self, seed: int) -> list[Image]:
        """Shuffle the training images.

        The images are put in the order of their paths and then shuffled by `seed`, so the result
        depends neither on the order in which a disk lists files nor on who is seen where.
        """
        ordered = sorted(self.train, key=lambda image: image.path.as_posix())
        order = np.random.default_rng(seed).permutation(len(ordered))
        return [ordered[i] for i in order]


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """One round's answer to "who is who": a cluster for each image, or NOISE.

    Args:
        ids: (N,) int64 (other whole numbers become that), every value 0..K-1 at least once, or
            NOISE.
        recall: the share of the nearest neighbours that were found, 0 to 1, where they were
            approximate.
    """

    ids: np.ndarray
    recall: float | None = None

    def __post_init__(self):
        ids = np.asarray(self.ids).astype(np.int64, casting="safe", copy=False)
        object.__setattr__(self, "ids", ids)
        found = np.unique(self.ids[self.ids != NOISE])
        if not np.array_equal(found, np.arange(len(found))):
            raise ValueError(f"cluster ids must be 0..K-1 without gaps, found {found[:10]} ...")

    def __str__(self) -> str:
        clusters, images = counted(self.clusters, "cluster"), counted(len(self.ids), "image")
        return f"{clusters} of {images}, {self.noise:.0%} noise"

    def __repr__(self) -> str:
        return f"<PseudoLabels: {self}>"

    @property
    def clusters(self) -> int:
        """The number of clusters, K."""
        return int(self.ids.max(initial=NOISE)) + 1

    @property
    def noise(self) -> float:
        """The share of images in no cluster, 0 to 1."""
        return float(np.mean(self.ids == NOISE)) if len(self.ids) else 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """One image of a gallery that was found for a query; prints as a line."""

    query: Image
    """What was searched for."""
    image: Image
    """What was found."""
    rank: int
    """Its place among the hits of the query, from 1, the most similar first."""
    similarity: float
    """Cosine of the two features, -1 to 1; 1 is the same picture. Not proof of identity."""

    def __str__(self) -> str:
        seen = "" if self.image.camera is None else f" (camera {self.image.camera})"
        return f"{self.rank}. {self.similarity:.3f} {self.image.path}{seen}"

    def __repr__(self) -> str:
        return f"<Hit: {self}>"


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well each query found its person: what metrics, plots and tables share.

    Args:
        queries: (V,) positions of the queries that have a match and so can be judged.
        skipped: number of queries without a match, left out of every mean.
        average_precision: (V,) in 0..1.
        first_match: (V,) rank of the first right image, counted from 1.
        inverse_penalty: (V,) matches / rank of the last match (INP, Ye et al., TPAMI 2021).
        top: (V, k) gallery positions of the nearest images that count, -1 where there are fewer.
        right: (V, k) whether each of them shows the query's person.
    """

    queries: np.ndarray
    skipped: int
    average_precision: np.ndarray
    first_match: np.ndarray
    inverse_penalty: np.ndarray
    top: np.ndarray
    right: np.ndarray

    def __str__(self) -> str:
        queries = counted(len(self.queries), "query", "queries")
        return f"mAP {self.mean_ap:.1%}, rank-1 {self.cmc(1):.1%} ({queries})"

    def __repr__(self) -> str:
        return f"<Ranking: {self}>"

    @property
    def mean_ap(self) -> float:
        """Mean average precision, mAP, 0 to 1."""
        return float(self.average_precision.mean())

    @property
    def mean_inp(self) -> float:
        """Mean inverse negative penalty, mINP, 0 to 1."""
        return float(self.inverse_penalty.mean())

    def cmc(self, rank: int) -> float:
        """Share of queries with a right image among the first `rank` (CMC), 0 to 1."""
        return float(np.mean(self.first_match <= rank))

    def summary(self) -> dict[str, float]:
        """Give the numbers a table shows, each 0 to 1: mAP, rank-1, rank-5, rank-10, mINP."""
        ranks = {f"rank{k}": self.cmc(k) for k in (1, 5, 10)}
        return {"mAP": self.mean_ap, **ranks, "mINP": self.mean_inp}
