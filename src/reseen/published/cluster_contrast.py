"""Rows for Cluster Contrast, cited in `methods.cluster_contrast`: its editions, and its memory."""

from reseen.engine.variants import Variant


def _memory(start: str, update: str) -> Variant:
    settings = {"memory_start": start, "memory_update": update}
    return Variant(settings=settings, tables=("cluster-contrast-memory",))


VARIANTS = {
    "full": Variant(
        published={"Market-1501": (82.1, 92.3)},
        tables=("cluster-contrast-editions", "cluster-contrast-memory"),
    ),
    "first-edition": Variant(
        settings={
            "memory_start": "random",
            "memory_update": "hard",
            "memory_momentum": 0.2,
            "encoder.ghost_group": 32,
            "eps": 0.4,
            "people": 8,
            "views": 8,
            "rate": 1.6e-4,
        },
        published={
            "Market-1501": (80.6, 91.5),
            "DukeMTMC-reID": (69.5, 83.3),
            "MSMT17": (31.4, 61.2),
            "PersonX": (84.8, 94.5),
        },
        tables=("cluster-contrast-editions",),
        note="as reported in the MLA paper (CCR), with its own schedule",
    ),
    "random-momentum": _memory("random", "momentum"),
    "hard-momentum": _memory("hard", "momentum"),
    "mean-hard": _memory("mean", "hard"),
    "random-hard": _memory("random", "hard"),
    "hard-hard": _memory("hard", "hard"),
    "mean-mean": _memory("mean", "mean"),
    "random-mean": _memory("random", "mean"),
    "hard-mean": _memory("hard", "mean"),
}
"""Both editions with what was published for them, and every start and update of the memory, for
which this package has no published numbers."""
