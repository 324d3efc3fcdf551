"""Frames of a video file or a live stream, decoded one after the other by PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from reseen.errors import DataError, needs

PATIENCE = 10.0
"""Seconds without an answer after which a live stream counts as interrupted."""


class Frame(NamedTuple):
    """One decoded frame."""

    pixels: np.ndarray
    """(H, W, 3) uint8, RGB, rotated upright by the video's metadata."""
    number: int
    """Its position in the video, from 0, counting broken frames."""
    time: float
    """Seconds since the first frame of the video."""


@dataclass(frozen=True)
class Facts:
    """The metadata of a video, read without decoding it."""

    seconds: float
    """Duration; 0 if unknown, as for a live stream."""
    rate: float
    """Frames per second, on average."""
    created: float | None
    """When it was recorded, in seconds since 1970 (UTC), if its metadata say so."""


class Decoder:
    """Reads a video file or a live stream frame by frame.

    Args:
        source: path of a file, or the address of a stream, such as rtsp://camera/stream.

    Attributes:
        decoded: number of frames decoded so far.
        broken: number of frames that were skipped because they could not be decoded.
    """

    def __init__(self, source: str):
        self.source = source
        self.decoded = self.broken = 0

    def facts(self) -> Facts:
        """Read the metadata of the video.

        Raises:
            DataError: it cannot be opened, or has no pictures.
        """
        with _opened(self.source) as (_, stream):
            return _facts(stream)

    def frames(self, rate: float = 0.0, after: float = -1.0) -> Iterator[Frame]:
        """Decode the video and yield frames.

        Args:
            rate: number of frames per second: the first in each 1/rate seconds of the video's own
                time; 0 yields all.
            after: seconds of the video; earlier frames are skipped.

        Raises:
            DataError: it cannot be opened, or has no pictures.
        """
        with _opened(self.source) as (container, stream):
            step, tick = 1 / _facts(stream).rate, float(stream.time_base or 0)
            number, zero, time, slot = -1, None, -step, -1
            stamps = None
            if after >= 0:
                stamps, zero = _stamps(self.source)
                slot = int(after * rate + 1e-3)
                container.seek(int((after + zero) / tick), stream=stream)
            for frame in self._decode(container, stream):
                number += 1
                if frame is None:
                    continue
                said = None if frame.pts is None else frame.pts * tick
                zero = said if zero is None else zero
                now = number * step if said is None or zero is None else said - zero
                if stamps is not None:  # the first frame after the seek
                    number, stamps = int(np.searchsorted(stamps, now - step / 2)), None
                time = now if now > time else time + step  # clocks of recorders may jump back
                if after >= 0 and time <= after + 2e-3:
                    continue
                last, slot = slot, int(time * rate + 1e-3)
                if rate and slot <= last:
                    continue
                pixels = frame.to_ndarray(format="rgb24")
                yield Frame(_upright(pixels, frame.rotation), number, time)

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield every frame, or None for a broken one."""
        from av import error

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                found = packet.decode() if packet is not None else []
            except (error.InvalidDataError, error.EOFError):
                packet, found = "", [None]
            except (OSError, error.FFmpegError):  # an interrupted stream, or a removed disk
                return
            if packet is None:
                return
            for frame in found:
                broken = frame is None or frame.is_corrupt
                self.broken += broken
                self.decoded += not broken
                yield None if broken else frame


@contextmanager
def _opened(source: str) -> Iterator[tuple[Any, Any]]:
    """Open a video; yields its container and its first video stream."""
    needs("av", extra="video")
    import av
    from av.error import FFmpegError

    live = "://" in source
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    try:
        container = av.open(source, options=options, timeout=PATIENCE if live else None)
    except (OSError, ValueError, FFmpegError) as error:
        hint = "Check the address." if live else "Is it a complete video file?"
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{_hidden(source)} cannot be opened: {why}. {hint}") from error
    with container:
        if not container.streams.video:
            raise DataError(f"{_hidden(source)} has no pictures. Give a video.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _hidden(source: str) -> str:
    """Remove the user name and password from an address."""
    scheme, found, rest = source.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else source


def _facts(stream: Any) -> Facts:
    container = stream.container
    seconds = 0.0
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / 1e6
    said = {**container.metadata, **stream.metadata}.get("creation_time")
    created = None
    with suppress(ValueError):
        created = datetime.fromisoformat(said).timestamp() if said else None
    if created is not None and created <= 0:  # from a recorder whose clock was never set
        created = None
    return Facts(seconds, float(stream.average_rate or stream.guessed_rate or 25), created)


def _stamps(source: str) -> tuple[np.ndarray, float]:
    """Return the seconds of all frames since the first, in order, and the time of the first."""
    with _opened(source) as (container, stream):
        tick = float(stream.time_base)
        found = [p.pts * tick for p in container.demux(stream) if p.pts is not None]
    stamps = np.sort(np.array(found or [0.0]))
    return stamps - stamps[0], float(stamps[0])


def _upright(pixels: np.ndarray, degrees: int) -> np.ndarray:
    """Rotate a frame by its display matrix, by `degrees` counter-clockwise."""
    turned = np.rot90(pixels, round(degrees / 90) % 4)
    return np.ascontiguousarray(turned)
