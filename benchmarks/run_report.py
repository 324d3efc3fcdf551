"""What a report takes after extraction: seconds of each part, memory, size of the page.

    ./dev bench report [IMAGES]              33,000 by default

Features are noise around people, 2,048 numbers each as from ResNet-50, in clusters of 33 images of
which some are torn or mixed; queries and gallery are half as many again. Pictures are links to
those of a small invented town, so that each has a thumbnail of its own. The encoder, which the
part on attention runs on a few crops, is a ResNet-50 at 256 x 128. A row is added to
results/report.csv: CPU seconds of this process by part, peak memory beyond the features, and the
page in MB.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from record import record

from reseen.data.invented import invent
from reseen.data.reading import read
from reseen.nets import encoder as encoders
from reseen.records import Dataset, Image
from reseen.report.evidence import Evidence
from reseen.report.page import write_files, write_page
from reseen.report.report import SECTIONS
from reseen.report.thumbnails import Thumbnails

PARTS = ("run", "sweep", "clusters", "ranked", "attention", "errors", "threshold", "map", "writing")
"""Columns of the results; the verdict takes no time."""

PER_PERSON, CAMERAS, WIDTH, NOISE = 33, 6, 2048, 0.8


def main(count: str = "33000") -> None:
    images = int(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, features = _data(folder, images)
        run = Evidence(_run(folder, data), data, title="run")
        run._features = dict(zip((i.path for i in _all(data)), features, strict=True))
        run._frames = {image.path: () for image in _all(data)}
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = _peak()
        seconds, sections, pictures = {}, [], Thumbnails()
        for part, show in SECTIONS.items():
            began = time.process_time()
            sections.append(show([run], pictures))
            seconds[part] = time.process_time() - began
        began = time.process_time()
        write_files(folder / "report", sections)
        write_page(folder / "report.html", "Report", sections, pictures)
        seconds["writing"] = time.process_time() - began
        ordered = {part: seconds[part] for part in PARTS}
        shown = {f"{part}_cpu_s": f"{took:.1f}" for part, took in ordered.items()}
        shown |= dict(all_cpu_s=f"{sum(seconds.values()):.1f}", peak_gb=f"{_peak() - before:.2f}")
        shown |= dict(page_mb=f"{(folder / 'report.html').stat().st_size / 1e6:.1f}")
        print(shown, f"{len(pictures)} pictures")
        record("report", f"./dev bench report {images}", images=images, **shown)


def _data(folder: Path, images: int) -> tuple[Dataset, np.ndarray]:
    town = folder / "town"
    invent(town, people=60, cameras=CAMERAS, views=2, seed=1, height=128, width=64)
    pictures = [image.path for image in read(town).train]
    rng = np.random.default_rng(0)
    people = rng.integers(0, images // PER_PERSON, images + images // 2)
    (folder / "links").mkdir()
    records = []
    for i, person in enumerate(people):
        path = folder / "links" / f"{i:06d}.jpg"
        path.symlink_to(pictures[i % len(pictures)].resolve())
        records.append(Image(path, int(person), int(rng.integers(CAMERAS)), float(i)))
    centres = rng.normal(size=(people.max() + 1, WIDTH)).astype(np.float32)
    features = centres[people] + NOISE * 4 * rng.normal(size=(len(people), WIDTH)).astype("f4")
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    train, rest = tuple(records[:images]), tuple(records[images:])
    data = Dataset("links", folder / "links", train, rest[: len(rest) // 6], rest[len(rest) // 6 :])
    return data, features


def _all(data: Dataset) -> tuple[Image, ...]:
    return data.train + data.query + data.gallery


def _run(folder: Path, data: Dataset) -> Path:
    """Write what a run leaves: one person in ten is torn, one in ten joined with the next."""
    run, rng = folder / "run", np.random.default_rng(1)
    (run / "labels").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    facts = {"method": "ClusterContrast", "settings": {}, "seed": 0, "precision": "float32"}
    (run / "run.json").write_text(json.dumps(facts))
    rows = [{"round": r, "loss": 1.0, "clusters": 1, "noise": 0.1, "mAP": 0.5} for r in (1, 2)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "images.txt").write_text("".join(f"{i.path}\n" for i in data.train))
    person = np.array([i.person for i in data.train])
    for number in (1, 2):
        ids = 2 * person + ((person % 10 == 0) & (rng.random(len(person)) < 0.5))
        ids = np.where(person % 10 == 1, ids + 2, ids)
        ids[rng.random(len(ids)) < 0.1] = -1
        _, ids = np.unique(np.append(ids, -1), return_inverse=True)
        np.save(run / "labels" / f"{number:04d}.npy", ids[:-1] - 1)
    settings = encoders.EncoderSettings(backbone="resnet50", weights="none")
    state = {"round": 2, **encoders.save(encoders.build(settings))}
    torch.save(state, run / "checkpoints" / "last.pt")
    return run


def _peak() -> float:
    """Give the most memory that this process has held, in GB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
