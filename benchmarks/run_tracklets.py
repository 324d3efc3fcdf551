"""Frames a second by stage, memory, and how good tracklets are, on films of invented people.

    ./dev bench tracklets speed [HEIGHT] [SECONDS]
    ./dev bench tracklets memory [HEIGHT] [SECONDS]
    ./dev bench tracklets quality [FILMS]
    ./dev bench tracklets real FOLDER

`speed` makes tracklets of a film of HEIGHT rows (1080), 25 frames a second, SECONDS long (120): ten
seconds of invented people, over and over. `memory` looks once a second at a film of 5 frames a
second that is an hour (3600) long, as fast as can be: the most memory is what counts. `quality`
follows people through FILMS films (10) of 3 to 6 who cross, once by boxes that are true but for
shaking, missed and invented ones, and once by the detector that ships, each without and with the
looks of reseen-tiny. `real` makes tracklets of the films in a folder of your own. Rows go to
benchmarks/results/tracklets.csv.
"""

import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
from record import record

import reseen
from reseen.data.invented import FilmFrame, film
from reseen.metrics.tracking import judge_tracks
from reseen.video import OverlapTracker, load_detector
from reseen.video.looks import looks
from reseen.video.select import padded

RATE = 25


def encode(path: Path, height: int, seconds: int, rate: int = RATE) -> None:
    """Write ten seconds of invented people over and over."""
    scene = film(people=(1, 2, 3, 4), camera=2, seconds=10, rate=5, height=270, width=360)
    drawn = [frame.pixels for frame in scene]
    with av.open(str(path), "w") as container:
        names = [name for name in ("libx264", "mpeg4") if name in av.codecs_available]
        stream = container.add_stream(names[0], rate=rate, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, height * 16 // 9, "yuv420p"
        for number in range(seconds * rate):
            now = number * 5 // rate % len(drawn)
            frame = av.VideoFrame.from_ndarray(drawn[now], format="rgb24")
            container.mux(stream.encode(frame.reformat(stream.width, height, "yuv420p")))
        container.mux(stream.encode(None))


def speed(height: str = "1080", seconds: str = "120") -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "yard.mp4"
        encode(path, int(height), int(seconds))
        note(f"speed {height} {seconds}", f"{height} rows", [path], Path(folder) / "crops")


def repeat(path: Path, out: Path, times: int) -> None:
    """Write a film over and over, without encoding it again."""
    with av.open(str(out), "w") as copy:
        stream, begin = None, 0
        for _ in range(times):
            with av.open(str(path)) as container:
                own = container.streams.video[0]
                stream = stream or copy.add_stream_from_template(own)
                for packet in container.demux(own):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                        packet.stream = stream
                        copy.mux(packet)
                begin += own.duration


def memory(height: str = "1080", seconds: str = "3600") -> None:
    with tempfile.TemporaryDirectory() as folder:
        ten, path = Path(folder) / "ten.mp4", Path(folder) / "yard.mp4"
        encode(ten, int(height), 10, rate=5)
        repeat(ten, path, int(seconds) // 10)
        words, what = f"memory {height} {seconds}", f"{height} rows, {seconds} s"
        note(words, what, [path], Path(folder) / "crops", "--rate", "1")


def real(folder: str) -> None:
    with tempfile.TemporaryDirectory() as out:
        note(f"real {folder}", Path(folder).name, [Path(folder)], Path(out) / "crops")


COMMAND = """
import re, sys
from pathlib import Path
from reseen.cli import main
try:
    main(sys.argv[1:])
finally:
    print(int(re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
"""The command, and the most memory that it ever had, in megabytes."""


def note(words: str, what: str, films: list[Path], out: Path, *options: str) -> None:
    command = [sys.executable, "-c", COMMAND, "video", *map(str, films), "-o", str(out), "--json"]
    command += options
    told, peak = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    found = SimpleNamespace(**json.loads(told))
    stages = {f"{stage}_ms": f"{1e3 * s / found.looked:.1f}" for stage, s in found.stages.items()}
    record(
        "tracklets",
        f"./dev bench tracklets {words}",
        what=what,
        films=found.films,
        film_seconds=f"{found.seconds:.0f}",
        looked_a_second=f"{found.looked / found.took:.1f}",
        times_real_time=f"{found.seconds / found.took:.2f}",
        **stages,
        tracklets=found.tracklets,
        crops=found.crops,
        left_out="; ".join(f"{n} {why}" for why, n in found.dropped.items()),
        peak_MB=peak,
        MOTA="",
        IDF1="",
        HOTA="",
        purity="",
        completeness="",
    )
    print(f"{what}: {told}, {peak} MB")


def shaken(rng: np.random.Generator, frame: FilmFrame) -> np.ndarray:
    """Give boxes as a detector might: shaken, 5 % missed, and a false one at times."""
    boxes, seen = frame.boxes, frame.hidden < 0.7
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    boxes = boxes + 0.04 * sides * rng.normal(size=boxes.shape)
    found = np.column_stack([boxes, 0.95 - frame.hidden])[seen & (rng.random(len(boxes)) > 0.05)]
    x, y = rng.uniform(0, 200, 2)
    false = [(x, y, x + 40, y + 90, rng.uniform(0.1, 0.6))]
    return np.vstack([found, *([false] if rng.random() < 0.1 else [])])


def quality(films: str = "10") -> None:
    detector, look = load_detector(), looks(reseen.load("reseen-tiny"))
    scenes = [
        list(
            film(
                people=tuple(range(10 * number + 1, 10 * number + 4 + number % 4)),
                camera=number,
                height=240,
                width=320,
                seed=1,
            )
        )
        for number in range(1, int(films) + 1)
    ]
    for who in ("boxes", "detector"):
        for helped in (False, True):
            truth, tracks = [], []
            for number, frames in enumerate(scenes):
                rng, tracker = np.random.default_rng(number), OverlapTracker()
                for i, frame in enumerate(frames):
                    boxes = shaken(rng, frame) if who == "boxes" else detector(frame.pixels)
                    boxes[:, :4] = boxes[:, :4].clip(0, (320, 240, 320, 240))
                    cuts = [padded(box, 0.05, (240, 320)) for box in boxes]
                    own = look(frame.pixels, cuts) if helped else None
                    ids, seen = tracker.update(boxes, i / 5, own), frame.hidden < 0.7
                    truth.append((frame.people[seen] + 1000 * number, frame.boxes[seen]))
                    tracks.append((ids[ids >= 0] + 1000 * number, boxes[ids >= 0, :4]))
            scores = judge_tracks(truth, tracks)
            what = f"{who}, {'with looks' if helped else 'overlap alone'}"
            print(f"{what}: {scores}")
            empty = "film_seconds looked_a_second times_real_time decode_ms detect_ms track_ms "
            empty += "crop_ms tracklets crops left_out peak_MB"
            record(
                "tracklets",
                f"./dev bench tracklets quality {films}",
                what=what,
                films=films,
                **dict.fromkeys(empty.split(), ""),
                MOTA=f"{scores.mota:.4f}",
                IDF1=f"{scores.idf1:.4f}",
                HOTA=f"{scores.hota:.4f}",
                purity=f"{scores.purity:.4f}",
                completeness=f"{scores.completeness:.4f}",
            )


if __name__ == "__main__":
    kind, *rest = sys.argv[1:] or [""]
    kinds = {"speed": speed, "memory": memory, "quality": quality, "real": real}
    if kind not in kinds:
        sys.exit(__doc__)
    kinds[kind](*islice(rest, 2))
