"""Films for tests: boxes that move, whose detector is their colour, and invented people."""

import struct

import av
import numpy as np
import pytest

from reseen.data.invented import film

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 40, 220)}
TOPS = {"red": 5, "green": 30, "blue": 50}
SIZE = 120, 160  # height, width
TALL, WIDE = 60, 24


def write_film(path, pictures, rate=10, *, stamps=None, turn=0, codec="mpeg4", **metadata):
    """Encode pictures (H, W, 3); `stamps` are their times in hundredths of a second."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        stream = container.add_stream(codec, rate=100 if stamps else rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if stamps:
                frame.pts = stamps[i]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if turn:  # as phones write it: in the matrix of the track, behind that of the film
        film, track, rest = path.read_bytes().split(_matrix(0), 2)
        path.write_bytes(_matrix(0).join((film, track)) + _matrix(turn) + rest)
    return path


def _matrix(turn):
    cos, sin = (round(f(np.deg2rad(turn))) << 16 for f in (np.cos, np.sin))
    return struct.pack(">9i", cos, -sin, 0, sin, cos, 0, 0, 0, 1 << 30)


def toy(*walks, frames=20):
    """Draw boxes that move: (colour, first x, last x) or (..., first frame, last frame)."""
    pictures = []
    for i in range(frames):
        picture = np.full((*SIZE, 3), 110, np.uint8)
        for walk in walks:
            colour, first, last, begin, end = walk if len(walk) == 5 else (*walk, 0, frames)
            if begin <= i < end:
                x = round(first + (last - first) * (i - begin) / (end - begin))
                y = TOPS[colour]
                picture[y : y + TALL, max(x, 0) : max(x + WIDE, 0)] = COLOURS[colour]
                mark = y + 5 + i % 3 * 8
                picture[mark : mark + 10, max(x + 4, 0) : max(x + 12, 0)] = 250
        pictures.append(picture)
    return pictures


def by_colour(pixels):
    """Find the boxes of a toy film."""
    found = []
    for colour in COLOURS.values():
        rows, columns = np.nonzero(np.abs(pixels.astype(int) - colour).sum(2) < 120)
        if len(rows) > 100:
            found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 0.97))
    return np.array(found, float).reshape(-1, 5)


@pytest.fixture(scope="session")
def town_film(tmp_path_factory):
    """Three invented people who cross, at 10 frames a second: the file, and its frames."""
    frames = list(film(people=(1, 2, 3), camera=2, seconds=3, rate=10, height=180, width=240))
    path = tmp_path_factory.mktemp("film") / "yard_2026-01-31_18-05-00.mp4"
    return write_film(path, [frame.pixels for frame in frames]), frames
