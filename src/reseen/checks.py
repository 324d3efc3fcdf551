"""Checks that settings share, and `auto`: a value that a run works out from its data."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Literal

from reseen.errors import SettingsError, counted

AUTO = "auto"
"""What a setting says that is worked out from the data when a run begins; all checks let it by."""

Auto = Literal["auto"]


def at_least(settings: Any, low: float, *names: str) -> None:
    """Demand finite numbers of `low` or more.

    Args:
        settings: an object with these attributes; so everywhere here.
        low: the smallest that may be.
        names: of the attributes.

    Raises:
        SettingsError: naming the setting, what it is and what it may be; so everywhere here.
    """
    _demand(settings, names, lambda value: low <= value < inf, f"Use {low:g} or more.")


def above_zero(settings: Any, *names: str) -> None:
    """Demand finite numbers above 0."""
    _demand(settings, names, lambda value: 0 < value < inf, "Use a number above 0.")


def below_one(settings: Any, *names: str) -> None:
    """Demand numbers of 0 to below 1."""
    _demand(settings, names, lambda value: 0 <= value < 1, "Use 0 to below 1.")


def shares(settings: Any, *names: str) -> None:
    """Demand numbers of 0 to 1."""
    _demand(settings, names, lambda value: 0 <= value <= 1, "Use 0 to 1.")


def at_most_images(settings: Any, images: int, *names: str) -> None:
    """Demand numbers of no more than there are images."""
    cure = f"Use {images} or fewer."
    for name in names:
        if settled(settings, name) > images:
            value = getattr(settings, name)
            raise SettingsError(f"{name} is {value} for {counted(images, 'image')}. {cure}")


def one_of(settings: Any, known: Sequence[str], *names: str) -> None:
    """Demand words that are known."""
    for name in names:
        if (value := getattr(settings, name)) not in known:
            raise SettingsError(f"{name} is {value!r}. Use one of: {', '.join(known)}.")


def settled(settings: Any, name: str) -> Any:
    """Give a setting that must be a number by now.

    Raises:
        SettingsError: it is still auto, which only a training run turns into a number.
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
