"""The tables of SSL's paper, cited in `methods.ssl`."""

from typing import Any

from reseen.engine.variants import Variant


def _row(settings: dict[str, Any], market: tuple[float, float], duke: tuple[float, float]):
    published = {"Market-1501": market, "DukeMTMC": duke}
    tables = ("ssl-1",) if "rounds" in settings else ("ssl-1", "ssl-3")
    return Variant(settings=settings, published=published, tables=tables)


VARIANTS = {
    "baseline": _row({"rounds": 0}, (13.2, 34.4), (7.9, 16.5)),
    "without-part-and-cce": _row(
        {"part_weight": 0.0, "camera_weight": 0.0}, (29.8, 58.7), (17.4, 31.6)
    ),
    "without-part": _row({"part_weight": 0.0}, (35.1, 68.4), (26.4, 49.2)),
    "full": _row({}, (37.8, 71.7), (28.6, 52.5)),
    "video": Variant(
        settings={"first": 30, "epochs": 5},
        published={"MARS": (43.6, 62.8), "DukeMTMC-VideoReID": (69.3, 76.4)},
        tables=("ssl-2",),
    ),
}
"""The four own rows of Table 1, of which the last three are SSL's half of Table 3, and the own row
of Table 2."""
