"""Automatic settings beside fixed ones, on subsets of real crops drawn by identity.

    RESEEN_DATA=FOLDER ./dev bench subsets choose     the subsets that the rules were chosen on
    RESEEN_DATA=FOLDER ./dev bench subsets report     other draws of people, to report on
    RESEEN_DATA=FOLDER ./dev bench subsets report 0 4      some of them, by number

FOLDER holds market-half: the training half of Market-1501's public training set. A subset is so
many people, at most so many crops of each and so many cameras, drawn by a seed; people whom these
cameras saw less than twice are left out. Each is learnt by Cluster Contrast from reseen-tiny, first
with the automatic settings of the cpu preset, then with each of a grid that replaces some of them.

Judged is how the subset's own crops are found again: every crop is a query and the others are the
gallery, without those of the same person and camera where cameras are told to the run. Beside it
stand the untouched start, every round, and the result of the run (`engine.signs.best_round`).
A row of results/subsets.csv is one run; runs whose row is there are not done again.
"""

import csv
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, record

import reseen
from reseen.engine.folder import read_facts, read_metrics
from reseen.engine.signs import best_round, progress
from reseen.records import Dataset, Image, cameras_of, people_of

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
SEEDS = {"choose": 0, "report": 3}
"""Draws 1 and 2 of the subsets to report on were looked at while the rules were chosen."""
GRID: dict[str, dict[str, Any]] = {
    "k1 10": dict(k1=10, k2=4, eps=0.5, min_samples=4),
    "k1 20": dict(k1=20, k2=6, eps=0.5, min_samples=4),
    "k1 6": dict(k1=6, k2=2, eps=0.55, min_samples=2),
    "k1 30 (published)": dict(k1=30, k2=6, eps=0.6, min_samples=4),
    "rate 3.5e-4 (published)": dict(rate=3.5e-4),
}
"""What is changed of the automatic settings."""
MANY = {400: 6, 600: 4, 1200: 3}
"""Images up to which so many settings are run, because time is short; two for more."""


def main(which: str = "report", *numbers: str) -> None:
    data = reseen.read(Path(os.environ["RESEEN_DATA"]) / "market-half")
    done = _done()
    subsets = {"choose": CHOOSE, "report": REPORT}[which]
    wanted = [subsets[int(n)] for n in numbers] or subsets
    seed = SEEDS[which]
    for people, crops, cameras, told in wanted:
        subset, shown = draw(data, people, crops, cameras, told, seed)
        key = {
            "subsets": which,
            "draw": seed,
            "people": shown,
            "crops": crops or "all",
            "cameras": cameras,
            "told": int(told),
            "images": (count := len(subset.train)),
        }
        most = next((runs for limit, runs in MANY.items() if count <= limit), 2)
        for name in ["auto", *GRID][:most]:
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
    """Learn from a subset with the cpu preset, some settings changed, and say how it went."""
    with tempfile.TemporaryDirectory() as place:
        folder, failed = Path(place), ""
        method = reseen.method("cluster-contrast", "cpu", **changes)
        try:
            reseen.train(method, subset, folder, evaluate_every=1, quiet=True)
        except reseen.ClusteringError as error:
            failed = str(error).split(".")[0]
        rows, automatic = read_metrics(folder), read_facts(folder)["automatic"]
    told = {name: value["value"] for name, value in automatic["settings"].items()} | changes
    judged = [row for row in rows if "mAP" in row]
    chosen = best_round(rows)
    kept = judged[-1] if chosen is None else next(r for r in judged if r["round"] == chosen)
    low, high = automatic["survey"]["clusters"]
    return {
        **{name: told[name] for name in ("k1", "k2", "eps", "min_samples")},
        "batch": f"{told['people']}x{told['views']}",
        "iterations": told["iterations"],
        "rate": method.schedule.rate,
        "rounds": judged[-1]["round"],
        "expected_clusters": f"{low:.0f}-{high:.0f}",
        "clusters": rows[-1].get("clusters", ""),
        "noise": rows[-1].get("noise", ""),
        **_figures("start", judged[0]),
        **_figures("last", judged[-1]),
        **_figures("result", kept),
        "result_round": kept["round"],
        "mAP_by_round": " ".join(f"{row['mAP']:.4f}" for row in judged),
        "score_by_round": " ".join(f"{score:.4f}" for score in progress(rows)),
        "failed": failed,
    }


def _figures(name: str, row: dict[str, float]) -> dict[str, str]:
    return {f"{name}_mAP": f"{row['mAP']:.4f}", f"{name}_rank1": f"{row['rank1']:.4f}"}


def _done() -> set[tuple[str, ...]]:
    path = RESULTS / "subsets.csv"
    if not path.exists():
        return set()
    names = ("subsets", "draw", "people", "crops", "cameras", "told", "images", "settings")
    with path.open(newline="") as file:
        return {tuple(row[name] for name in names) for row in csv.DictReader(file)}


if __name__ == "__main__":
    main(*sys.argv[1:])
