"""Parse times as people write them: 2026-11-28T10:00, yesterday, or 30d for thirty days."""

import re
import time as clock
from datetime import datetime, timedelta

from reseen.errors import SettingsError

_DAYS = {"today": 0, "yesterday": 1}
_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def span(text: str, option: str) -> float:
    """Parse a duration: a number and s, min, h, d or w; a number alone is seconds.

    Returns:
        Seconds.

    Raises:
        SettingsError: the text is not a duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip())
    if not match or (match[2] and match[2] not in _UNITS):
        raise SettingsError(
            f"{option} is {text!r}. Write a number and s, min, h, d or w, such as 90min or 30d."
        )
    return float(match[1]) * _UNITS.get(match[2], 1)


def moment(text: str | None, option: str) -> float | None:
    """Parse a time, in this machine's time zone unless it names another.

    Args:
        text: ISO 8601, such as 2026-11-28T10:00; now; today or yesterday, which mean the beginning
            of that day; or how long ago it was, such as 2h or 30d (`span`).
        option: its name, for error messages.

    Returns:
        Seconds since 1970 (UTC); None for None.

    Raises:
        SettingsError: the text is not a time.
    """
    if text is None:
        return None
    text = text.strip()
    if text.lower() == "now":
        return clock.time()
    if (day := text.lower()) in _DAYS:
        midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight - timedelta(_DAYS[day])).timestamp()
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return clock.time() - span(text, option)
    except SettingsError:
        raise SettingsError(
            f"{option} is {text[:40]!r}. Write a time such as 2026-11-28T10:00, today or "
            "yesterday, or how long ago it was, such as 2h or 30d."
        ) from None


def told(time: float | None) -> str:
    """Format a time in this machine's time zone, to the second; empty if it is unknown."""
    if time is None:
        return ""
    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
