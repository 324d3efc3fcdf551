"""Checks of settings, and `auto`: a value that a run computes from its data."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Literal

from reseen.errors import SettingsError, counted

AUTO = "auto"
"""The value of a setting that is computed from the data when a run begins; all checks accept it."""

Auto = Literal["auto"]


def at_least(settings: Any, low: float, *names: str) -> None:
    """Require finite numbers of `low` or more.

    The other functions here have the same arguments and errors.

    Args:
        settings: an object with these attributes.
        low: the smallest valid value.
        names: of the attributes.

    Raises:
        SettingsError: names the setting, its value and the valid values.
    """
    _demand(settings, names, lambda value: low <= value < inf, f"Use {low:g} or more.")


def above_zero(settings: Any, *names: str) -> None:
    """Require finite numbers above 0."""
    _demand(settings, names, lambda value: 0 < value < inf, "Use a number above 0.")


def below_one(settings: Any, *names: str) -> None:
    """Require numbers of 0 to below 1."""
    _demand(settings, names, lambda value: 0 <= value < 1, "Use 0 to below 1.")


def shares(settings: Any, *names: str) -> None:
    """Require numbers of 0 to 1."""
    _demand(settings, names, lambda value: 0 <= value <= 1, "Use 0 to 1.")


def at_most_images(settings: Any, images: int, *names: str) -> None:
    """Require numbers that do not exceed the number of images."""
    cure = f"Use {images} or fewer."
    for name in names:
        if settled(settings, name) > images:
            value = getattr(settings, name)
            raise SettingsError(f"{name} is {value} for {counted(images, 'image')}. {cure}")


def one_of(settings: Any, known: Sequence[str], *names: str) -> None:
    """Require known words."""
    for name in names:
        if (value := getattr(settings, name)) not in known:
            raise SettingsError(f"{name} is {value!r}. Use one of: {', '.join(known)}.")


def settled(settings: Any, name: str) -> Any:
    """Return a setting that must be a number.

    Raises:
        SettingsError: it is auto, which only a training run replaces by a number.
    """
    value = getattr(settings, name)
    if value == AUTO:
        raise SettingsError(
            f"{name} is auto and has not been set from the data. Call run.settle, or give a number."
        )
    return value


def _demand(settings: Any, names: Sequence[str], right: Any, cure: str) -> None:
    for name, value in _numbers(settings, names):
        if not right(value):
            raise SettingsError(f"{name} is {value}. {cure}")


def _numbers(settings: Any, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, str) and value != AUTO:
            raise SettingsError(f"{name} is {value!r}. Use a number, or auto.")
        if value != AUTO:
            yield name, value
