"""The files of a run, and what its encoder makes of the images."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reseen.data.check import unmatched
from reseen.data.loading import Crops, Loading
from reseen.engine import extract as extraction
from reseen.engine.device import Device
from reseen.engine.evaluate import search
from reseen.engine.folder import (
    checkpoint,
    last_round,
    read_facts,
    read_labels,
    read_metrics,
    read_paths,
    worked_out,
)
from reseen.engine.progress import QUIET, Screen
from reseen.errors import CheckpointError, DataError, SettingsError
from reseen.nets.encoder import Encoder
from reseen.records import NOISE, Dataset, Image, PseudoLabels, Ranking, camera_names, distinct
from reseen.training import is_shipped, load


class Learnt(NamedTuple):
    """The training images of a run, with the features of the encoder of its last round."""

    images: tuple[Image, ...]
    """N records; with cameras and people if the data has them."""
    features: np.ndarray
    """(N, D) float32 unit rows."""
    labels: PseudoLabels | None = None
    """Of the last round with clusters, or None; numbered without gaps if clusters have lost all
    their pictures."""
    before: PseudoLabels | None = None
    """Of the round before, if it has clusters."""


class Tested(NamedTuple):
    """Queries and gallery, each picture once, with the features of the encoder."""

    images: tuple[Image, ...]
    features: np.ndarray
    """(M, D) float32 unit rows."""
    ranking: Ranking
    data: Dataset
    """Queries and gallery that were searched, to which the ranking refers."""


class Evidence:
    """A run to report on, finished or not; everything is read when it is first needed.

    It can also be the encoder that comes with reseen, without a run, to show its features of data.

    Args:
        folder: of the run; or `reseen-tiny`, which needs data.
        data: the training data, with its queries and gallery; without it the training images are
            those in the list of the run, and their cameras and people are unknown.
        title: name of the run; by default that of its folder.
        centring: mean, deviation or off, as in `training.extract`; needs data, for the cameras.
        device, loading: as in `training.load` and `training.extract`.
        screen: shows the progress.

    Raises:
        CheckpointError: the folder holds no run.
        SettingsError: there is neither a run nor data, or centring without data.
    """

    def __init__(
        self,
        folder: Path | str,
        data: Dataset | None = None,
        *,
        title: str = "",
        centring: str = "off",
        device: Device | None = None,
        loading: Loading | None = None,
        screen: Screen = QUIET,
    ):
        self.folder = Path(folder)
        self.data = data
        self.title = (title or self.folder.resolve().name).encode(errors="replace").decode()
        self.centring = centring
        if centring != "off" and data is None:
            raise SettingsError(
                f"centring is {centring!r}, but without data no camera is known. Give the data too "
                "(--data DATA), or leave out centring."
            )
        self.shipped = is_shipped(self.folder)
        if self.shipped and not (data and data.train):
            raise SettingsError(
                f"{folder} is not a run, so a report needs crops: reseen report {folder} DATA."
            )
        self.facts: dict[str, Any] = {"settings": {}} if self.shipped else read_facts(self.folder)
        self._look()
        self._device = device
        self._loading = loading
        self.screen = screen
        self._features: dict[Path, np.ndarray] = {}
        self._frames: dict[Path, tuple[str, ...]] = {}

    def _look(self) -> None:
        """Read how far the run is: metrics after the last checkpoint do not count."""
        self.round = last_round(self.folder)
        rows = read_metrics(self.folder)
        self.rows = [row for row in rows if row["round"] <= self.round] if self.trained else rows
        self.unkept = [int(row["round"]) for row in rows[len(self.rows) :]]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run, with the values of automatic ones."""
        return self.facts["settings"] | worked_out(self.facts)

    @property
    def trained(self) -> bool:
        """Whether there is an encoder: after a finished round, or without a run."""
        return self.shipped or checkpoint(self.folder, "last").exists()

    @property
    def searchable(self) -> bool:
        """Whether the data has a query with a match in its gallery."""
        data = self.data
        return data is not None and sum(1 for _ in unmatched(data)) < len(data.query)

    @property
    def left_out(self) -> int:
        """Number of training images that could not be read, among those that were read so far."""
        seen = "learnt" in vars(self)
        return len(self._paths()) - len(self.learnt.images) if seen else 0

    @property
    def first_frames(self) -> bool:
        """Whether tracklets are represented by their first frames, because there is no data."""
        return self.data is None and "frames" in self.facts.get("data", {})

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of the last round."""
        encoder = load(self.folder, device=self._device)
        while last_round(self.folder) != self.round:  # it finished another round
            self._look()
            encoder = load(self.folder, device=self._device)
        return encoder

    @cached_property
    def labelled(self) -> int:
        """The last round with pseudo-labels, up to that of the encoder; 0 if there is none."""
        if not self.trained:
            return 0
        _ = self.encoder  # from here on the round is fixed
        done = range(self.round, 0, -1)
        return next((number for number in done if read_labels(self.folder, number)), 0)

    @cached_property
    def labels(self) -> PseudoLabels | None:
        """The last pseudo-labels, or None."""
        return read_labels(self.folder, self.labelled)

    @cached_property
    def labels_before(self) -> PseudoLabels | None:
        """The pseudo-labels of the round before, of the same images; None if it has none."""
        return read_labels(self.folder, self.labelled - 1)

    @cached_property
    def learnt(self) -> Learnt:
        """The training images, their features and clusters.

        Raises:
            DataError: pictures are missing, or the data is different.
        """
        paths = self._paths()
        if not paths or any(path == Path() or "\0" in str(path) for path in paths):
            raise self._lost(paths)
        images = found(paths, self.data) if self.data else tuple(map(Image, paths))
        if self.data is None:
            _demand(paths, self.folder)
        if any(each and len(each.ids) != len(paths) for each in (self.labels, self.labels_before)):
            raise self._lost(paths)
        kept = self._extract(images)
        features = self._stack([images[i] for i in kept])
        labels, before = (
            rounds and gapless(rounds.ids[kept]) for rounds in (self.labels, self.labels_before)
        )
        return Learnt(self._sound(images[i] for i in kept), features, labels, before)

    @cached_property
    def tested(self) -> Tested:
        """Queries and gallery, their features and the ranking; check `searchable` first."""
        assert self.data is not None
        images = distinct(self.data.query, self.data.gallery)
        kept = self._sound(images[i] for i in self._extract(images))
        features, read = self._stack(kept), {image.path for image in kept}
        query = (i for i in self.data.query if i.path in read and i.person is not None)
        gallery = (i for i in self.data.gallery if i.path in read)
        data = replace(self.data, query=tuple(query), gallery=tuple(gallery))
        return Tested(kept, features, search(data, kept, features), data)

    def _paths(self) -> list[Path]:
        if self.shipped and self.data:
            return [image.path for image in self.data.train]
        return read_paths(self.folder)

    def crops(self, images: Sequence[Image]) -> Crops:
        """Read a few images at the size of the encoder; of tracklets their first frames."""
        stills = [replace(image, path=image.paths[0], frames=()) for image in images]
        return extraction.load(stills, self.encoder, self._loading)

    def _lost(self, paths: Sequence[Path]) -> CheckpointError:
        counts = sorted({len(each.ids) for each in (self.labels, self.labels_before) if each})
        return CheckpointError(
            f"{self.folder / 'images.txt'} is damaged or missing: it lists {len(paths)} images"
            + "".join(f", but there are pseudo-labels of {count}" for count in counts)
            + ". Run the training command again to restore it, or leave out the parts that need "
            "images (--only run)."
        )

    def _extract(self, images: Sequence[Image]) -> list[int]:
        """Compute missing features; return the positions of images that have features."""
        new = [image for image in images if image.path not in self._features]
        if new:
            crops = extraction.load(new, self.encoder, self._loading, self.screen)
            track = self.screen.track("extracting")
            rows = extraction.extract(self.encoder, crops, track=track)
            if self.centring != "off" and self.data:
                cameras = camera_names(crops.images, self.data.cameras)
                rows = extraction.centred(self.encoder, rows, cameras, self.centring)
            self._features |= dict(zip((i.path for i in crops.images), rows, strict=True))
            self._frames |= {image.path: image.frames for image in crops.images}
        return [i for i, image in enumerate(images) if image.path in self._features]

    def _sound(self, images: Iterable[Image]) -> tuple[Image, ...]:
        """Return tracklets without the frames that could not be read."""
        return tuple(replace(image, frames=self._frames[image.path]) for image in images)

    def _stack(self, images: Sequence[Image]) -> np.ndarray:
        return np.stack([self._features[image.path] for image in images])


def found(paths: Sequence[Path], data: Dataset) -> tuple[Image, ...]:
    """Find the training images of a run in its data, which may have been moved.

    Args:
        paths: N, as in the list of the run.
        data: contains them, in the same folders below its root.

    Raises:
        DataError: some are missing.
    """
    known = {image.path: image for image in data.train}
    below = {_tail(image.path, data.root): image for image in data.train}
    images = []
    for path in paths:
        tails = (path.parts[i:] for i in range(len(path.parts)))
        image = known.get(path) or next((below[t] for t in tails if t in below), None)
        if image is None:
            raise DataError(
                f"The run was trained on {path}, which is not among the {len(data.train)} training "
                f"images of {data.root}. Give the data that it was trained on, read the same way."
            )
        images.append(image)
    return tuple(images)


def _tail(path: Path, root: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts if path.is_relative_to(root) else path.parts


def _demand(paths: Sequence[Path], folder: Path) -> None:
    lost = [path for path in paths if not path.exists()]
    if lost:
        raise DataError(
            f"{len(lost)} of the {len(paths)} training images of {folder} are missing, the first "
            f"is {lost[0]}. Run this in the folder in which the run was trained, or give the new "
            "place of the data: --data DATA."
        )


def gapless(ids: np.ndarray) -> PseudoLabels:
    """Number the remaining clusters 0..K-1 in their order, if pictures are missing.

    Args:
        ids: (N,) int64, numbers from 0 with gaps, or NOISE.
    """
    _, places = np.unique(np.append(ids, NOISE), return_inverse=True)
    return PseudoLabels(places[:-1] - 1)


def titles(folders: Sequence[Path]) -> list[str]:
    """Name runs by their folders, with as many parent folders as are needed to distinguish them."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]
