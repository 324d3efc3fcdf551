"""The tables of DAAL's paper, cited in `methods.daal`."""

from dataclasses import replace
from typing import Any

from reseen.engine.variants import Variant

_SETS = (
    "DukeMTMC-reID to Market-1501",
    "Market-1501 to DukeMTMC-reID",
    "Market-1501 to MSMT17",
    "DukeMTMC-reID to MSMT17",
)


GAINS = {"daal-2": "direct"}
"""The row over which all others of a table are given as gains."""


def _row(settings: dict[str, Any], *published: tuple[float, float], told: bool = False) -> Variant:
    return Variant(
        settings=settings,
        published=dict(zip(_SETS, published, strict=False)),
        tables=("daal-4",),
        note="source: the target's own labelled images" if told else "",
        own_source=told,
    )


def _sweep(figure: int, settings: dict[str, Any]) -> Variant:
    return Variant(settings=settings, tables=(f"daal-figure-{figure}",))


_BASE = {"attention": "none", "specific": False}

_SHORT = {"pretrain": 20, "epochs": 10, "rate": 1.5e-3, "head_rate": 1.5e-3, "rate_hold": 8}

VARIANTS = {
    "supervised": _row(_BASE | {"rounds": 0}, (77.2, 90.8), (70.1, 84.1), told=True),
    "direct": replace(
        _row(_BASE | {"rounds": 0}, (23.4, 51.5), (22.9, 40.6)), tables=("daal-2", "daal-4")
    ),
    "hard": _row(_BASE | {"labels": "hard"}, (61.1, 81.8), (56.2, 71.1)),
    "lsr": _row(_BASE | {"labels": "lsr"}, (62.4, 82.7), (56.9, 72.4)),
    "soft": _row(_BASE, (63.9, 83.7), (57.8, 73.3)),
    "dsh-dsp": _row({"attention": "none"}, (63.2, 82.3), (59.7, 74.0)),
    "dsh-daam": _row({"specific": False}, (64.7, 84.4), (60.8, 74.9)),
    "dsh-dsp-ia": _row({"attention": "two"}, (66.6, 85.2), (61.7, 76.0)),
    "full": Variant(
        published=dict(
            zip(_SETS, [(67.8, 86.4), (63.9, 77.6), (20.8, 44.5), (21.6, 46.7)], strict=True)
        ),
        tables=("daal-2", "daal-4", "daal-figure-5", "daal-figure-6", "daal-short"),
    ),
    **{f"share-{p:g}": _sweep(5, {"share": p}) for p in (4e-4, 8e-4, 2.4e-3, 3.2e-3)},
    **{f"min-{m}": _sweep(6, {"min_samples": m}) for m in (2, 6, 8, 10, 12, 14, 16, 18)},
    "short": Variant(
        settings=_SHORT,
        tables=("daal-short",),
    ),
}
"""Tables 2 and 4 of the paper (`full` also its Tables 1 and 3), its sweeps of Figs. 5 and 6,
plots without numbers, and a shorter schedule."""
