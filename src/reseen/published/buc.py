"""The tables in which other papers hold BUC against theirs; its own is cited in `methods.buc`."""

from typing import Any

from reseen.engine.variants import Variant


def _row(settings: dict[str, float], market: tuple[float, float], duke: tuple[float, float]):
    published = {"Market-1501": market, "DukeMTMC": duke}
    return Variant(settings=settings, published=published, tables=("buc-3",))


def _attended(settings: dict[str, Any], market: float, duke: float) -> Variant:
    published = {"Market-1501": (market, None), "DukeMTMC-reID": (duke, None)}
    note = "only mAP is published; the clustering and the module are not given"
    return Variant(settings=settings, published=published, tables=("buc-mla-1",), note=note)


VARIANTS = {
    "none": _row({}, (30.6, 61.0), (21.9, 40.2)),
    "cce": _row({"camera_weight": 0.02}, (31.8, 65.9), (24.4, 48.3)),
    "cce-part": _row({"camera_weight": 0.02, "part_weight": 0.5}, (36.2, 69.5), (25.1, 51.5)),
    "video": Variant(
        settings={"epochs": 5},
        published={"MARS": (34.7, 57.9), "DukeMTMC-VideoReID": (68.3, 76.2)},
        tables=("buc-2",),
    ),
    "without-attention": _attended({}, 31.7, 23.6),
    "with-attention": _attended(
        {"encoder.attention": ("head",), "encoder.attention_place": "in"}, 31.1, 22.5
    ),
}
"""BUC's half of Table 3 in SSL's paper, its row of Table 2 there, and Table 1 of MLA's paper."""
