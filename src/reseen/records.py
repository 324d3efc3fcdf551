"""The frozen records that the parts of the package exchange.

Letters in all docstrings: N images, B batch, D feature size, K clusters, Q queries, G gallery,
C, H, W channels, height, width, P people and V views in a batch.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from reseen.errors import DataError, counted

NOISE = -1
"""The pseudo-label of an image that belongs to no cluster."""

JUNK = -1
"""The person of an image that evaluation ignores, as in Market-1501."""


@dataclass(frozen=True, slots=True)
class Image:
    """One crop of a person, or one tracklet: its files, and what is known about it.

    A tracklet is a series of crops of one person from consecutive frames of one camera.
    """

    path: Path
    """Path of the crop; for a tracklet, of its first frame."""
    person: int | None = None
    """Identity, or JUNK, or None if it is unknown or removed."""
    camera: int | None = None
    """Number of the camera, or None if unknown."""
    time: float | None = None
    """Time stamp in the unit of the data set (seconds or frames), or None."""
    frames: tuple[str, ...] = field(default=(), repr=False)
    """File names of the frames of a tracklet, in order, in the folder of `path`; empty for a single
    crop."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of all files: of the crop, or of the frames of the tracklet."""
        return tuple(self.path.with_name(name) for name in self.frames) or (self.path,)


def people_of(images: Iterable[Image]) -> np.ndarray:
    """Return the person on each image (N,) int64, JUNK if unknown."""
    return np.array([JUNK if i.person is None else i.person for i in images], np.int64)


def cameras_of(images: Iterable[Image]) -> np.ndarray:
    """Return the camera of each image (N,) int64, -1 if unknown."""
    return np.array([-1 if i.camera is None else i.camera for i in images], np.int64)


def camera_names(images: Iterable[Image], names: Mapping[int, str]) -> list[str | None]:
    """Return the name of the camera of each image, None if unknown.

    Args:
        images: N records.
        names: by number (`Dataset.cameras`); cameras without a name are named by their number.
    """
    told = {number: _WHOLE.sub(r"\1", name.strip()) for number, name in names.items()}
    return [None if i.camera is None else told.get(i.camera, str(i.camera)) for i in images]


_WHOLE = re.compile(r"^0*(\d+)(?:\.0+)?$")
"""A camera's number, however it is written: 7, 07 or 7.0."""


def identities(images: Iterable[Image], shows: str) -> tuple[int, np.ndarray]:
    """Number the people on labelled training images.

    Args:
        images: N records of known people.
        shows: beginning of the error message, such as "The source shows".

    Returns:
        The number of people, and (N,) int64 the person on each image, from 0.

    Raises:
        DataError: fewer than two people.
    """
    people = np.array([image.person for image in images], np.int64)
    names, ids = np.unique(people, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"{shows} {counted(len(names), 'person who is', 'people who are')} known, but training "
            "with labels needs two or more. Check how the folder is read (reseen data check); if "
            "each sub-folder is a person, use --folders person."
        )
    return len(names), ids


def distinct(*parts: Iterable[Image]) -> tuple[Image, ...]:
    """Return the images of all parts, each path once, in order."""
    return tuple({image.path: image for part in parts for image in part}.values())


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training images, and queries and a gallery for evaluation if people are known."""

    name: str
    root: Path
    train: tuple[Image, ...]
    query: tuple[Image, ...] = ()
    gallery: tuple[Image, ...] = ()
    cameras: Mapping[int, str] = field(default_factory=dict)
    """Names of the cameras, if the folder provides them."""
    notes: tuple[str, ...] = ()
    """Remarks on how the data set was read, such as on files that were skipped."""
    format: str = field(default="", compare=False)
    """Name of the reader in `data.reading.READERS`, such as "market1501"; "folder" and "tracklets"
    are images of your own. Empty if the data set was not read from a folder."""

    def __str__(self) -> str:
        train = counted(len(self.train), "training image")
        query = counted(len(self.query), "query", "queries")
        gallery = counted(len(self.gallery), "gallery image")
        return f"{self.name}: {train}, {query}, {gallery}"

    def __repr__(self) -> str:
        return f"<Dataset: {self}>"

    def unlabelled(self, seed: int) -> tuple[Image, ...]:
        """Return the training images without identities, in an order that does not reveal them."""
        return tuple(replace(image, person=None) for image in self._shuffled(seed))

    def labelled(self, seed: int) -> tuple[Image, ...]:
        """Return the training images of known people, in the order of `unlabelled`."""
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
    """The pseudo-labels of one round: the cluster of each image, or NOISE.

    Args:
        ids: (N,) int64 (other integers are converted), with every value of 0..K-1 at least once, or
            NOISE.
        recall: the share of the nearest neighbours that were found, 0 to 1, if they are
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
    """One gallery image that was found for a query. It prints as one line."""

    query: Image
    """The image that was searched for."""
    image: Image
    """The image that was found."""
    rank: int
    """Rank among the hits of the query, from 1 for the most similar."""
    similarity: float
    """Cosine similarity of the two features, -1 to 1; 1 is the same picture. Not proof of
    identity."""

    def __str__(self) -> str:
        seen = "" if self.image.camera is None else f" (camera {self.image.camera})"
        return f"{self.rank}. {self.similarity:.3f} {self.image.path}{seen}"

    def __repr__(self) -> str:
        return f"<Hit: {self}>"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Result of an evaluation: how well each query found its person.

    Args:
        queries: (V,) positions of the queries that have a match in the gallery.
        skipped: number of queries without a match, which are left out of all means.
        average_precision: (V,) average precision, 0 to 1.
        first_match: (V,) rank of the first right image, from 1.
        inverse_penalty: (V,) matches / rank of the last match (INP, Ye et al., TPAMI 2021).
        top: (V, k) gallery positions of the most similar images, -1 if there are fewer.
        right: (V, k) whether each of them shows the person of the query.
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
        """Return mAP, rank-1, rank-5, rank-10 and mINP, each 0 to 1."""
        ranks = {f"rank{k}": self.cmc(k) for k in (1, 5, 10)}
        return {"mAP": self.mean_ap, **ranks, "mINP": self.mean_inp}
