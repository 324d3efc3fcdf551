"""Pictures to be added to a gallery: the data of each, and its file."""

import csv
import os
import time as clock
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO, StringIO
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
"""The list beside the folders of the tracklets that `reseen video` wrote."""


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A picture that may be added to a gallery."""

    crop: Crop
    """Its data; without an id until its file is read."""
    owner: int
    """Position of the input that it belongs to: a tracklet has several pictures."""
    picture: PIL.Image.Image | bytes | Path
    """The picture, or its file."""

    @property
    def said(self) -> str:
        """Its name in error messages."""
        path = self.picture if isinstance(self.picture, Path) else self.crop.source
        return str(path) or "a picture in memory"

    def content(self) -> bytes:
        """Return the content of the file, or a PNG of a picture that was not a file.

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
        """Return the data, with the id of this content."""
        return replace(self.crop, id=id_of(content))


def incoming(
    things: Given, camera: str | None = None, time: float | None = None
) -> tuple[list[Incoming], tuple[str, ...]]:
    """Make a record for each picture of inputs of any kind.

    Args:
        things: one or several inputs.
        camera: of pictures without one.
        time: of pictures without one, in seconds since 1970 (UTC).

    Returns:
        The pictures, and notes on how folders were read.

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
    paths = (p for image in found.images for p in image.paths if p not in found.pictures)
    listed = _listed(path.absolute() for path in paths)
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
                crop = replace(crop, **listed.get(place, {}))
            coming.append(Incoming(crop, owner, picture or place))
    return coming, found.notes


def from_files(
    files: Iterable[tuple[str, bytes]], camera: str | None, time: float | None
) -> Iterator[Incoming]:
    """Make records of files in memory, given by name and content."""
    now = clock.time()
    for owner, (name, content) in enumerate(files):
        yield Incoming(Crop("", camera, time, source=name, added=now), owner, content)


def _listed(pictures: Iterable[Path]) -> dict[Path, dict[str, Any]]:
    """Return what the lists of `reseen video` say about pictures: film, frame, box, time."""
    by_list: dict[Path, set[Path]] = {}
    for path in pictures:
        by_list.setdefault(path.parent.parent.parent / LIST, set()).add(path)
    found: dict[Path, dict[str, Any]] = {}
    for manifest, wanted in by_list.items():
        if not manifest.is_file():
            continue
        start = _READ.get(manifest, 0)
        rows = _video_rows(manifest, wanted, start)
        if start and len(rows) < len(wanted):
            rows = _video_rows(manifest, wanted)
        found |= rows
    return found


_READ: dict[Path, int] = {}
"""Number of bytes of each list that were read: tracklets that are added later are at its end."""


def _video_rows(manifest: Path, wanted: set[Path], start: int = 0) -> dict[Path, dict[str, Any]]:
    found = {}
    with manifest.open("rb") as file:
        head = file.readline()
        columns = next(csv.reader([os.fsdecode(head)]), [])
        if not {"path", "camera", "tracklet", "film", "frame", "box", "time"} <= set(columns):
            return {}
        file.seek(max(start, len(head)) - 1)
        if file.read(1) != b"\n":  # it was written again
            file.seek(len(head))
        begin, text = file.tell(), file.read()
    whole = text[: text.rfind(b"\n") + 1]  # the last line may be incomplete
    _READ[manifest] = begin + len(whole)
    for row in csv.DictReader(StringIO(os.fsdecode(whole), newline=""), columns):
        path = manifest.parent / row["path"]
        if path in wanted:
            left, top, right, bottom = map(int, row["box"].split())
            found[path] = {
                "camera": row["camera"],
                "tracklet": row["tracklet"],
                "time": float(row["time"]),
                "source": row["film"],
                "frame": int(row["frame"]),
                "box": (left, top, right, bottom),
            }
    return found
