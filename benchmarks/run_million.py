"""What a round of labels costs from ten thousand images to a million, as `reseen train` finds them.

    ./dev bench million                              10,000, 30,000 and 100,000 images
    ./dev bench million --size 1000000               one size
    ./dev bench million --only cameras               house's labels by cameras alone
    ./dev bench million --windows --size 40000       days one by one, then joined by medoids
    ./dev bench million --draw                       draw the costs: docs/pictures/million.png

Features are invented: 256 numbers, people seen about 20 times by 6 cameras. Their spectrum is that
of features of crops (variances fall as the power 0.8 to 1.3 of their rank, three quarters of each
row are what all rows have in common). They lie in a file, as a run keeps them, and go through
`DensitySettings.label` with what `reseen train cluster-contrast` (plain) and `reseen train house`
(cameras: camera-aware, centred by camera) have, then through what else a round does with them
before it trains: measured agreement, the memory, the batches. Each size runs in a process of its
own. Memory is the peak of all that is resident in a stage, the mapped features counted.
Rows go to benchmarks/results/million.csv and windows.csv.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import RESULTS, record

from reseen.cluster import density
from reseen.cluster.density import DensitySettings
from reseen.cluster.numbering import by_appearance
from reseen.data.sampling import BatchSettings
from reseen.memory.clusters import MemorySettings, cluster_means
from reseen.metrics.agreement import agreement
from reseen.records import NOISE, PseudoLabels

D, PER_PERSON, CAMERAS = 256, 20, 6
SETTINGS = {
    "plain": dict(eps=0.6),
    "cameras": dict(eps=0.6, camera_aware=True, camera_eps=0.1, centring="mean"),
}
STAGES = {"nearest_approximate": "neighbours", "nearest": "neighbours"}
STAGES |= {"nearest_by_camera": "neighbours", "recall_on_sample": "recall"}
STAGES |= {"encode": "encoding", "density_labels": "clustering", "centre_where_known": "centring"}


def draw(
    out: Path, n: int, noise: float, per_person: int = PER_PERSON, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Write n invented features to a .npy file, and give person and camera of each."""
    chance = np.random.default_rng(seed)
    spectra = [np.arange(1, D + 1) ** (-power / 2) for power in (1.0, 0.8)]
    turns = [np.linalg.qr(chance.standard_normal((D, D)))[0] for _ in spectra]
    between, within = (
        ((spectrum / np.linalg.norm(spectrum))[:, None] * turn).astype(np.float32)
        for spectrum, turn in zip(spectra, turns, strict=True)
    )
    people = max(1, n // per_person)
    who, camera = chance.integers(people, size=n), chance.integers(CAMERAS, size=n)
    looks = chance.standard_normal((people, D), np.float32) @ between
    views = 0.4 * chance.standard_normal((CAMERAS, D), np.float32) @ within
    rows = np.lib.format.open_memmap(out, "w+", np.float32, (n, D))
    for start in range(0, n, 8192):
        part = slice(start, start + 8192)
        spread = noise * chance.standard_normal((len(who[part]), D), np.float32) @ within
        drawn = looks[who[part]] + views[camera[part]] + spread
        drawn += 1.9 * turns[0][0].astype(np.float32)
        rows[part] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    rows.flush()
    return who, camera


class Stages:
    """CPU and wall seconds, and the peak of resident memory, of each stage."""

    def __init__(self):
        self.cpu, self.wall, self.peak = {}, {}, {}

    @contextmanager
    def __call__(self, name: str):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu[name] = self.cpu.get(name, 0) + time.process_time() - cpu
        self.wall[name] = self.wall.get(name, 0) + time.perf_counter() - wall
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
        self.peak[name] = max(self.peak.get(name, 0), peak)

    def watch(self) -> None:
        """Measure the steps of `DensitySettings.label` as stages."""
        for function, stage in STAGES.items():
            setattr(density, function, self._watched(getattr(density, function), stage))

    def _watched(self, function, stage):
        def measured(*args, **named):
            with self(stage):
                return function(*args, **named)

        return measured


def job(n: int, form: str, neighbours: str, noise: float) -> dict:
    """Label n invented images, and give the figures."""
    settings = DensitySettings(**SETTINGS[form], neighbours=neighbours)
    with tempfile.TemporaryDirectory(prefix="million-") as folder:
        path = Path(folder) / "features.npy"
        who, camera = draw(path, n, noise)
        few = np.load(path, mmap_mode="r")[:3000]
        settings.label(few / np.linalg.norm(few, axis=1, keepdims=True), camera[:3000])  # compile
        features, stages = np.load(path, mmap_mode="r"), Stages()
        stages.watch()
        began = time.process_time(), time.perf_counter()
        labels = settings.label(features, camera)
        took = time.process_time() - began[0], time.perf_counter() - began[1]
        with stages("agreement"):
            quality = agreement(labels, who)
        chance = np.random.default_rng(0)
        with stages("memory"):
            MemorySettings().begin(features, labels.ids, chance, torch.device("cpu"))
        with stages("batches"):
            drawn, _ = BatchSettings().draw(labels.ids, camera, chance)
            sum(1 for _ in drawn)
    told = {"cpu_s": f"{took[0]:.1f}", "wall_s": f"{took[1]:.1f}"}
    told |= {"us_per_image": f"{1e6 * took[0] / n:.0f}"}
    told |= {"peak_mb": f"{max(stages.peak.values()):.0f}"}
    told |= {"neighbour_recall": "" if labels.recall is None else f"{labels.recall:.4f}"}
    told |= {
        "pairs_precision": f"{quality['precision']:.4f}",
        "pairs_recall": f"{quality['recall']:.4f}",
        "clusters": labels.clusters,
        "people": len(np.unique(who)),
        "noise": f"{labels.noise:.4f}",
    }
    for stage in (*dict.fromkeys(STAGES.values()), "agreement", "memory", "batches"):
        told[f"{stage}_cpu_s"] = f"{stages.cpu.get(stage, 0):.1f}"
        told[f"{stage}_peak_mb"] = f"{stages.peak.get(stage, 0):.0f}"
    return told


def windows(n: int, days: int, a_day: int, noise: float) -> None:
    """Cluster days one by one and join them, beside all images at once.

    Each person is seen about `a_day` times on each day.
    """
    settings = DensitySettings(eps=0.6)
    with tempfile.TemporaryDirectory(prefix="million-") as folder:
        path = Path(folder) / "features.npy"
        who, _ = draw(path, n, noise, days * a_day)
        features = np.load(path)
    day = np.random.default_rng(1).integers(days, size=n)  # people come back on other days
    k1 = int(np.clip(round(1.5 * a_day), 6, 30))
    daily = replace(settings, k1=k1, k2=max(2, k1 // 5), min_samples=min(4, a_day))
    found, began, ids = {}, time.process_time(), np.full(n, NOISE)
    for number in range(days):
        here = np.flatnonzero(day == number)
        within = daily.label(features[here]).ids
        ids[here] = np.where(within == NOISE, NOISE, within + ids.max() + 1)
    found["days alone"] = ids, time.process_time() - began
    for form, points in (("medoids", medoids(features, ids)), ("means", means(features, ids))):
        again = replace(settings, k1=max(4, round(1.5 * days)), k2=2, min_samples=2)
        began = time.process_time()
        across = again.label(points).ids
        alone = across == NOISE  # seen on one day
        across[alone] = across.max() + 1 + np.arange(alone.sum())
        took = found["days alone"][1] + time.process_time() - began
        joined = np.where(ids == NOISE, NOISE, across[ids])
        found[f"joined by {form}"] = joined, took
    began = time.process_time()
    taken_in = take_in(features, joined)
    found["and noise taken in"] = taken_in, took + time.process_time() - began
    began = time.process_time()
    found["at once"] = settings.label(features).ids, time.process_time() - began
    for form, (labels, seconds) in found.items():
        labels = PseudoLabels(by_appearance(labels))
        quality = agreement(labels, who)
        told = {name: f"{quality[name]:.4f}" for name in ("precision", "recall", "pairwise_f")}
        told |= {"clusters": labels.clusters, "noise": f"{labels.noise:.4f}"}
        print(f"{n:8} {days:3} days of {a_day}, {form:18} {seconds:7.1f} CPU s", told, flush=True)
        command = f"./dev bench million --windows --size {n} --days {days} --a-day {a_day}"
        figures = dict(n=n, days=days, a_day=a_day, drawn=noise, form=form, cpu_s=f"{seconds:.1f}")
        record("windows", command, **figures, **told)


def take_in(features: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Put noise into the cluster with the nearest mean, where half of its members are no nearer."""
    kept, noise = (np.flatnonzero((ids == NOISE) == of) for of in (False, True))
    centres = means(features, ids)
    usual = np.median(np.einsum("nd,nd->n", features[kept], centres[ids[kept]]))
    nearest, like = density.nearest(features[noise], 1, centres)
    out = ids.copy()
    out[noise] = np.where(like[:, 0] >= usual, nearest[:, 0], NOISE)
    return out


def means(features: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Give the mean of each cluster (K, D), as unit rows."""
    rows = cluster_means(features, ids)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def medoids(features: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Give the member of each cluster (K, D) that is most like its mean."""
    kept = np.flatnonzero(ids != NOISE)
    like = np.einsum("nd,nd->n", features[kept], means(features, ids)[ids[kept]])
    order = kept[np.lexsort((-like, ids[kept]))]
    return features[order[np.unique(ids[order], return_index=True)[1]]]


def main(sizes: list[int], only: str, neighbours: str, noise: float) -> None:
    for n in sizes:
        for form in SETTINGS:
            if only not in form:
                continue
            how = neighbours or ("approximate" if n >= density.MANY else "exact")
            asked = ["--job", form, "--size", str(n), "--neighbours", how, "--noise", str(noise)]
            done = subprocess.run(
                [sys.executable, __file__, *asked], stdout=subprocess.PIPE, check=True, text=True
            )
            told = json.loads(done.stdout.splitlines()[-1])
            command = f"./dev bench million --size {n} --only {form} --neighbours {how}"
            record("million", command, form=form, neighbours=how, n=n, d=D, drawn=noise, **told)
            print(f"{n:8} {form:8} {how:11}", told, flush=True)


def draw_costs() -> None:
    """Draw the newest cost of each size and form against the number of images."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    costs: dict[str, dict[int, tuple[float, float]]] = {}
    with (RESULTS / "million.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            name = f"{row['form']}, {row['neighbours']}"
            costs.setdefault(name, {})[int(row["n"])] = float(row["cpu_s"]), float(row["peak_mb"])
    figure, both = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axes, place, label in zip(both, (0, 1), ("CPU seconds", "peak memory, MB"), strict=True):
        for name, points in sorted(costs.items()):
            sizes = sorted(points)
            values = [points[n][place] for n in sizes]
            (axes.semilogx if place else axes.loglog)(sizes, values, marker="o", label=name)
        axes.set(xlabel="images", ylabel=label)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_minor_formatter("")
        if place:
            axes.set_ylim(0, 1.1 * max(peak for of in costs.values() for _, peak in of.values()))
        else:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.grid(which="both", alpha=0.3)
    both[0].legend()
    figure.suptitle(f"Labels of one round, features of {D} dimensions")
    figure.savefig(Path(__file__).parents[1] / "docs" / "pictures" / "million.png", dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What labels cost up to a million images.")
    parser.add_argument("--size", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--only", default="", help="a word in plain, cameras")
    parser.add_argument("--neighbours", default="", help="exact or approximate; by size")
    parser.add_argument("--noise", type=float, default=1.0, help="of the invented features")
    parser.add_argument("--windows", action="store_true", help="days one by one, then joined")
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--a-day", type=int, default=10, help="images of a person on a day")
    parser.add_argument("--draw", action="store_true", help="draw what was measured")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.draw:
        draw_costs()
    elif asked.job:
        print(json.dumps(job(asked.size[0], asked.job, asked.neighbours, asked.noise)))
    elif asked.windows:
        for size in asked.size:
            windows(size, asked.days, asked.a_day, asked.noise)
    else:
        main(asked.size, asked.only, asked.neighbours, asked.noise)
