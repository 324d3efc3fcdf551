"""What `reseen extract` costs in memory for very many pictures.

    ./dev bench extract                     100,000 pictures
    ./dev bench extract 1000000             a million
    ./dev bench extract 20000 reseen-tiny   with an encoder that ships, which takes its time

The pictures are a few drawn ones under many names (hard links), made in a folder that is removed
afterwards. By default the encoder is one that only averages colours, 256 numbers a picture, so that
what is measured is everything else. Rows go to benchmarks/results/extract.csv.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from record import record

from reseen import training
from reseen.data.reading import read
from reseen.nets.encoder import EncoderSettings

D, DRAWN = 256, 50


class Colours:
    """Averages the colours of a picture, and turns them by a matrix; unit rows."""

    device, training, camera_statistics = torch.device("cpu"), False, None

    def __init__(self):
        self.settings = replace(EncoderSettings(), height=32, width=16)
        self._turn = torch.randn(3, D, generator=torch.Generator().manual_seed(0))

    def __call__(self, pixels):
        return F.normalize((pixels.float().mean((2, 3)) - 127) @ self._turn, dim=1)

    def eval(self):
        return self

    def train(self, mode=True):
        return self


def main(count: str = "100000", encoder: str = "colours") -> None:
    n = int(count)
    with tempfile.TemporaryDirectory(prefix="extract-") as folder:
        crops, out = Path(folder) / "crops", Path(folder) / "features.npz"
        for camera in range(4):
            (crops / f"camera{camera}").mkdir(parents=True)
        for number in range(DRAWN):
            pixels = np.random.default_rng(number).integers(0, 256, (32, 16, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(Path(folder) / f"{number}.jpg")
        for number in range(n):
            place = crops / f"camera{number % 4}" / f"20260101-{number:08d}.jpg"
            os.link(Path(folder) / f"{number % DRAWN}.jpg", place)
        of = Colours() if encoder == "colours" else training.embedder(encoder, quiet=True)
        before, began = peak(), (time.process_time(), time.perf_counter())
        data = read(crops)
        listed = peak()
        training.extract_to(of, data, out)
        told = {"cpu_s": f"{time.process_time() - began[0]:.1f}"}
        told |= {"wall_s": f"{time.perf_counter() - began[1]:.1f}", "file_mb": f"{size(out):.0f}"}
        told |= {"before_mb": before, "listed_mb": listed, "peak_mb": peak()}
    print(n, encoder, told, flush=True)
    record("extract", f"./dev bench extract {n} {encoder}", n=n, encoder=encoder, **told)


def peak() -> int:
    """Give the peak of resident memory so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def size(path: Path) -> float:
    return path.stat().st_size / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
