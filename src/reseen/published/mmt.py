"""Rows for MMT, cited in `methods.mmt`, from papers and pages that report it."""

from typing import Any

from reseen.engine.variants import Variant

_START = "from a model trained on the other data set: --start RUN"


def _part(settings: dict[str, Any]) -> Variant:
    return Variant(settings=settings, tables=("mmt-parts",))


VARIANTS = {
    "full": Variant(
        published={
            "Market-1501": (74.7, 88.4),
            "DukeMTMC-reID": (60.8, 75.0),
            "MSMT17": (25.8, 57.2),
        },
        tables=("mmt-usl", "mmt-parts"),
        note="as reproduced in the ConsLearn paper; the clustering is not given",
    ),
    "gem": Variant(
        settings={"encoder.pooling": "gem", "epochs": 50},
        published={"Market-1501": (74.3, 88.1), "DukeMTMC-reID": (60.3, 75.6)},
        tables=("mmt-usl",),
        note="OpenUnReID's model zoo, by the first author",
    ),
    "k-means": Variant(
        settings={"labelling": "k-means"},
        published={
            "DukeMTMC-reID to Market-1501": (71.2, 87.7),
            "Market-1501 to DukeMTMC-reID": (65.1, 78.0),
            "Market-1501 to MSMT17": (22.9, 49.2),
            "DukeMTMC-reID to MSMT17": (23.3, 50.1),
        },
        tables=("mmt-source",),
        note=f"{_START}; its best number of clusters, as OpenUnReID's leaderboard copies it",
    ),
    "k-means-700": Variant(
        settings={"labelling": "k-means", "clusters": 700}, tables=("mmt-source",), note=_START
    ),
    "k-means-900": Variant(
        settings={"labelling": "k-means", "clusters": 900}, tables=("mmt-source",), note=_START
    ),
    "dbscan": Variant(tables=("mmt-source",), note=_START),
    "without-soft-ce": _part({"soft_ce_weight": 0.0}),
    "without-soft-triplet": _part({"soft_triplet_weight": 0.0}),
    "without-mean": _part({"mean_momentum": 0.0}),
}
"""Without a source, from a model of one, and the parts that the paper takes away one by one, whose
numbers are not at hand."""
