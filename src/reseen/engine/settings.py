"""Settings of a method by their flat names, as on the command line: eps, encoder.pooling.

Parts that methods share (`SHARED`) do not appear in these names: `eps` is `density.eps`. Other
parts are a prefix with a dot.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from reseen.checks import AUTO
from reseen.cluster.density import DensitySettings
from reseen.cluster.self_paced import SelfPacedSettings
from reseen.cluster.stripes import StripeSettings
from reseen.data.sampling import BatchSettings
from reseen.engine.step import NewLayerSettings, ScheduleSettings, SgdSettings
from reseen.errors import SettingsError
from reseen.memory.clusters import MemorySettings
from reseen.memory.table import TableSettings
from reseen.nets.teacher import TeacherSettings

SHARED = (
    *(DensitySettings, SelfPacedSettings, StripeSettings, BatchSettings),
    *(NewLayerSettings, ScheduleSettings, SgdSettings, MemorySettings, TableSettings),
    TeacherSettings,
)
"""Parts whose settings are named as if they were the method's own."""


def flat(settings: Any) -> dict[str, Any]:
    """Return all settings of a dataclass by their flat names; other parts are dicts."""
    found = {}
    for name in (field.name for field in fields(settings)):
        value = getattr(settings, name)
        if isinstance(value, SHARED) or not is_dataclass(value):
            found |= flat(value) if isinstance(value, SHARED) else {name: value}
        else:
            found[name] = flat(value)
    return found


def varied(settings: Any, changes: Mapping[str, Any]) -> Any:
    """Return settings with some values changed, all at once.

    Args:
        settings: a dataclass, left unchanged.
        changes: new values by flat names: {"eps": 0.5, "encoder.pooling": "gem"}.

    Raises:
        SettingsError: a name is unknown, or a value is invalid.
    """
    tree: dict[str, Any] = {}
    for name, value in changes.items():
        *path, last = _path(settings, name)
        inside = tree
        for part in path:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return _replaced(settings, tree)


def automatic(settings: Any) -> list[str]:
    """List the settings that are auto, except those of the encoder, where auto differs."""
    return [name for name, value in flat(settings).items() if value == AUTO]


def own_defaults(settings: Any) -> dict[str, Any]:
    """Return the defaults of a method's parts that differ from the defaults of the part's class.

    The command line creates a part again as soon as one of its fields is given, and would lose
    these.

    Args:
        settings: a dataclass; some of its fields are dataclasses that need no arguments.

    Returns:
        Flat names and values.
    """
    changes = {}
    for part in (f.name for f in fields(settings) if is_dataclass(getattr(settings, f.name))):
        inside = getattr(settings, part)
        plain = type(inside)()
        before = "" if isinstance(inside, SHARED) else f"{part}."
        for name in (f.name for f in fields(inside)):
            if getattr(inside, name) != getattr(plain, name):
                changes[before + name] = getattr(inside, name)
    return changes


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


def _path(settings: Any, name: str) -> list[str]:
    """Return the path to a setting: for eps, ["density", "eps"]."""
    first, _, rest = name.partition(".")
    own = {field.name for field in fields(settings)}
    if first in own:
        inside = getattr(settings, first)
        return [first, *(_path(inside, rest) if rest and is_dataclass(inside) else [])]
    for part in own:
        inside = getattr(settings, part)
        if isinstance(inside, SHARED) and first in {field.name for field in fields(inside)}:
            return [part, first]
    known = ", ".join(flat(settings))
    raise SettingsError(f"{type(settings).__name__} has no setting {name!r}. It has: {known}.")


def _replaced(settings: Any, tree: Mapping[str, Any]) -> Any:
    changes = {
        name: _replaced(getattr(settings, name), value)
        if isinstance(value, dict) and is_dataclass(getattr(settings, name))
        else value
        for name, value in tree.items()
    }
    return replace(settings, **changes)
