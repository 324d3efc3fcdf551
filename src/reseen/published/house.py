"""The ablation of `methods.house`: parts left out, and parts added to Cluster Contrast.

None of these rows is published; docs/methods/house.md says what was measured.
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
    "encoder.stripes": 1,
    "encoder.mirrored": False,
    "encoder.whitening": 0.0,
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
    "stripes": {"encoder.stripes": 2},
    "mirrored": {"encoder.mirrored": True},
    "whitening": {"encoder.whitening": 0.25},
}
"""What turns a part on."""

CAMERAS = ("centring", "camera-aware", "proxies")
"""Parts that need cameras."""

ON = ("teacher", "centring", "camera-aware", "proxies", "stripes", "mirrored", "whitening")
"""Parts that are on by default."""


_BLIND = tuple(part for part in ON if part not in CAMERAS)
_ROWS = {
    "full": ON,
    "no-cameras": _BLIND,
    "cluster-contrast": (),
    **{f"without-{out}": tuple(part for part in ON if part != out) for out in ON},
    **{f"only-{part}": (part,) for part in PARTS},
    **{f"full-and-{part}": (*ON, part) for part in PARTS if part not in ON},
    **{f"no-cameras-and-{part}": (*_BLIND, part) for part in PARTS if part not in (*ON, *CAMERAS)},
}
"""The parts of each row: all that are on by default, with and without cameras; one left out; one
alone; and one of the others added."""


def _row(parts: tuple[str, ...]) -> Variant:
    settings = {} if parts == ON else dict(OFF)
    for part in parts if settings else ():
        settings |= PARTS[part]
    return Variant(settings=settings, tables=("house",))


VARIANTS = {
    name: _row(parts)
    for place, (name, parts) in enumerate(_ROWS.items())
    if parts not in list(_ROWS.values())[:place]
}
"""Every row once."""
