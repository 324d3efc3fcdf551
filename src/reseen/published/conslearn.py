"""The tables of ConsLearn's paper, cited in `methods.conslearn`."""

from typing import Any

from reseen.engine.variants import Variant


def _row(table: int, settings: dict[str, Any], *duke: float) -> Variant:
    published = {"DukeMTMC-reID": (duke[0], duke[1])} if duke else {}
    return Variant(settings=settings, published=published, tables=(f"conslearn-{table}",))


_PLAIN = {"alpha": 0.0, "consistency_weight": 0.0}
_CE = {"triplet_weight": 0.0}
_HIGH = {"stages": (3, 4)}
_BASE = {
    "encoder.pooling": "gem",
    "augment.erase": 0.5,
    "classifier": "memory",
    "ce_weight": 1.0,
    "triplet_weight": 0.0,
    "people": 16,
    "views": 16,
}
"""The base of Cluster Contrast."""

VARIANTS = {
    "full": Variant(
        published={
            "Market-1501": (77.7, 90.4),
            "DukeMTMC-reID": (64.5, 78.1),
            "MSMT17": (27.7, 55.5),
        },
        tables=tuple(f"conslearn-{table}" for table in (1, 3, 4, 5, 6, "figure-3")),
    ),
    "with-source": Variant(
        published={
            "DukeMTMC-reID to Market-1501": (82.2, 92.7),
            "Market-1501 to DukeMTMC-reID": (68.3, 80.9),
        },
        tables=("conslearn-2",),
        note="from a model trained on the other data set: --start RUN",
    ),
    "stage-0": _row(3, {"stages": (0,)}, 63.0, 77.7),
    "stages-1-3": _row(3, {"stages": (1, 3)}, 63.3, 77.8),
    "stages-0-to-4": _row(3, {"stages": (0, 1, 2, 3, 4)}, 61.8, 75.9),
    "stages-2-3-4": _row(3, {"stages": (2, 3, 4)}, 59.3, 75.3),
    "stages-2-4": _row(3, {"stages": (2, 4)}, 58.4, 74.7),
    "stages-3-4": _row(3, {"stages": (3, 4)}, 57.7, 74.3),
    "no-drop": _row(3, {"alpha": 0.0}, 54.2, 72.0),
    "size-2-1": _row(4, {"alpha": 0.2, "beta": 0.1}, 56.0, 73.0),
    "size-3-2": _row(4, {"alpha": 0.3, "beta": 0.2}, 60.6, 75.9),
    "size-5-4": _row(4, {"alpha": 0.5, "beta": 0.4}, 56.4, 71.2),
    "high-size-2-1": _row(4, _HIGH | {"alpha": 0.2, "beta": 0.1}, 55.4, 72.4),
    "high-size-3-2": _row(4, _HIGH | {"alpha": 0.3, "beta": 0.2}, 56.8, 73.9),
    "high-size-4-3": _row(4, _HIGH, 57.7, 74.3),
    "high-size-5-4": _row(4, _HIGH | {"alpha": 0.5, "beta": 0.4}, 55.8, 73.0),
    "baseline-ce": _row(5, _PLAIN | _CE | {"both_views": False}, 53.0, 71.6),
    "baseline": _row(5, _PLAIN | {"both_views": False}, 55.7, 73.6),
    "clustering-ce": _row(5, _PLAIN | _CE, 50.3, 69.3),
    "clustering": _row(5, _PLAIN, 54.0, 73.4),
    "baseline-conslearn": _row(5, {"both_views": False}, 63.2, 77.4),
    "mean-before": _row(6, {"mean_ages": (1,)}, 63.7, 78.4),
    "mean-two": _row(6, {"mean_ages": (0, 1)}, 63.9, 77.6),
    "mean-three": _row(6, {"mean_ages": (0, 1, 2)}, 63.9, 78.2),
    "no-mean": _row(6, {"mean_momentum": 0.0}, 59.6, 74.6),
    "no-projection": Variant(settings={"projection": "none"}, tables=("conslearn-figure-3",)),
    "linear-projection": Variant(settings={"projection": "linear"}, tables=("conslearn-figure-3",)),
    "modern-base": Variant(
        settings=_BASE | _PLAIN | {"both_views": False, "mean_momentum": 0.0},
        tables=("conslearn-modern",),
    ),
    "modern": Variant(settings=_BASE, tables=("conslearn-modern",)),
}
"""Tables 1 to 6 of the paper, the kinds of Fig. 3 (a plot without numbers), and its ideas on the
base of Cluster Contrast."""
