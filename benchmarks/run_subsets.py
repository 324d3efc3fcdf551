"""Automatic settings beside fixed ones, on subsets of real crops drawn by identity.

    RESEEN_DATA=FOLDER ./dev bench subsets choose     the subsets that the rules were chosen on
    RESEEN_DATA=FOLDER ./dev bench subsets report     other draws of people, to report on

FOLDER holds market-half: the training half of Market-1501's public training set. A subset is so
many people, at most so many crops of each and so many cameras, drawn by a seed; people whom these
cameras saw less than twice are left out. Each is learnt by Cluster Contrast from reseen-tiny, first
with the automatic settings of the cpu preset, then with each of a grid that replaces some of them.

Judged is how the subset's own crops are found again: every crop is a query and the others are the
gallery, without those of the same person and camera where cameras are told to the run. Beside it
stand the untouched start, every round, and the round that `best_round` of `engine.signs` keeps.
A row of results/subsets.csv is one run; runs whose row is there are not done again.
"""

import csv
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, record

from reseen import read, train
from reseen.cluster.survey import Survey, survey
from reseen.engine.auto import RULES
from reseen.engine.evaluate import search
from reseen.engine.extract import extract, load
from reseen.engine.folder import read_metrics
from reseen.engine.settings import varied
from reseen.engine.signs import best_round
from reseen.errors import ClusteringError
from reseen.methods import cluster_contrast
from reseen.methods.cluster_contrast import ClusterContrast
from reseen.metrics.neighbourhood import shared_neighbours
from reseen.nets.encoder import EncoderSettings, build
from reseen.records import Dataset, Image, cameras_of, people_of

ENCODER = EncoderSettings(backbone="reseen-tiny", height=128, width=64)
CHOOSE = (
    (20, 4, 2, True),
    (20, 0, 6, True),
    (60, 4, 1, True),
    (60, 8, 6, True),
    (60, 8, 2, False),
    (150, 4, 6, True),
)
"""People, most crops of each (0 for all), cameras, and whether the run is told the cameras."""
REPORT = (
    (20, 8, 1, True),
    (20, 4, 6, True),
    (20, 0, 2, False),
    (60, 4, 2, True),
    (60, 8, 6, True),
    (60, 0, 6, False),
    (150, 8, 1, True),
    (376, 4, 6, True),
    (376, 0, 6, True),
)
SEEDS = {"choose": 0, "report": 1}
GRID: dict[str, dict[str, Any]] = {
    "k1 6": dict(k1=6, k2=2, eps=0.6, min_samples=2),
    "k1 10": dict(k1=10, k2=4, eps=0.5, min_samples=4),
    "k1 15": dict(k1=15, k2=4, eps=0.5, min_samples=2),
    "k1 20": dict(k1=20, k2=6, eps=0.5, min_samples=4),
    "k1 30 (published)": dict(k1=30, k2=6, eps=0.6, min_samples=4),
    "half the steps": dict(steps=0.5),
    "twice the steps": dict(steps=2),
}
"""What is changed of the automatic settings; steps multiplies the iterations."""
LARGE = 1200
"""Images above which only the automatic settings and the first of each kind are run."""
FEW = ("auto", "k1 10", "k1 30 (published)")


def main(which: str = "report") -> None:
    data = read(Path(os.environ["RESEEN_DATA"]) / "market-half")
    done = _done()
    for people, crops, cameras, told in {"choose": CHOOSE, "report": REPORT}[which]:
        subset, shown = draw(data, people, crops, cameras, told, SEEDS[which])
        key = {
            "subsets": which,
            "people": shown,
            "crops": crops or "all",
            "cameras": cameras,
            "told": int(told),
            "images": len(subset.train),
        }
        names = ["auto", *GRID] if len(subset.train) <= LARGE else FEW
        for name in names:
            row = {**key, "settings": name}
            if tuple(str(value) for value in row.values()) not in done:
                command = f"./dev bench subsets {which}"
                record("subsets", command, **row, **measure(subset, GRID.get(name, {})))


def draw(
    data: Dataset, people: int, crops: int, cameras: int, told: bool, seed: int
) -> tuple[Dataset, int]:
    """Draw a subset of the training images by identity, and say how many people it shows."""
    rng = np.random.default_rng([seed, people, crops, cameras])
    person, camera = people_of(data.train), cameras_of(data.train)
    here = np.isin(camera, rng.permutation(np.unique(camera))[:cameras])
    groups = [np.flatnonzero(here & (person == one)) for one in rng.permutation(np.unique(person))]
    groups = [places for places in groups if _seen_twice(camera[places], cameras)][:people]
    kept: list[Image] = []
    for places in groups:
        places = rng.permutation(places)
        turn = np.array([np.sum(camera[places[:i]] == camera[p]) for i, p in enumerate(places)])
        spread = places[np.argsort(turn, kind="stable")][: crops or None]  # other cameras first
        kept += [data.train[i] for i in spread]
    if not told or cameras == 1:
        kept = [replace(image, camera=None) for image in kept]
    images = tuple(kept)
    return Dataset("subset of Market-half", data.root, images, images, images), len(groups)


def _seen_twice(cameras: np.ndarray, drawn: int) -> bool:
    return len(cameras) > 1 and (drawn == 1 or len(np.unique(cameras)) > 1)


def measure(subset: Dataset, changes: dict[str, Any]) -> dict[str, Any]:
    """Learn from a subset and give what was set and measured."""
    images = subset.unlabelled(0)
    features: list[np.ndarray] = []

    def kept(*args: Any, **named: Any) -> np.ndarray:
        features.append(extract(*args, **named))
        return features[-1]

    cluster_contrast.extract = kept  # the features before each round
    settings, found = automatic(images)
    changes = dict(changes)
    steps = max(2, round(settings.batches.iterations * changes.pop("steps", 1)))
    settings = varied(settings, {**changes, "iterations": steps})
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        failed = ""
        try:
            encoder = train(settings, subset, Path(folder), evaluate_every=0, quiet=True)
            features.append(extract(encoder, load(images, encoder)))
        except ClusteringError as error:
            failed = str(error).split(".")[0]
        rows = [row for row in read_metrics(Path(folder)) if row["round"]]
    minutes = (time.monotonic() - began) / 60
    results = [search(subset, images, part) for part in features]
    maps = [result.mean_ap for result in results]
    density, batches = settings.density, settings.batches
    count = round(found.per_person)
    scores = [shared_neighbours(part, count, cameras_of(images)) for part in features]
    keep = best_round(scores)
    return {
        "k1": density.k1,
        "k2": density.k2,
        "eps": density.eps,
        "min_samples": density.min_samples,
        "batch": f"{batches.people}x{batches.views}",
        "iterations": steps,
        "rounds": len(maps) - 1,
        "expected_clusters": f"{found.clusters[0]:.0f}-{found.clusters[1]:.0f}",
        "clusters": rows[-1]["clusters"] if rows else "",
        "noise": f"{rows[-1]['noise']:.3f}" if rows else "",
        **_figures("start", results[0]),
        **_figures("last", results[-1]),
        **_figures("kept", results[keep]),
        "kept_round": keep,
        "mAP_by_round": " ".join(f"{value:.4f}" for value in maps),
        "score_by_round": " ".join(f"{value:.4f}" for value in scores),
        "minutes": f"{minutes:.1f}",
        "failed": failed,
    }


def automatic(images: tuple[Image, ...]) -> tuple[ClusterContrast, Survey]:
    """Give the automatic settings for images, and what the start says of them."""
    encoder = build(ENCODER)
    found = survey(extract(encoder, load(images, encoder)), cameras_of(images))
    names = ("k1", "k2", "eps", "min_samples", "people", "views", "iterations", "epochs")
    values = {name: RULES[name](found)[0] for name in names}
    return varied(ClusterContrast(encoder=ENCODER), values), found


def _figures(name: str, result: Any) -> dict[str, str]:
    return {f"{name}_mAP": f"{result.mean_ap:.4f}", f"{name}_rank1": f"{result.cmc(1):.4f}"}


def _done() -> set[tuple[str, ...]]:
    path = RESULTS / "subsets.csv"
    if not path.exists():
        return set()
    names = ("subsets", "people", "crops", "cameras", "told", "images", "settings")
    with path.open(newline="") as file:
        return {tuple(row[name] for name in names) for row in csv.DictReader(file)}


if __name__ == "__main__":
    main(*sys.argv[1:])
