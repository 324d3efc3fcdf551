"""The folder of tracklets: complete tracklets, each once, whenever writing is interrupted."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from reseen.data.folder import TRACKLET_COLUMNS
from reseen.engine.files import safe_name, write_text
from reseen.errors import DataError, SettingsError
from reseen.records import Image
from reseen.video.films import Film
from reseen.video.select import Tracklet

MANIFEST, FILMS, STATE, PENDING = "manifest.csv", "films.csv", "video.json", "pending.csv"

COLUMNS = ("path", "camera", "time", *TRACKLET_COLUMNS)
FILM_COLUMNS = ("film", "bytes", "camera", "begin", "end", "frames", "broken")

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Done:
    """The record of a video that was read to its end."""

    size: int
    begin: float
    end: float


class CropFolder:
    """Tracklets as CAMERA/TRACKLET/FRAME.jpg, and records of what was read already.

    A tracklet is written in four steps: its pictures into a hidden folder; its lines into
    `pending.csv`; the folder is renamed and the lines are appended to `manifest.csv`; `pending.csv`
    is removed. Opening a folder again finishes interrupted steps, so that a tracklet exists once or
    not at all. `films.csv` lists finished videos; `video.json` holds the settings, and how far the
    current video was read.

    Args:
        root: the folder, which must be locked (`engine.files.alone`).
        settings: everything that determines the tracklets.

    Raises:
        SettingsError: it was made with other settings, or has other content.
        DataError: its lists are damaged.
    """

    def __init__(self, root: Path, settings: dict[str, Any]):
        self.root = root
        settings = json.loads(json.dumps(settings, default=str))
        self.state = self._claim(settings)
        self._recover()
        self.films = {
            (row["camera"], row["film"]): Done(
                int(row["bytes"]), float(row["begin"]), float(row["end"])
            )
            for row in self._read(FILMS, FILM_COLUMNS)
        }
        self.names = {(row["camera"], row["tracklet"]) for row in self._read(MANIFEST, COLUMNS)}

    def _claim(self, settings: dict[str, Any]) -> dict[str, Any]:
        path = self.root / STATE
        if not path.exists():
            if any(self.root.glob("*.csv")) or any(p.is_dir() for p in self.root.iterdir()):
                raise SettingsError(
                    f"{self.root} is not empty and was not made by reseen video. Use a new folder."
                )
            state = {"settings": settings, "position": {}, "added": {}}
            write_text(path, json.dumps(state, indent=2) + "\n")
            return state
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            before = state["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged. Give a new folder.") from error
        wrong = [
            f"{key} was {before.get(key)}, now {settings.get(key)}"
            for key in dict.fromkeys([*before, *settings])
            if before.get(key) != settings.get(key)
        ]
        if wrong:
            raise SettingsError(
                f"{self.root} was made with other settings ({'; '.join(wrong)}). Use the same "
                "settings, or a new folder."
            )
        return state

    def _recover(self) -> None:
        """Finish the tracklet that was being written, and remove files that no list contains."""
        for name in (MANIFEST, FILMS):
            _cut_line(self.root / name)
        pending = self.root / PENDING
        if pending.exists():
            rows = list(self._read(PENDING, COLUMNS))
            last = rows[0]["camera"], rows[0]["tracklet"]
            before = list(self._read(MANIFEST, COLUMNS))
            others = [row for row in before if (row["camera"], row["tracklet"]) != last]
            if len(before) - len(others) not in (0, len(rows)):
                write_text(self.root / MANIFEST, _table(COLUMNS, others, head=True))
            self._finish(rows, written=len(before) - len(others) == len(rows))
        for left in self.root.glob("*/.*.tmp"):
            shutil.rmtree(left)

    def write(self, tracklet: Tracklet, camera: str) -> Image:
        """Write a tracklet, as a whole or not at all.

        Returns:
            Its record.
        """
        if (self.root / PENDING).exists():  # Ctrl-C interrupted the writing of another one
            self._recover()
        name, kept = tracklet.name, tracklet.chosen
        place = f"{safe_name(camera)}/{name}"
        hidden = self.root / safe_name(camera) / f".{name}.tmp"
        hidden.mkdir(parents=True)
        rows = []
        for order, frame in enumerate(kept):
            file = f"{order:03d}-{frame.number:06d}.jpg"
            (hidden / file).write_bytes(frame.jpeg)
            rows.append(
                {
                    "path": f"{place}/{file}",
                    "camera": camera,
                    "time": f"{frame.time:.3f}",
                    "tracklet": name,
                    "begin": f"{tracklet.times[0]:.3f}",
                    "end": f"{tracklet.times[-1]:.3f}",
                    "film": frame.film,
                    "frame": frame.number,
                    "box": " ".join(map(str, frame.box)),
                    "score": f"{frame.score:.3f}",
                }
            )
        write_text(self.root / PENDING, _table(COLUMNS, rows, head=True))
        self._finish(rows)
        files = tuple(Path(row["path"]).name for row in rows)
        return Image(self.root / place / files[0], time=kept[0].time, frames=files)

    def _finish(self, rows: Rows, written: bool = False) -> None:
        place = (self.root / rows[0]["path"]).parent
        hidden = place.with_name(f".{place.name}.tmp")
        if hidden.exists():
            hidden.replace(place)
        if not written:
            self._append(MANIFEST, COLUMNS, rows)
        place = self.state["position"].get(rows[0]["camera"])
        if place:  # pictures of a written tracklet are never needed again
            place[2] = max(place[2], float(rows[0]["end"]))
            self._keep()
        (self.root / PENDING).unlink()

    def unique(self, camera: str, name: str) -> str:
        """Return a name that no tracklet of the camera has yet."""
        found, number = name, 1
        while (camera, found) in self.names:
            number += 1
            found = f"{name}-{number}"
        self.names.add((camera, found))
        return found

    def finish(
        self, film: Film, size: int, begin: float, end: float, frames: int, broken: int
    ) -> None:
        """Record that a video, which had `size` bytes when it was opened, was read to its end."""
        row = dict(film=film.name, bytes=size, camera=film.camera, begin=f"{begin:.3f}")
        row |= dict(end=f"{end:.3f}", frames=frames, broken=broken)
        self._append(FILMS, FILM_COLUMNS, [row])
        self.films[film.camera, film.name] = Done(size, begin, end)
        self.state["position"].pop(film.camera, None)
        self._keep()

    def done(self, film: Film) -> Done | None:
        """Return the record of a video that was read to its end already."""
        done = self.films.get((film.camera, film.name))
        return done if done and done.size == Path(film.source).stat().st_size else None

    def mark(self, film: Film, begin: float, time: float) -> None:
        """Record how far a video was read; tracks that are open there are lost in a crash."""
        self.state["position"][film.camera] = [film.name, begin, time]
        self._keep()

    def position(self, film: Film) -> tuple[float, float] | None:
        """Return when a video begins, and until when it was read; None if it was not started.

        A video that has grown since then, because it was still being recorded, is continued there.
        """
        name, begin, time = self.state["position"].get(film.camera, ("", 0.0, 0.0))
        if film.live or name == film.name:
            return None if film.live else (begin, time)
        done = self.films.get((film.camera, film.name))
        grown = done and done.size < Path(film.source).stat().st_size
        return (done.begin, done.end - 5e-3) if done and grown else None  # from the next frame

    def tracklets(self) -> Iterator[Rows]:
        """Yield the lines of every tracklet, in the order in which they were written."""
        rows: Rows = []
        for row in self._read(MANIFEST, COLUMNS):
            if rows and any(rows[0][key] != row[key] for key in ("camera", "tracklet")):
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows

    def added(self, gallery: str) -> int:
        """Return how many tracklets a gallery has got already."""
        return self.state["added"].get(gallery, 0)

    def note_added(self, gallery: str, count: int) -> None:
        """Record how many tracklets a gallery has got."""
        self.state["added"][gallery] = count
        self._keep()

    def _keep(self) -> None:
        write_text(self.root / STATE, json.dumps(self.state, indent=2) + "\n")

    def _read(self, name: str, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
        path = self.root / name
        if not path.exists():
            return
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != columns:
                raise DataError(f"{path} does not have the columns {', '.join(columns)}.")
            for row in reader:
                if None in row.values() or None in row:
                    raise DataError(f"{path}, line {reader.line_num}: cells are missing.")
                yield row

    def _append(self, name: str, columns: tuple[str, ...], rows: Rows) -> None:
        path = self.root / name
        text = _table(columns, rows, head=not path.exists())
        with path.open("ab") as file:
            file.write(os.fsencode(text))
            file.flush()
            os.fsync(file.fileno())


def _table(columns: tuple[str, ...], rows: Iterable[dict[str, Any]], head: bool) -> str:
    text = StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    if head:
        table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _cut_line(path: Path) -> None:
    """Remove an incomplete last line."""
    if path.exists():
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if not whole:
            path.unlink()
        elif whole != text:
            with path.open("r+b") as file:
                file.truncate(len(whole))
