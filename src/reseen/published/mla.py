"""The tables of MLA's paper, cited in `methods.mla`."""

from reseen.engine.variants import Variant


def _row(levels: str, *published: tuple[float, float]) -> Variant:
    sets = ("Market-1501", "DukeMTMC-reID", "MSMT17", "PersonX")
    return Variant(
        settings={"levels": levels, "gate": False},
        published=dict(zip(sets, published, strict=True)),
        tables=("mla-6", "mla-7", *(("mla-gated",) if levels == "none" else ())),
    )


_MODERN = {
    "encoder.ghost_group": 64,
    "people": 16,
    "views": 16,
    "rate": 3.5e-4,
    "eps": 0.6,
    "memory_start": "mean",
    "memory_update": "momentum",
    "memory_momentum": 0.1,
}
"""The base of Cluster Contrast's last edition."""

VARIANTS = {
    "baseline": _row("none", (80.6, 91.5), (69.5, 83.3), (31.4, 61.2), (84.8, 94.5)),
    "hla": _row("head", (0.9, 2.2), (20.0, 34.3), (27.7, 55.8), (81.6, 92.2)),
    "pla": _row("pixel", (82.4, 92.3), (69.8, 83.1), (32.0, 61.6), (86.2, 94.8)),
    "pla-hla": _row("pixel+head", (79.3, 90.6), (69.1, 82.9), (30.3, 59.1), (86.4, 94.8)),
    "dla": _row("domain", (82.4, 92.3), (70.4, 83.4), (30.6, 58.9), (86.4, 94.8)),
    "all": _row("pixel+head+domain", (83.1, 92.8), (71.8, 84.3), (35.6, 63.8), (86.5, 94.8)),
    "hla-gated": Variant(settings={"levels": "head"}, tables=("mla-gated",)),
    "pla-gated": Variant(settings={"levels": "pixel"}, tables=("mla-gated",)),
    "pla-hla-gated": Variant(settings={"levels": "pixel+head"}, tables=("mla-gated",)),
    "dla-gated": Variant(settings={"levels": "domain"}, tables=("mla-gated",)),
    "all-gated": Variant(tables=("mla-gated",)),
    "modern-base": Variant(settings=_MODERN | {"levels": "none"}, tables=("mla-modern",)),
    "modern": Variant(settings=_MODERN, tables=("mla-modern",)),
}
"""Tables 6 and 7 of the paper in its plain form, the same with a gate, and the ideas on a newer
base."""
