"""The tables of ADTC's paper, cited in `methods.adtc`."""

from typing import Any

from reseen.engine.variants import Variant


def _row(settings: dict[str, Any], market: tuple[float, float], duke: tuple[float, float]):
    published = {"DukeMTMC to Market-1501": market, "Market-1501 to DukeMTMC": duke}
    note = "from a model trained on the other data set: --start RUN"
    tables = ("adtc-2",) if settings else ("adtc-1", "adtc-2")
    return Variant(settings=settings, published=published, tables=tables, note=note)


_MODERN = {
    "encoder.pooling": "gem",
    "encoder.ghost_group": 64,
    "augment.pad": 10,
    "augment.erase": 0.5,
    "loss": "memory",
    "rounds": 50,
    "epochs": 1,
    "iterations": 400,
    "people": 16,
    "views": 16,
    "rate": 3.5e-4,
    "rate_end": 1.0,
    "rate_step": 20,
    "k1": 30,
    "weighted": True,
}
"""The base of Cluster Contrast."""

VARIANTS = {
    "only-tc": _row({"attention": "none"}, (41.1, 66.2), (28.2, 49.8)),
    "only-va": _row({"labelling": "k-means"}, (35.5, 61.7), (32.6, 52.0)),
    "tc-channel": _row({"attention": "voxel-channel"}, (42.8, 68.9), (30.1, 52.2)),
    "tc-spatial": _row({"attention": "voxel-spatial"}, (41.3, 66.6), (28.8, 50.7)),
    "tc-harmonious": _row({"attention": "harmonious"}, (50.6, 76.2), (48.9, 69.2)),
    "tc-cbam": _row({"attention": "cbam"}, (55.2, 77.3), (49.1, 69.8)),
    "full": _row({}, (59.7, 79.3), (52.5, 71.9)),
    "direct": Variant(
        settings={"rounds": 0},
        published={
            "DukeMTMC to Market-1501": (18.8, 44.0),
            "Market-1501 to DukeMTMC": (18.2, 34.0),
        },
        tables=("adtc-1",),
        note="direct transfer: the model of --start without training",
        start_alone=True,
    ),
    "without-source": Variant(
        published={"Market-1501": (38.8, 59.5), "DukeMTMC": (37.9, 59.4)},
        tables=("adtc-1",),
        note="from ImageNet weights, even if --start is given",
        without_start=True,
    ),
    "full-gated": Variant(settings={"gate": True}, tables=("adtc-gated",)),
    "modern-base": Variant(
        settings=_MODERN | {"attention": "none", "labelling": "dbscan"}, tables=("adtc-modern",)
    ),
    "modern-tc": Variant(settings=_MODERN | {"attention": "none"}, tables=("adtc-modern",)),
    "modern-va": Variant(
        settings=_MODERN | {"gate": True, "labelling": "dbscan"}, tables=("adtc-modern",)
    ),
    "modern": Variant(settings=_MODERN | {"gate": True}, tables=("adtc-modern",)),
}
"""Tables 1 and 2 of the paper, its full model with a gate, and its ideas on the base of Cluster
Contrast."""
