"""Evaluate how well an encoder finds people again; only this part of training knows identities."""

from collections.abc import Iterable, Sequence

import numpy as np

from reseen.data.check import unmatched
from reseen.data.loading import Crops, Loading
from reseen.engine import processes
from reseen.engine.extract import centred, extract, load, sharers
from reseen.engine.progress import QUIET, Screen
from reseen.errors import DataError, counted
from reseen.metrics.agreement import agreement
from reseen.metrics.ranking import cosine_blocks, rank
from reseen.metrics.rerank import rerank_blocks
from reseen.nets.encoder import AnyEncoder
from reseen.records import (
    JUNK,
    Dataset,
    Image,
    PseudoLabels,
    Ranking,
    camera_names,
    cameras_of,
    distinct,
    people_of,
)


class Judge:
    """Knows the identities of a data set, and returns numbers, never labels.

    Args:
        dataset: its gallery is searched for its queries; with the identities of its training
            images, pseudo-labels are evaluated.
        loading: how pictures are read; they are kept from one search to the next.
        screen: shows the progress.
    """

    def __init__(self, dataset: Dataset, loading: Loading | None = None, screen: Screen = QUIET):
        self._dataset = dataset
        self._loading = loading
        self._screen = screen
        self._person = {image.path: image.person for image in dataset.train}
        self._crops: Crops | None = None

    @property
    def can_search(self) -> bool:
        """Whether at least one query has a match in the gallery."""
        return sum(1 for _ in unmatched(self._dataset)) < len(self._dataset.query)

    @property
    def unsearchable(self) -> str:
        """The message if the gallery cannot be searched."""
        data = self._dataset
        return (
            f"{data.root} has {counted(len(data.query), 'query', 'queries')} and "
            f"{counted(len(data.gallery), 'gallery image')}, and no query has a match. "
            "A search needs people who were seen at least twice, and by two cameras if the cameras "
            "are known."
        )

    def labels(self, images: Iterable[Image], labels: PseudoLabels) -> dict[str, float]:
        """Compare pseudo-labels (N,) of N training images with the identities, if all are known."""
        person = [self._person[image.path] for image in images]
        if any(p in (None, JUNK) for p in person):
            return {}
        return agreement(labels, np.array(person, np.int64))

    def neighbours(self, images: Iterable[Image], found: np.ndarray) -> dict[str, float]:
        """Return the share of found images (N, k) that show the person of their row, if known."""
        person = np.array([-1 if p is None else p for p in (self._person[i.path] for i in images)])
        if (person < 0).any():  # unknown or JUNK
            return {}
        return {"reliable_right": float(np.mean(person[found] == person[:, None]))}

    def search(self, encoder: AnyEncoder, *, rerank: bool = False) -> Ranking:
        """Search the gallery for every query (Market-1501 protocol, see `metrics.ranking.rank`).

        Raises:
            DataError: there is nothing to search, or no query has a match.
        """
        return self.compare(encoder, ("off",), rerank=rerank)["off"]

    def compare(
        self, encoder: AnyEncoder, centrings: Sequence[str], *, rerank: bool = False
    ) -> dict[str, Ranking]:
        """Search with the same features, centred by camera in several ways.

        Args:
            encoder: as in `search`; it must have camera statistics if a centring other than off is
                given.
            centrings: some of off, mean and deviation.
            rerank: as in `search`.

        Raises:
            DataError, SettingsError: as `search` and `centred`.
        """
        data = self._dataset
        if not self.can_search:
            raise DataError(self.unsearchable)
        if self._crops is None:  # a picture that is both query and gallery is read once
            images = distinct(data.query, data.gallery)
            self._crops = load(images, encoder, self._loading, self._screen)
        features = extract(encoder, self._crops, track=self._screen.track("searching"))
        images = self._crops.images
        cameras = camera_names(images, data.cameras)

        def searched() -> dict[str, Ranking]:
            return {
                how: search(data, images, centred(encoder, features, cameras, how), rerank=rerank)
                for how in centrings
            }

        return processes.once(searched) if sharers(encoder) > 1 else searched()


def search(
    data: Dataset, images: Sequence[Image], features: np.ndarray, *, rerank: bool = False
) -> Ranking:
    """Search the gallery of a data set with features, for every query whose person is known.

    Args:
        data: has queries and a gallery; those that are not among the images are left out.
        images: N records.
        features: (N, D) unit rows, in the order of the images.
        rerank: whether to re-rank by k-reciprocal encoding.

    Raises:
        DataError: no query has a match.
    """
    row = {image.path: i for i, image in enumerate(images)}
    query = [image for image in data.query if image.path in row and image.person is not None]
    gallery = [image for image in data.gallery if image.path in row]
    place = {image.path: i for i, image in enumerate(gallery)}
    blocks = (rerank_blocks if rerank else cosine_blocks)(
        features[[row[image.path] for image in query]],
        features[[row[image.path] for image in gallery]],
    )
    return rank(
        blocks,
        query_person=people_of(query),
        gallery_person=people_of(gallery),
        query_camera=cameras_of(query),
        gallery_camera=cameras_of(gallery),
        query_itself=np.array([place.get(image.path, -1) for image in query], np.int64),
    )
