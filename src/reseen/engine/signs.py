"""What a training run shows, without any label, of whether it goes well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
    rows: Sequence[Mapping[str, float]], images: int, expected: tuple[float, float] | None = None
) -> list[Sign]:
    """Say what goes wrong in a run.

    Args:
        rows: the run's metrics so far, one mapping a round, in order, as in metrics.jsonl.
        images: the number of training images, N.
        expected: the fewest and the most clusters that the neighbourhoods of the first features
            suggest, where that is known.

    Returns:
        What is wrong after the last of these rounds, the worst first; nothing if all is well.
    """
    return []
