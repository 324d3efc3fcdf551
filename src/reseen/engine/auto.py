"""Settings that are derived from the data: the meaning of `auto`.

A rule takes the result of `cluster.survey` and returns a value and the reason as a sentence. The
rules were chosen on subsets of real crops (docs/explanation/automatic-settings.md). They do not
change published settings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from reseen.cluster.density import MANY
from reseen.cluster.survey import Survey
from reseen.errors import SettingsError, counted

Rule = Callable[[Survey], tuple[Any, str]]

LOOKS = 2
"""How often each image is used in a round of training."""
BATCH_PEOPLE = 32
"""The largest number of clusters in a batch."""


def _k1(s: Survey) -> tuple[int, str]:
    return s.k1, f"about {s.per_person:.0f} images per person are expected"


def _k2(s: Survey) -> tuple[int, str]:
    return s.k2, f"two fifths of k1 ({s.k1}), at most 6"


def _eps(s: Survey) -> tuple[float, str]:
    return s.eps, (
        f"best balance of stable labels and few images without a cluster: {s.found} clusters, "
        f"{s.noise:.0%} noise at the start"
    )


def _min_samples(s: Survey) -> tuple[int, str]:
    few = f"about {s.per_person:.0f} images per person are expected"
    usual = "the usual value" if s.min_samples == 4 else "two similar ones are enough for a cluster"
    return s.min_samples, f"{few}: {usual}"


def _people(s: Survey) -> tuple[int, str]:
    low = int(s.clusters[0])
    return int(np.clip(s.expected, 2, BATCH_PEOPLE)), (
        f"{low} to {int(s.clusters[1])} clusters are expected, and a batch contains at most "
        f"{BATCH_PEOPLE} of them"
    )


def _views(s: Survey) -> tuple[int, str]:
    views = 4 if s.per_person >= 3 else 2
    return views, f"about {s.per_person:.0f} images per person are expected"


def _batch(s: Survey) -> int:
    return _people(s)[0] * _views(s)[0]


def _iterations(s: Survey) -> tuple[int, str]:
    steps = max(4, round(LOOKS * s.images / _batch(s)))
    return steps, f"each of the {s.images} images is used about {LOOKS} times in a round"


def _epoch_iterations(s: Survey) -> tuple[int, str]:
    steps = max(4, round(s.images / _batch(s)))
    return steps, f"each of the {s.images} images is used about once in an epoch"


def _epochs(s: Survey) -> tuple[int, str]:
    rounds = int(np.clip(4 + np.sqrt(s.images) / 4, 5, 50))
    return rounds, f"more rounds would overfit {s.images} images"


def _rounds(s: Survey) -> tuple[int, str]:
    rounds = int(np.clip(_epochs(s)[0] // 2, 3, 20))
    return rounds, f"more rounds would overfit {s.images} images"


def _few_epochs(s: Survey) -> tuple[int, str]:
    return LOOKS, f"each image is used {LOOKS} times in a round"


def _clusters(s: Survey) -> tuple[int, str]:
    count = int(np.clip(round(4 / 3 * s.expected), 2, max(2, s.images // 2)))
    return count, f"a third more than the {s.expected} clusters that are expected, as in the paper"


def _p(s: Survey) -> tuple[int, str]:
    count = int(np.clip(round(1.2 * s.per_person), 2, 20))
    return count, f"about {s.per_person:.0f} images per person are expected"


def _share(s: Survey) -> tuple[float, str]:
    pairs = 1.3 * max(s.per_person - 1, 0.5) / max(s.images - 1, 1)
    return float(np.clip(round(pairs, 6), 1e-6, 0.5)), (
        f"with about {s.per_person:.0f} images per person, this share of all pairs is one person"
    )


def _neighbours(s: Survey) -> tuple[str, str]:
    which = "approximate" if s.images >= MANY else "exact"
    return which, f"there are {s.images:,} images; approximate neighbours pay from {MANY:,} on"


def _merge_rate(s: Survey) -> tuple[float, str]:
    steps = max(3, round(2 * s.per_person))
    left = round(2 * s.images / steps)
    return 1 / steps, (  # not rounded: BUC has int(1 / rate) - 2 rounds of int(N rate) merges
        f"{counted(steps - 2, 'round')} leave about {left} clusters; {s.expected} are expected"
    )


def _k(s: Survey) -> tuple[int, str]:
    count = int(np.clip(round(s.per_person) - 1, 1, 4))
    return count, f"about {s.per_person:.0f} images per person are expected, and 4 is usual"


RULES: Mapping[str, Rule] = {
    "neighbours": _neighbours,
    "k1": _k1,
    "k2": _k2,
    "eps": _eps,
    "min_samples": _min_samples,
    "people": _people,
    "views": _views,
    "iterations": _iterations,
    "epochs": _epochs,
    "rounds": _rounds,
    "clusters": _clusters,
    "p": _p,
    "share": _share,
    "merge_rate": _merge_rate,
    "k": _k,
}
"""The rule for each setting, by its name on the command line."""

EPOCHS_IN_A_ROUND: Mapping[str, Rule] = {
    **RULES,
    "iterations": _epoch_iterations,
    "epochs": _few_epochs,
}
"""The same for methods whose rounds have several epochs (ADTC, DAAL): there, `epochs` is the number
of epochs in a round, and `iterations` the number of steps in an epoch."""


def work_out(
    names: Sequence[str], found: Survey, *, epochs_in_a_round: bool = False
) -> dict[str, dict[str, Any]]:
    """Compute settings.

    Args:
        names: the settings that are auto.
        found: the survey of the first features.
        epochs_in_a_round: whether a round has several epochs (`EPOCHS_IN_A_ROUND`).

    Returns:
        For each name its `value`, and the reason as a sentence (`why`).

    Raises:
        SettingsError: there is no rule for a setting.
    """
    rules = EPOCHS_IN_A_ROUND if epochs_in_a_round else RULES
    for name in names:
        if name not in rules:
            raise SettingsError(
                f"{name} is auto, but no rule computes it. Give a value; auto works for: "
                f"{', '.join(rules)}."
            )
    return {name: dict(zip(("value", "why"), rules[name](found), strict=True)) for name in names}
