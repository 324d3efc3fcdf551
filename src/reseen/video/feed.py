"""Adds new tracklets to a gallery, each of them once."""

import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reseen.records import Image
from reseen.video.folder import CropFolder

EVERY = 5.0
"""Seconds for which tracklets are collected, because adding many at a time is faster."""


class Feed:
    """Passes every tracklet of a folder on, once.

    Args:
        folder: of the tracklets; it records how many were passed on.
        name: of the receiver, such as the path of a gallery.
        add: takes records of tracklets; it must recognise tracklets that it already has.
    """

    def __init__(self, folder: CropFolder, name: str, add: Callable[[list[Image]], Any]):
        self.folder, self.name, self.add = folder, name, add
        self._given, self._last = folder.added(name), clock.monotonic()
        before = list(folder.tracklets())[self._given :]
        self._waiting = [_image(folder.root, rows) for rows in before]

    def offer(self, tracklet: Image) -> None:
        """Add a tracklet that was written."""
        self._waiting.append(tracklet)

    def give(self, now: bool = True) -> None:
        """Pass the waiting tracklets on: at once, or if they have waited long enough."""
        if self._waiting and (now or clock.monotonic() - self._last > EVERY):
            self.add(self._waiting)
            self._given += len(self._waiting)
            self.folder.note_added(self.name, self._given)
            self._waiting, self._last = [], clock.monotonic()


def _image(root: Path, rows: list[dict[str, Any]]) -> Image:
    paths = [root / row["path"] for row in rows]
    return Image(paths[0], time=float(rows[0]["time"]), frames=tuple(path.name for path in paths))
