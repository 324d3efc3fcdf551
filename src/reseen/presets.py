"""Presets: settings as published, or settings that fit the data and the machine."""

from collections.abc import Mapping
from typing import Any

from reseen.checks import AUTO
from reseen.data.reading import PLAIN
from reseen.engine.settings import flat, varied
from reseen.errors import SettingsError
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings

_FITTING = {
    **dict.fromkeys(("k1", "k2", "eps", "min_samples"), AUTO),
    **dict.fromkeys(("people", "views", "iterations", "epochs"), AUTO),
}
"""Settings that are auto in methods that have them."""

_SMALL = {
    "encoder.backbone": "reseen-tiny",
    "encoder.height": 128,
    "encoder.width": 64,
    "encoder.last_stride": 1,
}
"""The encoder that comes with reseen, at the size at which it was trained."""

_OWN: dict[str, dict[str, Any]] = {
    "adtc": {"rounds": AUTO, "clusters": AUTO, "p": AUTO},
    "daal": {"rounds": AUTO, "pretrain": 6, "eps": 0.0, "share": AUTO},
    "ssl": {"epochs": 1, "k": AUTO},
    "buc": {"epochs": 1, "merge_rate": AUTO},
    "supervised": {"people": 16, "views": 4, "epochs": 120},
}
"""Settings of methods that differ from Cluster Contrast."""

_ON_CPU: dict[str, dict[str, Any]] = {
    "cluster-contrast": {"rate": 1e-4},
    "conslearn": {"rate": 1e-4, "mean_momentum": 0.95},
    "mla": {"rate": 1e-4},
    "mmt": {"rate": 1e-4, "mean_momentum": 0.95},
    "spcl": {"rate": 1e-4},
    "house": {"rate": 3.5e-4},
    "ssl": {"first": 3, "rounds": 5},
    "buc": {"first": 3},
    "daal": {"normalised": True, "rate": 0.015, "head_rate": 0.015, "rate_hold": 3},
    "supervised": {"epochs": 12, "warm_up": 2, "rate_steps": (8, 11)},
}
"""Schedules that take minutes."""

PRESETS = {
    "published": "the settings of the paper, for its benchmarks and a GPU",
    "gpu": "the network of the paper, with a schedule and clustering that fit your data",
    "cpu": "reseen-tiny, with a schedule and clustering that fit your data",
}
"""Names of presets, and their descriptions."""


def preset(name: str, which: str, start: EncoderSettings | None = None) -> dict[str, Any]:
    """Return the settings in which a preset differs from a method's defaults, by flat names.

    Args:
        name: name of the method, as in METHODS.
        which: one of PRESETS.
        start: settings of the encoder that the run starts from. Its network and image size are
            kept.

    Raises:
        SettingsError: there is no such preset.
    """
    if which not in PRESETS:
        known = "; ".join(f"{preset}, {what}" for preset, what in PRESETS.items())
        raise SettingsError(f"preset is {which!r}. Use auto, or one of: {known}.")
    if which == "published":
        return {}
    known = flat(METHODS[name]())
    changes = {key: value for key, value in _FITTING.items() if key in known}
    changes |= {"encoder.ghost_group": 0} | _OWN.get(name, {})  # measured with whole batches
    if which == "cpu":
        changes |= _SMALL | _ON_CPU.get(name, {})
    if start:
        changes = {key: of for key, of in changes.items() if key not in _SMALL}
        changes |= {"encoder.height": start.height, "encoder.width": start.width}
    return changes


def suited(format: str, accelerated: bool) -> str:
    """Choose a preset for data and machine.

    Args:
        format: format of the data (`Dataset.format`); empty if it was not read from a folder.
        accelerated: whether the network computes on a GPU.

    Returns:
        published for a benchmark; gpu or cpu for your own pictures.
    """
    if format and format not in PLAIN:
        return "published"
    return "gpu" if accelerated else "cpu"


def method(
    name: str,
    which: str = "published",
    /,
    *,
    start: EncoderSettings | None = None,
    **settings: Any,
) -> Any:
    """Make a method from its name and some settings.

    Args:
        name: name as on the command line, such as "cluster-contrast".
        which: preset that provides the default settings: "published", "gpu" or "cpu".
        start: as in `preset`.
        settings: values by their names on the command line, with _ instead of -. Settings of the
            encoder or the augmentation are given as `**{"encoder.height": 128}`.

    Returns:
        The method, such as a `ClusterContrast`, which can be passed to `train`.

    Raises:
        SettingsError: a name is unknown, or a value is not possible.

    Example:
        >>> method("cluster-contrast", eps=0.5).density.eps
        0.5
    """
    if name not in METHODS:
        raise SettingsError(f"No method is called {name!r}. Use one of: {', '.join(METHODS)}.")
    changes: Mapping[str, Any] = preset(name, which, start) | settings
    return varied(METHODS[name](), changes)
