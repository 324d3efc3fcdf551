"""How times, sightings and pictures are shown on the page."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from io import BytesIO

import PIL.Image
from markupsafe import Markup, escape

from reseen.data.pictures import blur_top, scaled
from reseen.errors import DataError, counted

SYMBOLS = {"same": "✓", "maybe": "?", "unknown": "○"}
"""The symbol of a verdict beside its word, for people who do not see colours."""

CLOCK = 10 * 365 * 86400
"""Times before 1980 are not dates, but seconds since the start of a video or a data set."""

SIZE = 240, 480
"""Maximum size of a picture on the page, enough for a screen with a pixel ratio of 2."""

STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10800, 21600, 43200),
    *(86400, 2 * 86400, 7 * 86400, 14 * 86400, 30 * 86400, 91 * 86400, 365 * 86400),
)
"""Possible seconds between two marks of a time axis."""

MARKS = 5
"""Maximum number of marks of a time axis, which fit into a narrow window."""


def moment(time: float) -> str:
    """Format a time for people, in the time zone of this machine."""
    if time < CLOCK:
        return str(timedelta(seconds=round(time)))
    return f"{datetime.fromtimestamp(time):%-d %b %Y %H:%M:%S}"


def stamp(time: float) -> str:
    """Format a time for machines, as an attribute; "" if it is not a date."""
    return "" if time < CLOCK else datetime.fromtimestamp(time).astimezone().isoformat()


def field(time: float | None) -> str:
    """Format a time for a form field, in the time zone of this machine."""
    return "" if time is None else datetime.fromtimestamp(time).isoformat(timespec="seconds")


def span(begin: float | None, end: float | None) -> str:
    """Format a period, with the day only once."""
    if begin is None or end is None:
        return "Time unknown"
    first, last = moment(begin), moment(end)
    if first == last:
        return first
    same_day = begin >= CLOCK and first.rsplit(" ", 1)[0] == last.rsplit(" ", 1)[0]
    return f"{first} to {last.rsplit(' ', 1)[1] if same_day else last}"


def at(camera: str | None) -> str:
    """Return the name of a camera for a heading."""
    if camera is None:
        return "Camera unknown"
    return f"Camera {camera}" if camera[:1].isdecimal() else camera


def cameras_said(cameras: Sequence[str]) -> str:
    """Return the names of cameras for a sentence."""
    if not cameras:
        return "camera unknown"
    numbers = all(camera[:1].isdecimal() for camera in cameras)
    word = ("camera " if len(cameras) == 1 else "cameras ") if numbers else ""
    return word + ", ".join(cameras)


@dataclass(frozen=True, slots=True)
class Bar:
    """A sighting at a camera: its position on the axis in percent, and a link to its crops."""

    camera: str | None
    begin: float
    end: float
    verdict: str
    href: str
    left: float = 0.0
    right: float = 0.0

    @property
    def label(self) -> str:
        """Its description."""
        return f"{span(self.begin, self.end)}: {self.verdict}"


@dataclass(frozen=True, slots=True)
class Lane:
    """All sightings at one camera."""

    camera: str | None
    bars: Sequence[Bar]

    @property
    def label(self) -> str:
        """Its description."""
        return f"{counted(len(self.bars), 'sighting')}; " + "; ".join(b.label for b in self.bars)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Lanes above one time axis."""

    lanes: Sequence[Lane]
    ticks: Sequence[tuple[float, str, str]]
    """Position in percent, day, and time of day."""
    undated: str
    """The number of sightings without a time, in words; "" if none."""


def timeline(bars: Iterable[Bar], undated: int = 0) -> Timeline | None:
    """Lay out sightings, a lane for each camera; None if nothing has a time."""
    every = list(bars)
    if not every:
        return None
    first, last = min(bar.begin for bar in every), max(bar.end for bar in every)
    room = max((last - first) * 0.04, 1.0)
    first, last = first - room, last + room

    def place(time: float) -> float:
        return round(100 * (time - first) / (last - first), 2)

    lanes: dict[str | None, list[Bar]] = {}
    for bar in sorted(every, key=lambda bar: bar.begin):
        right = max(place(bar.end), place(bar.begin) + 0.01)
        placed = Bar(bar.camera, bar.begin, bar.end, bar.verdict, bar.href, place(bar.begin), right)
        lanes.setdefault(bar.camera, []).append(placed)
    named = sorted(lanes.items(), key=lambda lane: (lane[0] is None, lane[0]))
    ticks, day = [], ""
    for time in marks(first, last):
        text, _, clock = moment(time).rpartition(" ")
        date = text.rsplit(" ", 1)[0] if text else ""  # without the year
        ticks.append((place(time), date if date != day else "", clock.removesuffix(":00")))
        day = date
    return Timeline(
        [Lane(camera, found) for camera, found in named],
        ticks,
        counted(undated, "sighting") if undated else "",
    )


def marks(first: float, last: float) -> list[float]:
    """Return up to MARKS round times between two times, in the time zone of this machine."""
    zone = 0.0
    if first >= CLOCK:
        zone = (datetime.fromtimestamp(first).astimezone().utcoffset() or timedelta()).seconds
    step = next((step for step in STEPS if (last - first) / step <= MARKS), STEPS[-1])
    begin = -(-(first + zone) // step) * step - zone
    return [begin + i * step for i in range(int((last - begin) / step) + 1)][:MARKS]


def without_style(svg: str) -> Markup:
    """Convert styles of a figure to attributes, because the page's policy forbids inline styles."""
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.S)

    def attributes(found: re.Match[str]) -> str:
        rules = (rule.split(":", 1) for rule in unescape(found[1]).split(";") if ":" in rule)
        told = {name.strip(): value.strip() for name, value in rules}
        if "font" in told:  # the font family of the page is used
            told["font-size"] = told.pop("font").split()[0]
        return " ".join(f'{name}="{escape(value)}"' for name, value in told.items())

    return Markup(re.sub(r'style="([^"]*)"', attributes, svg))


def drawn(content: bytes, *, blur: bool, size: tuple[int, int] | None = SIZE) -> bytes:
    """Convert a stored picture to a JPEG without metadata.

    Args:
        content: the stored file.
        blur: whether to blur the upper quarter.
        size: maximum width and height in pixels; None for the full size.

    Raises:
        DataError: it cannot be read.
    """
    try:
        picture = scaled(BytesIO(content))[0]
    except OSError as error:
        raise DataError(f"The stored picture cannot be read: {error}.") from error
    if size is not None:
        picture.thumbnail(size, PIL.Image.Resampling.BICUBIC)
    if blur:
        blur_top(picture)
    out = BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()
