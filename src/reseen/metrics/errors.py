"""Confusions of an encoder: wrong best matches by camera, and the margins of triplets.

The two analyses of Ji et al., An Attention-driven Two-stage Clustering Method (ADTC), ECCV 2020,
Sec. 4.4: an encoder that has learnt backgrounds makes its errors within a camera.
"""

from dataclasses import dataclass

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.kernels.neighbours import check_rows
from reseen.records import Dataset, Ranking, cameras_of


@dataclass(frozen=True, slots=True)
class FirstErrors:
    """How many queries have a correct best match, and the cameras of wrong ones.

    Args:
        right: number of queries whose best match shows their person.
        in_camera: whose best match shows somebody else, on the query's own camera (ICE).
        cross_camera: somebody else, on another camera (CCE).
        unknown: somebody else, and one of the two cameras is unknown.
        cameras: (C,) int64, all known cameras, ascending.
        asked: (C,) number of queries of each camera.
        wrong: (C, C) errors by the query's camera (row) and the best match's camera (column).
    """

    right: int
    in_camera: int
    cross_camera: int
    unknown: int
    cameras: np.ndarray
    asked: np.ndarray
    wrong: np.ndarray

    @property
    def queries(self) -> int:
        """Number of all queries that were evaluated."""
        return self.right + self.in_camera + self.cross_camera + self.unknown


def first_errors(ranking: Ranking, data: Dataset) -> FirstErrors:
    """Split the rank-1 errors by camera.

    Args:
        ranking: of all queries and the whole gallery of `data`.
        data: for its cameras.

    Raises:
        DataError: the ranking does not belong to the data.

    Source: Ji et al., ADTC, ECCV 2020, Sec. 4.4 and Fig. 4. Memory: O(Q + G + C^2).
    """
    first = ranking.top[:, 0]
    if ranking.queries.max(initial=-1) >= len(data.query) or first.max(initial=-1) >= len(
        data.gallery
    ):
        raise DataError(
            f"The ranking has more queries or images than {data.root} "
            f"({len(data.query)} and {len(data.gallery)}). Give the data that was searched."
        )
    asked, shown = cameras_of(data.query), cameras_of(data.gallery)
    cameras = np.unique(np.concatenate([asked, shown]))
    cameras = cameras[cameras >= 0]
    asked, shown = asked[ranking.queries], shown[first]
    row, column = (np.searchsorted(cameras, part) for part in (asked, shown))
    error = ~ranking.right[:, 0]
    known = (asked >= 0) & (shown >= 0)
    wrong = np.zeros((len(cameras), len(cameras)), np.int64)
    np.add.at(wrong, (row[error & known], column[error & known]), 1)
    return FirstErrors(
        right=int((~error).sum()),
        in_camera=int(wrong.trace()),
        cross_camera=int(wrong.sum() - wrong.trace()),
        unknown=int((error & ~known).sum()),
        cameras=cameras,
        asked=np.bincount(row[asked >= 0], minlength=len(cameras)),
        wrong=wrong,
    )


def triplet_margins(
    features: np.ndarray, people: np.ndarray, rng: np.random.Generator, count: int = 10_000
) -> np.ndarray:
    """Draw triplets, and compute how much farther the negative is than the positive.

    The anchor is any image of a person with at least two images, the positive any other image of
    the same person, the negative any image of somebody else; a triplet can be drawn twice.

    Args:
        features: (N, D) unit rows.
        people: (N,) int; below 0 (JUNK, unknown) is left out.
        rng: random generator.
        count: number of triplets. Paper: 10,000.

    Returns:
        (count,) float64: squared Euclidean distance of anchor and negative minus that of anchor and
        positive, -4 to 4; above 0 is correct.

    Raises:
        DataError: the rows are invalid, people has another length, nobody has two images, or there
            is only one person.
        SettingsError: count is below 1.

    Source: Ji et al., ADTC, ECCV 2020, Sec. 4.4 (delta) and Fig. 3C. Memory: O(N + count D).
    """
    rows, people = check_rows(features), np.asarray(people, np.int64)
    if count < 1:
        raise SettingsError(f"count is {count}. Give 1 or more triplets.")
    if people.shape != (len(rows),):
        raise DataError(f"people has shape {people.shape} for {len(rows)} images. Give one each.")
    order = np.argsort(people, kind="stable")
    order = order[people[order] >= 0]
    person = people[order]
    start, end = (np.searchsorted(person, person, side) for side in ("left", "right"))
    paired = np.flatnonzero(end - start > 1)
    if len(paired) == 0 or end[0] == len(order):
        raise DataError(
            f"There are no triplets in {len(order)} images of {len(np.unique(person))} known "
            "people. At least two people are needed, one of them with two images."
        )
    anchor = rng.choice(paired, count)
    start, end = start[anchor], end[anchor]
    positive = rng.integers(start, end - 1)
    positive += positive >= anchor  # skip the anchor itself
    negative = rng.integers(0, len(order) - (end - start))
    negative += np.where(negative >= start, end - start, 0)  # skip the anchor's person
    a, p, n = (rows[order[place]].astype(np.float64) for place in (anchor, positive, negative))
    return np.square(a - n).sum(1) - np.square(a - p).sum(1)
