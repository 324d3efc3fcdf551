"""Named settings of a method: the rows of a paper's tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from reseen.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a table: what it changes, and what was published for it."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the method's defaults; a dot leads inside: encoder.pooling."""
    published: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """mAP and rank-1 in percent for each data set; empty for a row of our own."""
    tables: tuple[str, ...] = ()
    """Tables it stands in, such as adtc-2 for Table 2."""
    note: str = ""
    """What the settings cannot say."""


def pick(variants: Mapping[str, Variant], name: str) -> Variant:
    """Give the variant of that name.

    Raises:
        SettingsError: there is none; says which there are.
    """
    if name not in variants:
        known = ", ".join(variants) or "none"
        raise SettingsError(f"variant is {name!r}. This method has: {known}.")
    return variants[name]


def published(variant: Variant, where: str) -> str:
    """Write what was published for a data set as mAP / rank-1, or nothing."""
    return "{:.1f} / {:.1f}".format(*variant.published[where]) if where in variant.published else ""


def varied(settings: Any, changes: Mapping[str, Any]) -> Any:
    """Give settings with some fields changed.

    Args:
        settings: a dataclass, left as it is.
        changes: new values; a dot leads inside: {"encoder.pooling": "gem"}.
    """
    for name, value in changes.items():
        first, _, rest = name.partition(".")
        settings = replace(
            settings, **{first: varied(getattr(settings, first), {rest: value}) if rest else value}
        )
    return settings


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Turn {"encoder.pooling": "gem"} into {"encoder": {"pooling": "gem"}}."""
    tree: dict[str, Any] = {}
    for name, value in changes.items():
        *path, last = name.split(".")
        inside = tree
        for part in path:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return tree


def own_defaults(settings: Any) -> dict[str, Any]:
    """Give what a method's parts have by default that is not the part's own default.

    A command line makes a part anew as soon as one field of it is named, and would forget these.

    Args:
        settings: a dataclass, some of whose fields are dataclasses that need no arguments.

    Returns:
        Dotted names and values, as `Variant.settings` has them.
    """
    changes = {}
    for part in (f.name for f in fields(settings) if is_dataclass(getattr(settings, f.name))):
        inside = getattr(settings, part)
        plain = type(inside)()
        for name in (f.name for f in fields(inside)):
            if getattr(inside, name) != getattr(plain, name):
                changes[f"{part}.{name}"] = getattr(inside, name)
    return changes
