"""Find videos, their cameras, and when they begin."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reseen.data.folder import natural
from reseen.data.listing import VIDEOS
from reseen.errors import DataError, SettingsError

SUFFIXES = VIDEOS | {".3gp", ".dav", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".mts", ".ts"}

FIELDS = ("camera", "time", "year", "month", "day", "hour", "minute", "second", "_")

_MOMENT = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[-_.T /]*"
    r"([0-2]\d)[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)?(?!\d)"
)
"""A date and a time of day in a name, such as 20261128_100500 or 2026-11-28T10.05.00."""

Areas = tuple[np.ndarray, ...]
"""Polygons (n, 2) of x and y: shares of width and height, or pixels if a value is above 1."""


@dataclass(frozen=True)
class Film:
    """A video, or a live stream."""

    source: str
    """Path or address."""
    name: str
    """Path below the given folder."""
    camera: str
    start: float | None = None
    """Seconds since 1970 (UTC), if the name or the settings say so."""
    areas: Areas = field(default=(), compare=False)
    """Areas in which nobody is detected."""

    @property
    def live(self) -> bool:
        """Whether it is a stream instead of a file."""
        return "://" in self.source


def find_films(
    sources: Sequence[Path | str],
    *,
    camera: str | None = None,
    start: float | None = None,
    pattern: str | None = None,
    cameras: Path | None = None,
    areas: Areas = (),
) -> list[Film]:
    """Find videos, sorted by camera and then by time.

    The camera of a video is, in this order: `camera`; the field of `pattern`; the camera in
    `cameras` whose videos include it; a sub-folder that it is in and whose name has letters; its
    name without a date and time. Its start is given by `pattern` or its name.

    Args:
        sources: videos, folders of videos, and addresses of streams.
        camera: of all of them.
        start: of the first video of each camera, if names say nothing.
        pattern: of the paths below the folders, such as `{camera}/{time}.mp4` or
            `{year}-{month}-{day}/{hour}/{camera}/{minute}.{second}.mp4`; `{_}` is any text.
        cameras: a .yaml or .toml file: for the name of each camera `films` (a path below the
            folder, with * for any text), `start`, and `ignore` (polygons).
        areas: in which nobody is detected, for every camera.

    Raises:
        DataError: a video or folder does not exist, or has no videos, or a name does not match.
        SettingsError: the pattern or the settings file cannot be parsed.
    """
    told = read_cameras(cameras) if cameras else {}
    expression = _compile(pattern) if pattern else None
    films = []
    for source in sources:
        if "://" in str(source):
            host = re.sub(r"[^\w.]+", "-", str(source).partition("://")[2].rpartition("@")[2])
            films.append(Film(str(source), "live", camera or host.strip("-"), areas=areas))
            continue
        for path, name in _paths(Path(source)):
            fields = _fields(expression, pattern, name)
            own = camera or fields.get("camera") or _among(told, name) or _camera(name)
            moment = _moment(fields, name)
            extra = told.get(own, {}).get("ignore", ())
            films.append(Film(str(path), name, own, moment, (*areas, *extra)))
    _refuse_twins(films)
    films.sort(key=lambda f: (natural(f.camera), f.start or 0, natural(f.name)))
    firsts: set[str] = set()
    for place, film in enumerate(films):
        begin = told.get(film.camera, {}).get("start", start)
        if film.camera not in firsts and film.start is None and not film.live:
            films[place] = replace(film, start=begin)
        firsts.add(film.camera)
    return films


def _refuse_twins(films: Sequence[Film]) -> None:
    """Refuse two videos with the same camera and name, by which finished videos are recorded."""
    known: dict[tuple[str, str], str] = {}
    for film in films:
        other = known.setdefault((film.camera, film.name), film.source)
        if other != film.source:
            raise DataError(
                f"{other} and {film.source} are both {film.name} of the camera {film.camera}. Give "
                "the folder above both, or read them one by one with another --camera."
            )


def _paths(source: Path) -> list[tuple[Path, str]]:
    """Return the videos in a folder, and their names."""
    if source.is_file():
        return [(source, source.name)]
    if not source.is_dir():
        raise DataError(f"{source} does not exist. Give a video, or a folder of videos.")
    found = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
        if not any(part.startswith(".") for part in path.relative_to(source).parts)
    )
    return [(path, path.relative_to(source).as_posix()) for path in found]


def _camera(name: str) -> str:
    """Return the camera from the folder of a video, or else from its name without a time."""
    *folders, stem = Path(name).with_suffix("").parts
    named = (part for part in folders if re.search(r"[^\W\d_]", part))  # other ones are dates
    return next(named, None) or _MOMENT.sub("", stem).strip(" -_.") or "camera"


def _among(told: dict[str, dict[str, Any]], name: str) -> str | None:
    return next((c for c, own in told.items() if fnmatchcase(name, own.get("films", ""))), None)


def _compile(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w*)\}", pattern)
    fields = [field for field in parts[1::2] if field != "_"]
    if not fields or not set(fields) <= set(FIELDS) or len(fields) != len(set(fields)):
        raise SettingsError(
            f"The pattern {pattern!r} has the fields {fields}. Use {{camera}}, {{time}} or "
            "{year}, {month}, {day}, {hour}, {minute} and {second}, each at most once, and {_} "
            "for any text."
        )
    shapes = {field: rf"(?P<{field}>\d+)" for field in FIELDS[2:8]}
    shapes |= {"camera": "(?P<camera>[^/]+?)", "time": "(?P<time>[^/]+?)", "_": ".*?"}
    return re.compile("".join(shapes[p] if i % 2 else re.escape(p) for i, p in enumerate(parts)))


def _fields(expression: re.Pattern[str] | None, pattern: str | None, name: str) -> dict[str, str]:
    if expression is None:
        return {}
    match = expression.fullmatch(name)
    if not match:
        raise DataError(
            f"{name} does not match the pattern {pattern!r}. Write the pattern for the whole path "
            "below the folder, with {_} for parts that have no meaning."
        )
    return match.groupdict()


def _moment(fields: dict[str, str], name: str) -> float | None:
    """Return when a video begins, by the fields of a pattern, or by its name."""
    if "time" in fields:
        return moment_of(fields["time"], name)
    parts = [fields.get(field) for field in FIELDS[2:8]]
    if "year" not in fields:
        found = None if fields else _MOMENT.search(name)
        parts = found.groups() if found else ()
    try:
        return _local(parts) if any(parts) else None
    except ValueError as error:
        if not fields:  # a number that only looks like a date
            return None
        raise DataError(f"{name} contains an invalid date or time: {error}.") from error


def _local(parts: Sequence[str | None]) -> float:
    year, month, day, *rest = (int(part) if part else None for part in parts)
    hour, minute, second = (n or 0 for n in rest)
    return datetime(year or 1, month or 1, day or 1, hour, minute, second).timestamp()


def moment_of(text: Any, where: str) -> float:
    """Parse a time: ISO 8601, in local time unless it names a zone, or seconds since 1970.

    Raises:
        DataError: the text is not a time.
    """
    if isinstance(text, datetime):
        return text.timestamp()
    try:
        return float(text)
    except (TypeError, ValueError):
        pass
    said = _MOMENT.fullmatch(str(text))
    try:
        if said:
            return _local(said.groups())
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError as error:
        raise DataError(
            f"{where}: the time is {str(text)[:50]!r}. Write it like 2026-01-31T18:05."
        ) from error


def read_cameras(path: Path) -> dict[str, dict[str, Any]]:
    """Read the settings of cameras from a file.

    Raises:
        SettingsError: it cannot be read, or has other content.
    """
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
        told = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(told, dict) or not all(isinstance(own, dict) for own in told.values()):
        raise SettingsError(f"{path} does not list cameras. docs/how-to/video.md shows its format.")
    cameras = {}
    for camera, own in told.items():
        if wrong := own.keys() - {"films", "start", "ignore"}:
            raise SettingsError(
                f"{path}: {min(wrong)} of {camera} is unknown. Use films, start and ignore."
            )
        where = f"{path}, {camera}"
        read: dict[str, Any] = {"films": str(own.get("films", ""))}
        read["ignore"] = tuple(_polygon(points, where) for points in own.get("ignore", ()))
        if "start" in own:
            read["start"] = moment_of(own["start"], where)
        cameras[str(camera)] = read
    return cameras


def read_area(text: str) -> np.ndarray:
    """Parse a polygon such as `0,0 0.3,0 0.3,1 0,1`.

    Raises:
        SettingsError: the text is not a polygon.
    """
    return _polygon([pair.split(",") for pair in text.split()], f"The area {text!r}")


def _polygon(points: Any, where: str) -> np.ndarray:
    try:
        polygon = np.array(points, np.float64)
    except (TypeError, ValueError):
        polygon = np.zeros((0, 2))
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3 or not (polygon >= 0).all():
        raise SettingsError(
            f"{where} is not a polygon. Write at least three corners, x and y each, as shares of "
            "width and height (0,0 0.3,0 0.3,1 0,1) or in pixels."
        )
    return polygon


def inside(points: np.ndarray, areas: Areas, size: tuple[int, int]) -> np.ndarray:
    """Return which points are in one of several polygons (even-odd rule).

    Args:
        points: (n, 2) x and y in pixels.
        areas: polygons.
        size: height and width of the frame.

    Returns:
        (n,) bool.
    """
    found = np.zeros(len(points), bool)
    for area in areas:
        corners = area * (size[1], size[0]) if area.max() <= 1 else area
        odd = np.zeros(len(points), bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            between = (ay > points[:, 1]) != (by > points[:, 1])
            with np.errstate(divide="ignore", invalid="ignore"):
                odd ^= between & (points[:, 0] < ax + (points[:, 1] - ay) / (by - ay) * (bx - ax))
        found |= odd
    return found
