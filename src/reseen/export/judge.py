"""The accuracy of an exported file, and its threshold."""

from typing import Any

import numpy as np

from reseen.data.loading import Crops
from reseen.engine import extract as extraction
from reseen.engine.evaluate import search
from reseen.engine.progress import QUIET, Screen
from reseen.errors import SettingsError
from reseen.metrics.operating import pairs_with_truth, suggest_threshold
from reseen.nets.encoder import AnyEncoder
from reseen.records import Dataset, Ranking, cameras_of, people_of

RATE = 0.01
"""Share of the pairs of different people that match at the threshold of a card."""


def judge(
    encoder: AnyEncoder, crops: Crops, data: Dataset, screen: Screen = QUIET
) -> tuple[Ranking, np.ndarray]:
    """Search the gallery of a data set (Market-1501 protocol).

    Args:
        encoder: an encoder or an exported file.
        crops: the queries and gallery, at its size.
        data: defines which are which.
        screen: shows the progress.

    Returns:
        The ranking, and the features (N, D) of the crops.

    Raises:
        DataError: no query has a match.
    """
    features = extraction.extract(encoder, crops, track=screen.track("searching"))
    return search(data, crops.images, features), features


def threshold(features: np.ndarray, crops: Crops, data: Dataset) -> dict[str, Any]:
    """Find the similarity at which a hundredth of the pairs of different people match.

    Args:
        features: (N, D) unit rows of the crops, of known people.
        crops: N crops.
        data: for its name.

    Returns:
        `similarity` (cosine) and its `source` in a sentence, for a card.

    Raises:
        DataError: there are no pairs of one kind.
        SettingsError: there are too few pairs of different people.
    """
    people, cameras = people_of(crops.images), cameras_of(crops.images)
    pairs = pairs_with_truth(features, people, cameras, np.random.default_rng(0))
    found = suggest_threshold(
        pairs.same,
        pairs.different,
        RATE,
        same_groups=pairs.same_groups,
        different_groups=pairs.different_groups,
        resamples=200,
    )
    low, high = found.false_matches_range
    return {
        "similarity": round(1 - found.distance, 4),
        "source": f"{data.name}: {len(pairs.different):,} pairs of different people, of which "
        f"{found.false_matches:.2%} match ({low:.2%} to {high:.2%}), and {len(pairs.same):,} of "
        f"the same person, of which {found.misses:.1%} do not, by two cameras",
    }


def given(similarity: float | None) -> dict[str, Any] | None:
    """Return a threshold that was chosen by hand in the format of a card.

    Raises:
        SettingsError: it is not a cosine.
    """
    if similarity is None:
        return None
    if not -1 <= similarity <= 1:
        raise SettingsError(f"threshold is {similarity}. Use a cosine, -1 to 1.")
    return {"similarity": similarity, "source": "given by hand"}
