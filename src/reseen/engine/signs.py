"""What a training run shows, without any label, of whether it goes well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reseen.errors import counted

NOISY = 0.5
"""Share of images in no cluster that is said."""
STABLE = 0.5
"""Agreement with the labels of the round before (ARI) that no sign is given above."""
FALL = 0.15
"""How far the agreement falls below its best before that is said."""
RISE = 1.25
"""How many times its lowest the loss rises to before that is said."""

SCORE = "shared_neighbours"
"""The score without labels in the rows of a run."""

HARM = 0.01
"""How far the score without labels may end below its best before training is said to do harm."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that a run shows when it goes wrong."""

    kind: str
    """clusters, noise, stability, loss or start: what shows it."""
    said: str
    """A sentence with the numbers that were seen."""
    cure: str
    """A sentence that says what to change."""


def signs(
    rows: Sequence[Mapping[str, float]],
    images: int,
    expected: tuple[float, float] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Sign]:
    """Say what goes wrong in a run.

    Args:
        rows: the run's metrics so far, one mapping a round, in order, as in metrics.jsonl.
        images: the number of training images, N.
        expected: the fewest and the most clusters that the neighbourhoods of the first features
            suggest, where that is known.
        settings: of the method, by flat names.

    Returns:
        What is wrong after the last of these rounds, the worst first; nothing if all is well.
    """
    trained = [row for row in rows if row.get("round", 1) > 0]
    if not trained:
        return []
    settings = settings or {}
    if "merge_rate" in settings:
        expected = None  # it begins with one cluster an image
    cure = _less_noise(settings)
    found = [_clusters(trained[-1], images, expected, cure), _noise(trained[-1], images, cure)]
    if settings.get("loss") != "triplet":  # which rises as the hardest triplets become harder
        found.append(_loss(trained))
    found += [_stability(trained), _start(rows)]
    return [sign for sign in found if sign is not None]


def _clusters(
    row: Mapping[str, float], images: int, expected: tuple[float, float] | None, less_noise: str
) -> Sign | None:
    if "clusters" not in row:
        return None
    clusters, noise = int(row["clusters"]), row.get("noise", 0.0)
    among = f"{counted(clusters, 'cluster')} among {counted(images, 'image')}"
    if clusters < 2:
        cure = (
            f"Nearly every image is alone. {less_noise}"
            if noise > NOISY
            else "All images hang together: lower --k1 and --k2 (--k1 is best at one to two times "
            "the images of a person), then --eps."
        )
        return Sign("clusters", f"{among} ({noise:.0%} noise): too few to learn from.", cure)
    if expected is None or expected[0] <= clusters <= expected[1]:
        return None
    low, high = (round(bound) for bound in expected)
    said = f"{among}, where the neighbourhoods of the first features suggest {low} to {high}."
    if clusters > expected[1]:
        return Sign("clusters", said, "People are torn apart: raise --k1, then --eps.")
    if noise > NOISY:
        return Sign("clusters", said, f"Most images are left out. {less_noise}")
    return Sign("clusters", said, "Different people are mixed: lower --k1, then --eps.")


def _noise(row: Mapping[str, float], images: int, cure: str) -> Sign | None:
    noise = row.get("noise", 0.0)
    if noise <= NOISY or row.get("clusters", 2) < 2:
        return None
    said = f"{noise:.0%} of {counted(images, 'image')} are in no cluster and are not learnt from."
    return Sign("noise", said, cure)


def _less_noise(settings: Mapping[str, Any]) -> str:
    if settings.get("labelling") == "two-stage":
        return (
            "Fit M and p to how many images a person has (--clusters auto --p auto "
            "--images-per-person N), or change --clusters and --p by hand."
        )
    if settings.get("share") and settings.get("eps") == 0:
        return (
            "eps follows from --share, which is too small here: fit it to how many images a person "
            "has (--share auto --images-per-person N), raise it, or give --eps 0.5 in its place."
        )
    return "Raise --eps a little (by 0.05), or lower --min-samples to 2."


def _stability(rows: Sequence[Mapping[str, float]]) -> Sign | None:
    seen = [row["stability"] for row in rows if "stability" in row]
    if len(seen) < 2 or seen[-1] >= STABLE or seen[-1] > max(seen) - FALL:
        return None
    return Sign(
        "stability",
        f"The labels agree to {seen[-1]:.2f} with those of the round before; it was "
        f"{max(seen):.2f}.",
        "The clusters change faster than they can be learnt: lower --k1 or --eps, or --rate.",
    )


def _loss(rows: Sequence[Mapping[str, float]]) -> Sign | None:
    seen = [row["loss"] for row in rows if "loss" in row]
    if len(seen) < 3 or not seen[-1] > seen[-2] or not seen[-1] > RISE * min(seen):
        return None
    return Sign(
        "loss",
        f"The loss rose to {seen[-1]:.2f}, from {min(seen):.2f}.",
        "The labels contradict what was learnt: lower --rate, or --k1 and --eps if the clusters "
        "are large.",
    )


def _start(rows: Sequence[Mapping[str, float]]) -> Sign | None:
    judged = [row for row in rows if "mAP" in row]
    if len(judged) > 1 and judged[0].get("round") == 0 and judged[-1] is rows[-1]:
        before, now = judged[0]["mAP"], judged[-1]["mAP"]
        said = f"Searching finds people no better than the start did: {now:.1%} mAP, "
        said += f"{before:.1%} before."
    else:
        scores = progress(rows)
        if len(scores) < 3:  # after one round it may still go either way
            return None
        before, now = scores[0], scores[-1]
        said = f"Neighbours share no more of their neighbours than at the start: {now:.0%}, "
        said += f"{before:.0%} before."
    if now > before:
        return None
    cure = "Keep the start, lower --rate, or give a better start (--start, --encoder.weights)."
    return Sign("start", said, cure)


def progress(rows: Sequence[Mapping[str, float]]) -> list[float]:
    """Give the score without labels of the start and of each round after it, as far as it is known.

    It is `metrics.neighbourhood.shared_neighbours` of the training images, as the encoder of the
    round's end sees them.

    Args:
        rows: as in `signs`.
    """
    return [row[SCORE] for row in rows if SCORE in row]


def best_round(rows: Sequence[Mapping[str, float]]) -> int | None:
    """Choose the round whose encoder a run should give instead of the last.

    Args:
        rows: as in `signs`.

    Returns:
        None where the last score is within HARM of the best one, or none is known: the last round
        it is. Else the round of the best one, 0 for the start.
    """
    scored = [row for row in rows if SCORE in row]
    if not scored:
        return None
    best = max(scored, key=lambda row: row[SCORE])
    return None if scored[-1][SCORE] >= best[SCORE] - HARM else int(best["round"])
