"""Signs, without any label, that a training run goes wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reseen.errors import counted

NOISY = 0.5
"""Share of images in no cluster from which it is reported."""
STABLE = 0.5
"""Agreement with the labels of the round before (ARI) from which it is never reported."""
FALL = 0.15
"""How far the agreement must fall below its maximum to be reported."""
RISE = 1.25
"""By which factor the loss must rise above its minimum to be reported."""

SCORE = "shared_neighbours"
"""Name of the score without labels in the metrics of a run."""

HARM = 0.01
"""How far the last score without labels may be below the best one before it counts as harm."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign that a run goes wrong."""

    kind: str
    """What shows it: clusters, noise, stability, loss or start."""
    said: str
    """A sentence with the numbers that were observed."""
    cure: str
    """A sentence that says what to change."""


def signs(
    rows: Sequence[Mapping[str, float]],
    images: int,
    expected: tuple[float, float] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Sign]:
    """Find what goes wrong in a run.

    Args:
        rows: the run's metrics so far, one mapping for each round, in order, as in metrics.jsonl.
        images: number of training images, N.
        expected: the smallest and the largest number of clusters that the neighbourhoods of the
            first features suggest, if known.
        settings: of the method, by flat names.

    Returns:
        The problems after the last of these rounds, the most serious first; empty if there are
        none.
    """
    trained = [row for row in rows if row.get("round", 1) > 0]
    if not trained:
        return []
    settings = settings or {}
    if "merge_rate" in settings:
        expected = None  # it starts with one cluster for each image
    cure = _less_noise(settings)
    found = [_clusters(trained[-1], images, expected, cure), _noise(trained[-1], images, cure)]
    if settings.get("loss") != "triplet":  # it rises because the hardest triplets become harder
        found.append(_loss(trained))
    found += [_stability(trained), _start(rows)]
    return [sign for sign in found if sign is not None]


def _clusters(
    row: Mapping[str, float], images: int, expected: tuple[float, float] | None, less_noise: str
) -> Sign | None:
    if "clusters" not in row:
        return None
    clusters, noise = int(row["clusters"]), row.get("noise", 0.0)
    among = f"{counted(clusters, 'cluster')} in {counted(images, 'image')}"
    if clusters < 2:
        cure = (
            f"Nearly every image is alone. {less_noise}"
            if noise > NOISY
            else "All images are connected: lower --k1 and --k2 (the best --k1 is one to two times "
            "the number of images of a person), then --eps."
        )
        return Sign("clusters", f"{among} ({noise:.0%} noise): too few to learn from.", cure)
    if expected is None or expected[0] <= clusters <= expected[1]:
        return None
    low, high = (round(bound) for bound in expected)
    said = f"{among}, but the neighbourhoods of the first features suggest {low} to {high}."
    if clusters > expected[1]:
        return Sign("clusters", said, "People are split up: raise --k1, then --eps.")
    if noise > NOISY:
        return Sign("clusters", said, f"Most images are left out. {less_noise}")
    return Sign("clusters", said, "Different people are mixed: lower --k1, then --eps.")


def _noise(row: Mapping[str, float], images: int, cure: str) -> Sign | None:
    noise = row.get("noise", 0.0)
    if noise <= NOISY or row.get("clusters", 2) < 2:
        return None
    said = f"{noise:.0%} of {counted(images, 'image')} are in no cluster and not used in training."
    return Sign("noise", said, cure)


def _less_noise(settings: Mapping[str, Any]) -> str:
    if settings.get("labelling") == "two-stage":
        return (
            "Set M and p according to the number of images per person (--clusters auto --p auto "
            "--images-per-person N), or change --clusters and --p by hand."
        )
    if settings.get("share") and settings.get("eps") == 0:
        return (
            "eps is derived from --share, which is too small here: derive it from the number of "
            "images per person (--share auto --images-per-person N), raise it, or use --eps 0.5."
        )
    return "Raise --eps a little (by 0.05), or lower --min-samples to 2."


def _stability(rows: Sequence[Mapping[str, float]]) -> Sign | None:
    seen = [row["stability"] for row in rows if "stability" in row]
    if len(seen) < 2 or seen[-1] >= STABLE or seen[-1] > max(seen) - FALL:
        return None
    return Sign(
        "stability",
        f"The labels agree with those of the round before by only {seen[-1]:.2f}; it was "
        f"{max(seen):.2f}.",
        "The clusters change too fast to be learnt: lower --k1 or --eps, or --rate.",
    )


def _loss(rows: Sequence[Mapping[str, float]]) -> Sign | None:
    seen = [row["loss"] for row in rows if "loss" in row]
    if len(seen) < 3 or not seen[-1] > seen[-2] or not seen[-1] > RISE * min(seen):
        return None
    return Sign(
        "loss",
        f"The loss rose to {seen[-1]:.2f}, from {min(seen):.2f}.",
        "The labels contradict what was learnt before: lower --rate, or --k1 and --eps if the "
        "clusters are large.",
    )


def _start(rows: Sequence[Mapping[str, float]]) -> Sign | None:
    judged = [row for row in rows if "mAP" in row]
    if len(judged) > 1 and judged[0].get("round") == 0 and judged[-1] is rows[-1]:
        before, now = judged[0]["mAP"], judged[-1]["mAP"]
        said = f"The encoder finds people no better than before training: {now:.1%} mAP, "
        said += f"{before:.1%} before."
    else:
        scores = progress(rows)
        if len(scores) < 3:  # after one round it may still rise or fall
            return None
        before, now = scores[0], scores[-1]
        said = f"Neighbours share no more of their neighbours than before training: {now:.0%}, "
        said += f"{before:.0%} before."
    if now > before:
        return None
    cure = "Lower --rate, or start from a better encoder (--start, --encoder.weights)."
    return Sign("start", said, cure)


def progress(rows: Sequence[Mapping[str, float]]) -> list[float]:
    """Return the score without labels before training and after each round, as far as known.

    It is `metrics.neighbourhood.shared_neighbours` of the training images, with the encoder at the
    end of the round.

    Args:
        rows: as in `signs`.
    """
    return [row[SCORE] for row in rows if SCORE in row]


def best_round(rows: Sequence[Mapping[str, float]]) -> int | None:
    """Choose the round that should be the result of a run instead of the last.

    Args:
        rows: as in `signs`.

    Returns:
        None, for the last round, if its score is within HARM of the best one, or if no score is
        known. Otherwise the round with the best score; 0 is the encoder before training.
    """
    scored = [row for row in rows if SCORE in row]
    if not scored:
        return None
    best = max(scored, key=lambda row: row[SCORE])
    return None if scored[-1][SCORE] >= best[SCORE] - HARM else int(best["round"])
