"""New tracklets on their way to a gallery, each of them once."""

import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reseen.records import Image
from reseen.video.folder import CropFolder

EVERY = 5.0
"""Seconds for which tracklets are gathered, as adding many at a time is quicker."""


class Feed:
    """Gives every tracklet of a folder to something that keeps it.

    Args:
        folder: where the tracklets lie; it remembers how many were given.
        name: of who gets them, such as the path of a gallery.
        add: takes records of tracklets; what it has taken it keeps, and knows when it comes again.
    """

    def __init__(self, folder: CropFolder, name: str, add: Callable[[list[Image]], Any]):
        self.folder, self.name, self.add = folder, name, add
        self._given, self._last = folder.added(name), clock.monotonic()
        before = list(folder.tracklets())[self._given :]
        self._waiting = [_image(folder.root, rows) for rows in before]

    def offer(self, tracklet: Image) -> None:
        """Take a tracklet that was written."""
        self._waiting.append(tracklet)

    def give(self, now: bool = True) -> None:
        """Give what waits: at once, or if it has waited for long enough."""
        if self._waiting and (now or clock.monotonic() - self._last > EVERY):
            self.add(self._waiting)
            self._given += len(self._waiting)
            self.folder.note_added(self.name, self._given)
            self._waiting, self._last = [], clock.monotonic()


def _image(root: Path, rows: list[dict[str, Any]]) -> Image:
    paths = [root / row["path"] for row in rows]
    return Image(paths[0], time=float(rows[0]["time"]), frames=tuple(path.name for path in paths))
