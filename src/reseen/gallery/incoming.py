"""Pictures on their way into a gallery: what is known of each, and its file."""

import csv
import time as clock
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image

from reseen.data.given import Thing, gather
from reseen.data.pictures import broken_said
from reseen.gallery.records import Crop, id_of
from reseen.records import Dataset

Given = Dataset | Thing | bytes | Iterable[Thing | bytes]
"""What `reseen.extract` takes, and the contents of picture files."""

LIST = "manifest.csv"
"""Beside the folders of the tracklets that `reseen video` wrote."""


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A picture that may come into a gallery."""

    crop: Crop
    """What is known; without an id before its file is read."""
    owner: int
    """Which of the things that were given it belongs to: a tracklet has several pictures."""
    picture: PIL.Image.Image | bytes | Path
    """It, or its file."""

    @property
    def said(self) -> str:
        """How an error names it."""
        path = self.picture if isinstance(self.picture, Path) else self.crop.source
        return str(path) or "a picture in memory"

    def content(self) -> bytes:
        """Give the file; of a picture in memory that was no file, a PNG.

        Raises:
            BrokenPictureError: it cannot be read.
        """
        if isinstance(self.picture, bytes):
            return self.picture
        if isinstance(self.picture, Path):
            with broken_said():
                return self.picture.read_bytes()
        file = BytesIO()
        self.picture.save(file, "PNG", compress_level=1)
        return file.getvalue()

    def identified(self, content: bytes) -> Crop:
        """Give what is known, with the id that its file gives it."""
        return replace(self.crop, id=id_of(content))


def incoming(
    things: Given, camera: str | None = None, time: float | None = None
) -> tuple[list[Incoming], tuple[str, ...]]:
    """Make one record a picture of things of any kind.

    Args:
        things: one or several.
        camera: of those that say none.
        time: of those that say none, in seconds since 1970 (UTC).

    Returns:
        The pictures, and what a user should know of how folders were read.

    Raises:
        DataError: as `gather`.
    """
    if isinstance(things, bytes):
        things = [things]
    if isinstance(things, Sequence) and not isinstance(things, str):
        files = [thing for thing in things if isinstance(thing, bytes)]
        if files and len(files) == len(things):
            return list(from_files((("", file) for file in files), camera, time)), ()
    given: Any = things
    found, now = gather(given), clock.time()
    lists: dict[Path, dict[Path, dict[str, Any]]] = {}
    coming = []
    for owner, (image, named) in enumerate(zip(found.images, found.cameras, strict=True)):
        for path in image.paths:
            taken = time if image.time is None else image.time
            place = path.absolute()
            picture = found.pictures.get(path)
            crop = Crop(
                *("", named or camera, taken, place.parent.name if image.frames else None),
                *("" if picture else str(place),),
                added=now,
            )
            if picture is None:
                crop = replace(crop, **_listed(place, lists))
            coming.append(Incoming(crop, owner, picture or place))
    return coming, found.notes


def from_files(
    files: Iterable[tuple[str, bytes]], camera: str | None, time: float | None
) -> Iterator[Incoming]:
    """Make records of files in memory, by name and content."""
    now = clock.time()
    for owner, (name, content) in enumerate(files):
        yield Incoming(Crop("", camera, time, source=name, added=now), owner, content)


def _listed(path: Path, lists: dict[Path, dict[Path, dict[str, Any]]]) -> dict[str, Any]:
    """Give what a list of `reseen video` says of a picture: film, frame, box, time."""
    root = path.parent.parent.parent
    if root not in lists:
        lists[root] = dict(_video_rows(root))
    return lists[root].get(path, {})


def _video_rows(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    manifest = root / LIST
    if not manifest.is_file():
        return
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"path", "camera", "tracklet", "film", "frame", "box", "time"} <= set(
            rows.fieldnames or ()
        ):
            return
        for row in rows:
            left, top, right, bottom = map(int, row["box"].split())
            yield (
                root / row["path"],
                {
                    "camera": row["camera"],
                    "tracklet": row["tracklet"],
                    "time": float(row["time"]),
                    "source": row["film"],
                    "frame": int(row["frame"]),
                    "box": (left, top, right, bottom),
                },
            )
