"""Named settings of a method: the rows of a paper's tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reseen.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a table: its settings, and its published results."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the method's defaults; a dot leads into a part: encoder.pooling."""
    published: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    """mAP and rank-1 (None if not given) in percent for each data set; empty for a row of our
    own."""
    tables: tuple[str, ...] = ()
    """Tables that contain it, such as adtc-2 for Table 2."""
    note: str = ""
    """What the settings do not say."""
    own_source: bool = False
    """Whether the source is the data itself, with its people: an upper bound."""
    start_alone: bool = False
    """Whether it is the start of the table, evaluated without training."""
    without_start: bool = False
    """Whether it starts with the weights of its settings even if the table has a start."""


def pick(variants: Mapping[str, Variant], name: str) -> Variant:
    """Return the variant with this name.

    Raises:
        SettingsError: there is none; the error lists those that exist.
    """
    if name not in variants:
        known = ", ".join(variants) or "none"
        raise SettingsError(f"variant is {name!r}. This method has: {known}.")
    return variants[name]


def published(variant: Variant, where: str, base: Variant | None = None) -> str:
    """Format what was published for a data set as mAP / rank-1, or return an empty string.

    If another variant is given, the gain over it follows in brackets.
    """
    if where not in variant.published:
        return ""
    told = " / ".join("-" if of is None else f"{of:.1f}" for of in variant.published[where])
    if base is None or base is variant or where not in base.published:
        return told
    pairs = zip(variant.published[where], base.published[where], strict=True)
    gains = [f"{number - of:+.1f}" for number, of in pairs if number is not None and of is not None]
    return f"{told} ({' / '.join(gains)})"
