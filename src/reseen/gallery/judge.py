"""Evaluate how well a gallery finds people again, on a data set with known identities."""

import numpy as np

from reseen.gallery.gallery import Gallery
from reseen.gallery.records import id_of
from reseen.metrics.ranking import rank
from reseen.records import Dataset, Ranking, cameras_of, people_of


def ranked(gallery: Gallery, data: Dataset) -> Ranking:
    """Search a gallery for every query of a data set, and evaluate the result.

    Args:
        gallery: contains the gallery images of the data, and nothing else.
        data: its queries are searched for, by the protocol of Market-1501 (`metrics.ranking.rank`).

    Returns:
        The same as `reseen.evaluate` for the encoder of the gallery.

    Raises:
        DataError: no query can be evaluated, or an image of the data is not in the gallery.
    """
    query = [image for image in data.query if image.person is not None]
    ids = [id_of(image.path.read_bytes()) for image in data.gallery]
    place = {id: i for i, id in enumerate(ids)}

    def distances():
        for start in range(0, len(query), 256):
            block = np.full((len(query[start : start + 256]), len(ids)), np.inf, np.float32)
            found = gallery.search(query[start : start + 256], top=len(ids))
            for row, matches in zip(block, found, strict=True):
                row[[place[match.crop.id] for match in matches]] = [
                    np.float32(1) - np.float32(match.similarity) for match in matches
                ]
            yield start, block

    itself = [place.get(id_of(image.path.read_bytes()), -1) for image in query]
    return rank(
        distances(),
        query_person=people_of(query),
        gallery_person=people_of(data.gallery),
        query_camera=cameras_of(query),
        gallery_camera=cameras_of(data.gallery),
        query_itself=np.array(itself, np.int64),
    )
