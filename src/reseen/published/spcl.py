"""Rows for SpCL, cited in `methods.spcl`, from papers and pages that report it."""

from typing import Any

from reseen.engine.variants import Variant


def _part(settings: dict[str, Any]) -> Variant:
    return Variant(settings=settings, tables=("spcl-parts",))


_SOURCE = "learns from people of the other data set too: --source DATA"

VARIANTS = {
    "full": Variant(
        published={
            "Market-1501": (73.1, 88.1),
            "DukeMTMC-reID": (65.3, 81.2),
            "MSMT17": (19.1, 42.3),
        },
        tables=("spcl-usl", "spcl-parts"),
        note="as reported in the MLA paper",
    ),
    "gem": Variant(
        settings={"encoder.pooling": "gem"},
        published={"Market-1501": (76.0, 89.5), "DukeMTMC-reID": (67.1, 82.4)},
        tables=("spcl-usl",),
        note="OpenUnReID's model zoo, by the first author",
    ),
    "with-source": Variant(
        published={
            "DukeMTMC-reID to Market-1501": (76.7, 90.3),
            "Market-1501 to DukeMTMC-reID": (68.8, 82.9),
            "Market-1501 to MSMT17": (25.4, 51.6),
            "DukeMTMC-reID to MSMT17": (26.5, 53.1),
        },
        tables=("spcl-source",),
        note=f"{_SOURCE}; as OpenUnReID's leaderboard copies it from the paper",
    ),
    "gem-with-source": Variant(
        settings={"encoder.pooling": "gem"},
        published={
            "DukeMTMC-reID to Market-1501": (78.2, 90.5),
            "Market-1501 to DukeMTMC-reID": (70.4, 83.8),
        },
        tables=("spcl-source",),
        note=f"{_SOURCE}; OpenUnReID's model zoo",
    ),
    "one-norm-with-source": Variant(
        settings={"source_norm": False}, tables=("spcl-source",), note=_SOURCE
    ),
    "without-outliers": _part({"outliers": False}),
    "without-independence": _part({"independence": False}),
    "without-compactness": _part({"compactness": False}),
    "without-self-paced": _part({"independence": False, "compactness": False}),
}
"""Without a source, with one, and the parts that the paper takes away one by one, whose numbers are
not at hand."""
