"""From videos to tracklets: decode, detect, track, select, write."""

import time as clock
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np

from reseen.engine.files import alone, safe_name
from reseen.engine.progress import QUIET, Screen, duration
from reseen.errors import DataError, counted
from reseen.records import Image
from reseen.video.decode import Decoder, Facts, Frame
from reseen.video.detect import Detector, load_detector
from reseen.video.feed import Feed
from reseen.video.films import Film, inside
from reseen.video.folder import CropFolder
from reseen.video.select import CropSettings, Tracklet, hidden_shares, padded
from reseen.video.track import OverlapTracker, Tracker, TrackSettings

STAGES = ("decode", "detect", "track", "crop")

MARK = 10.0
"""Seconds of a video after which the position is recorded."""

AGAIN = 5.0
"""Seconds until an interrupted live stream is opened again, or a folder is checked again."""

Look = Callable[[np.ndarray, list[tuple[int, int, int, int]]], np.ndarray]
"""Returns the features (n, D), unit rows, of n boxes in a frame."""


@dataclass
class Summary:
    """Statistics of the work."""

    films: int = 0
    decoded: int = 0
    """Number of decoded frames."""
    looked: int = 0
    """Number of frames in which people were detected."""
    broken: int = 0
    """Number of frames that could not be decoded."""
    late: int = 0
    """Number of frames of a live stream that were skipped to keep up."""
    tracklets: int = 0
    crops: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Number of tracks that were dropped: `still` objects, and `short` ones."""
    ignored: int = 0
    """Number of boxes in ignored areas, or too small."""
    seconds: float = 0.0
    """Duration of the videos."""
    took: float = 0.0
    """Seconds of work."""
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Seconds of work by stage."""

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure the time of a stage."""
        before = clock.perf_counter()
        try:
            yield
        finally:
            self.stages[stage] += clock.perf_counter() - before

    def __str__(self) -> str:
        left = [f"{count} {what}" for what, count in sorted(self.dropped.items())]
        lines = [
            f"{counted(self.tracklets, 'tracklet')} of {counted(self.crops, 'crop')}"
            + (f"; tracks left out: {', '.join(left)}" if left else ""),
            f"{counted(self.films, 'video')}, {duration(self.seconds)} processed in "
            f"{duration(self.took)} ({self.seconds / max(self.took, 1e-9):.1f} times real time); "
            f"looked at {counted(self.looked, 'frame')} of {self.decoded:,}, "
            f"{self.looked / max(self.took, 1e-9):.1f} per second",
        ]
        if self.broken:
            lines.append(f"{counted(self.broken, 'frame')} could not be decoded")
        if self.late:
            lines.append(f"{counted(self.late, 'frame')} of live streams skipped to keep up")
        return "\n".join(lines)


@dataclass
class _Camera:
    """The state of one camera."""

    tracker: Tracker
    clock: float | None = None
    """When the previous video ended."""
    time: float = -np.inf
    """Time of the last frame."""
    open: dict[int, Tracklet] = field(default_factory=dict)


class Cropper:
    """Makes tracklets of videos; keeps open tracks between the videos of a camera.

    Args:
        folder: for the tracklets.
        rate: number of frames per second in which people are detected, 0 for all.
        crops: settings of the crops.
        tracks: settings of the tracks.
        detector: finds people; by default the one that comes with reseen.
        tracker: creates a tracker, one for each camera.
        look: computes features of boxes, for a tracker that uses them.
        feed: gets each tracklet that is written.
        screen: prints messages.
    """

    def __init__(
        self,
        folder: CropFolder,
        *,
        rate: float = 5.0,
        crops: CropSettings | None = None,
        tracks: TrackSettings | None = None,
        detector: Detector | None = None,
        tracker: Callable[[], Tracker] | None = None,
        look: Look | None = None,
        feed: Feed | None = None,
        screen: Screen = QUIET,
    ):
        self.folder, self.rate, self.look, self.screen = folder, rate, look, screen
        self.crops, self.tracks = crops or CropSettings(), tracks or TrackSettings()
        self.detector = detector or load_detector()
        self.tracker = tracker or (lambda: OverlapTracker(self.tracks))
        self.feed = feed
        self.summary = Summary()
        self.cameras: dict[str, _Camera] = {}
        self.unreadable: dict[Film, DataError] = {}

    def run(self, films: Sequence[Film]) -> None:
        """Read videos that were not read yet; tracks stay open at the end of each."""
        before = clock.perf_counter()
        todo = [f for f in films if f not in self.unreadable and not self._past(f)]
        facts = {film: Facts(0, 25, None) if film.live else self._facts(film) for film in todo}
        todo = [film for film in todo if facts[film]]
        expected = sum(
            max(1, round(f.seconds * min(self.rate or f.rate, f.rate))) for f in facts.values() if f
        )
        live = any(film.live for film in todo)
        wrap = (lambda items, total: items) if live else self.screen.track("frames")
        try:
            for _ in wrap(self._all(todo, facts), expected):
                pass
        finally:
            self.summary.took += clock.perf_counter() - before

    def close(self, camera: str | None = None) -> None:
        """Close open tracks."""
        for name in [camera] if camera else list(self.cameras):
            own = self.cameras[name]
            for number in list(own.open):
                self._close(name, own, number)
        if self.feed:
            self.feed.give()

    def _past(self, film: Film) -> bool:
        """Return whether a video was read already; the next one of its camera then follows it."""
        done = self.folder.done(film)
        if done:
            own = self._camera(film.camera)
            own.clock = max(done.end, own.clock or done.end)
        return done is not None

    def _camera(self, name: str) -> _Camera:
        if name not in self.cameras:
            self.cameras[name] = _Camera(self.tracker())
        return self.cameras[name]

    def _facts(self, film: Film) -> Facts | None:
        try:
            return Decoder(film.source).facts()
        except DataError as error:
            self.screen.say(f"skipped: {error}")
            self.unreadable[film] = error
            return None

    def _all(self, films: Iterable[Film], facts: dict[Film, Any]) -> Iterator[None]:
        last = None
        for film in films:
            if last and film.camera != last:
                self.close(last)
            last = film.camera
            yield from self._film(film, facts[film])

    def _film(self, film: Film, facts: Facts) -> Iterator[None]:
        """Process the frames of one video."""
        own = self._camera(film.camera)
        begin, after = self._begin(film, own, facts), -1.0
        if found := self.folder.position(film):
            begin, after = found[0], found[1] - found[0]
            self.screen.say(f"resuming {film.name} at {duration(after)}")
        if not -1 < begin - own.time <= self.tracks.patience:  # it does not continue the last one
            self.close(film.camera)
            own.tracker, own.time = self.tracker(), -np.inf
        begin = max(begin, own.time + 1e-3)  # the time of a tracker must not go back
        decoder, size = Decoder(film.source), 0 if film.live else Path(film.source).stat().st_size
        frames = decoder.frames(self.rate, after)
        frames = _newest(frames, self.summary) if film.live else frames
        self.folder.mark(film, begin, begin + after)
        time = marked = begin + max(after, 0.0)
        prefix = safe_name(film.name.rpartition(".")[0].replace("/", "_") or film.name)
        while True:
            with self.summary.timed("decode"):
                frame = next(frames, None)
            if frame is None:
                break
            time = begin + frame.time
            self._take(film, own, frame, time, prefix)
            if time - marked > MARK:
                self.folder.mark(film, begin, time)
                marked = time
            if self.feed:
                self.feed.give(now=False)
            yield
        self._count(decoder, facts, max(after, 0.0), time - begin)
        if not film.live:
            own.clock = begin + max(facts.seconds, time - begin)
            self.folder.finish(film, size, begin, own.clock, decoder.decoded, decoder.broken)

    def _begin(self, film: Film, own: _Camera, facts: Facts) -> float:
        """Return when a video begins: by its name, after the previous one, or by its metadata."""
        if film.live:
            return clock.time()
        if film.start is not None:
            return film.start
        if facts.created is not None and facts.created > (own.clock or 0) - 1:
            return facts.created
        if own.clock is None:
            self.screen.say(
                f"it is unknown when {film.name} begins, so its times count from 0 (use --start)"
            )
        return own.clock or 0.0

    def _count(self, decoder: Decoder, facts: Facts, after: float, until: float) -> None:
        self.summary.films += 1
        self.summary.decoded += decoder.decoded
        self.summary.broken += decoder.broken
        self.summary.seconds += max(facts.seconds, until) - after

    def _take(self, film: Film, own: _Camera, frame: Frame, time: float, prefix: str) -> None:
        """Process a frame."""
        self.summary.looked += 1
        with self.summary.timed("detect"):
            boxes = self.detector(frame.pixels)
        with self.summary.timed("track"):
            boxes = self._counting(np.asarray(boxes, np.float64).reshape(-1, 5), frame, film)
            looks = None
            if self.look:
                size = frame.pixels.shape[:2]
                cuts = [padded(box, self.crops.pad, size) for box in boxes]
                looks = self.look(frame.pixels, cuts)
            ids = own.tracker.update(boxes, time, looks)
            hidden = hidden_shares(boxes[boxes[:, 4] >= self.tracks.weak_score])
        with self.summary.timed("crop"):
            self._gather(film, own, frame, time, prefix, boxes, ids, hidden)
        own.time = time

    def _counting(self, boxes: np.ndarray, frame: Frame, film: Film) -> np.ndarray:
        """Drop boxes that are too small, have a low score, or are in ignored areas."""
        boxes = boxes[boxes[:, 4] >= self.tracks.weak_score]
        wide, tall = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        feet = np.column_stack([boxes[:, [0, 2]].mean(1), boxes[:, 3] - 0.02 * tall])
        out = (tall < self.crops.min_height) | (wide * tall < self.crops.min_area)
        out |= inside(feet, film.areas, frame.pixels.shape[:2])
        self.summary.ignored += int(out.sum())
        return boxes[~out]

    def _gather(
        self,
        film: Film,
        own: _Camera,
        frame: Frame,
        time: float,
        prefix: str,
        boxes: np.ndarray,
        ids: np.ndarray,
        hidden: np.ndarray,
    ) -> None:
        for number, box, share in zip(ids.tolist(), boxes, hidden, strict=True):
            if number < 0:
                continue
            tracklet = own.open.get(number)
            if tracklet and time - tracklet.times[0] > self.crops.longest:
                self._close(film.camera, own, number)
                tracklet = None
            if tracklet is None:
                name = f"{prefix}-{frame.number:06d}"
                if film.live:
                    stamp = datetime.fromtimestamp(time, UTC).strftime("%Y%m%dT%H%M%S")
                    name = f"live-{stamp}-{frame.number:06d}"
                name = self.folder.unique(film.camera, name)
                tracklet = own.open[number] = Tracklet(name, self.crops)
            tracklet.offer(frame.pixels, box, float(share), film.name, frame.number, time)
        for number in [n for n, t in own.open.items() if time - t.times[-1] > self.tracks.patience]:
            self._close(film.camera, own, number)

    def _close(self, camera: str, own: _Camera, number: int) -> None:
        tracklet = own.open.pop(number)
        if fault := tracklet.fault:
            self.summary.dropped[fault] = self.summary.dropped.get(fault, 0) + 1
            return
        image = self.folder.write(tracklet, camera)
        self.summary.tracklets += 1
        self.summary.crops += len(image.frames)
        if self.feed:
            self.feed.offer(image)


def _newest(frames: Iterator[Frame], summary: Summary, most: int = 4) -> Iterator[Frame]:
    """Read a live stream in a thread, and skip frames if processing cannot keep up."""
    waiting: deque[Frame | BaseException | None] = deque()
    news = Condition()

    def read() -> None:
        end: BaseException | None = None
        try:
            for frame in frames:
                with news:
                    if len(waiting) >= most:
                        waiting.popleft()
                        summary.late += 1
                    waiting.append(frame)
                    news.notify()
        except BaseException as error:  # raised again where the frames are used
            end = error
        with news:
            waiting.append(end)
            news.notify()

    Thread(target=read, daemon=True).start()
    while True:
        with news:
            while not waiting:
                news.wait(0.5)  # with a timeout, so that Ctrl-C works
            found = waiting.popleft()
        if isinstance(found, BaseException):
            raise found
        if found is None:
            return
        yield found


def make_tracklets(
    find: Callable[[], Sequence[Film]],
    out: Path,
    *,
    rate: float = 5.0,
    crops: CropSettings | None = None,
    tracks: TrackSettings | None = None,
    detector: Detector | None = None,
    tracker: Callable[[], Tracker] | None = None,
    look: Look | None = None,
    facts: dict[str, Any] | None = None,
    gallery: tuple[str, Callable[[list[Image]], Any]] | None = None,
    watch: bool = False,
    settle: float = 10.0,
    screen: Screen = QUIET,
) -> Summary:
    """Make tracklets of all videos that were not read yet.

    After an interruption, also by kill -9, the same call continues. Tracks that were open then are
    lost up to that point after a crash, and written as they are after Ctrl-C.

    Args:
        find: returns the videos; called again and again if `watch`.
        out: folder to write to; see `CropFolder`.
        rate: number of frames per second in which people are detected, 0 for all.
        crops, tracks: settings.
        detector, tracker, look: see `Cropper`.
        facts: everything else that determines the tracklets, to refuse a folder with other facts.
        gallery: name of the receiver of each written tracklet, and a function; see `Feed`.
        watch: continue with videos that are added later, until Ctrl-C.
        settle: seconds for which a video must be unchanged before it is read, if `watch`.
        screen: prints messages.

    Raises:
        DataError: there is no video, or none can be opened.
        SettingsError: `out` was made with other settings, or has other content.
    """
    crops, tracks = crops or CropSettings(), tracks or TrackSettings()
    settings = {"rate": rate, **vars(crops), **vars(tracks), **(facts or {})}
    with alone(out):
        folder = CropFolder(out, settings)
        cropper = Cropper(
            folder,
            rate=rate,
            crops=crops,
            tracks=tracks,
            detector=detector,
            tracker=tracker,
            look=look,
            feed=Feed(folder, *gallery) if gallery else None,
            screen=screen,
        )
        try:
            if watch:
                _watch(cropper, find, settle)
            else:
                films = find()
                if not films:
                    raise DataError("There is no video. Give videos, or a folder with videos.")
                cropper.run(films)
                if cropper.unreadable and not cropper.summary.films:
                    raise next(iter(cropper.unreadable.values()))
                while any(film.live for film in films):
                    _again(cropper, [film for film in films if film.live])
        except KeyboardInterrupt:
            cropper.close()
            told = f"stopped, {counted(cropper.summary.tracklets, 'tracklet')} written"
            raise KeyboardInterrupt(f"{told}. Run the same command again to resume.") from None
        cropper.close()
        return cropper.summary


def _again(cropper: Cropper, films: Sequence[Film]) -> None:
    """Open interrupted live streams again."""
    cropper.screen.say(f"the stream was interrupted; retrying in {AGAIN:.0f} s")
    clock.sleep(AGAIN)
    try:
        cropper.run(films)
    except DataError as error:
        cropper.screen.say(str(error))


def _watch(cropper: Cropper, find: Callable[[], Sequence[Film]], settle: float) -> None:
    """Read videos as they are added; tracks stay open for the next video, but not for long."""
    idle = clock.monotonic()
    while True:
        before = cropper.summary.films
        ready = [f for f in find() if f.live or _settled(Path(f.source), settle)]
        cropper.run(ready)
        now = clock.monotonic()
        if cropper.summary.films > before:
            idle = now
        elif now - idle > 60 + settle:
            cropper.close()
        clock.sleep(min(AGAIN, max(settle / 2, 0.05)))


def _settled(path: Path, seconds: float) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_size > 0 and clock.time() - found.st_mtime >= seconds
