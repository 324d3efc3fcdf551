"""The ablation of `methods.house`: parts left out, and parts added to Cluster Contrast.

None of these rows is published; docs/house.md says what was measured.
"""

from reseen.engine.variants import Variant

OFF = {
    "teacher": False,
    "prototypes": 1,
    "refined_weight": 0.0,
    "agreement_weight": 0.0,
    "proxy_weight": 0.0,
    "instance_weight": 0.0,
    "camera_aware": False,
    "centring": "off",
}
"""All parts off: Cluster Contrast."""

PARTS = {
    "teacher": {"teacher": True},
    "prototypes": {"prototypes": 2},
    "refined": {"refined_weight": 1.0, "agreement_weight": 1.0},
    "instances": {"instance_weight": 1.0},
    "centring": {"centring": "mean"},
    "camera-aware": {"camera_aware": True},
    "proxies": {"proxy_weight": 0.5},
}
"""What turns a part on."""

CAMERAS = ("centring", "camera-aware", "proxies")
"""Parts that need cameras."""

ON = ("teacher", "prototypes", "refined", "centring", "camera-aware", "proxies")
"""Parts that are on by default."""


def _row(*parts: str) -> Variant:
    settings = dict(OFF)
    for part in parts:
        settings |= PARTS[part]
    return Variant(settings=settings, tables=("house",))


_BLIND = tuple(part for part in ON if part not in CAMERAS)

VARIANTS = {
    "full": Variant(tables=("house",)),
    "no-cameras": _row(*_BLIND),
    "cluster-contrast": _row(),
    **{f"without-{out}": _row(*(part for part in ON if part != out)) for out in ON},
    **{
        f"no-cameras-without-{out}": _row(*(part for part in _BLIND if part != out))
        for out in _BLIND
    },
    **{f"only-{part}": _row(part) for part in PARTS},
    **{f"full-and-{part}": _row(*ON, part) for part in PARTS if part not in ON},
}
"""All parts that are on by default, with and without cameras; one left out; one alone; and one of
the others added."""
