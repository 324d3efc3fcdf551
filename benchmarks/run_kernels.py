"""What the label engine and evaluation cost beside dense forms of the same algorithms.

    ./dev bench kernels                     the size of Market-1501: 12,936 x 2048
    ./dev bench kernels --size 32621        that of MSMT17
    ./dev bench kernels --size 100000       the engine alone, no dense form fits
    ./dev bench kernels --size 1000000      approximate neighbours, 256 dimensions
    ./dev bench kernels --only rerank       jobs whose names hold a word, at Market-1501's size
    ./dev bench kernels --size 32621 --only mine    reliable images by nine features (SSL)
    ./dev bench kernels --noise 0.8         features of a good encoder: 54 neighbours in an encoding
    ./dev bench kernels --product           neighbours in bfloat16 beside the bare product, in turns
    ./dev bench kernels --plot              draw what was measured: docs/pictures/kernels.png

Each job runs in a process of its own, after a small warm-up, and tells CPU seconds (all threads),
wall seconds, and the peak of resident memory beyond the features. Features are made up: N / 17
people, six cameras that shift what they see, noise. With noise 1.3 an encoding has about 100
entries, as SqueezeNet's features of market-half have before training (84). `cold` measures numba's
compile time with an empty cache. Results of the forms are compared, ratios printed, and rows added
to benchmarks/results/kernels.csv.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import dense
import numpy as np
from record import RESULTS, record

from reseen.cluster.density import jaccard_dbscan
from reseen.cluster.numbering import by_appearance
from reseen.cluster.two_stage import claim
from reseen.kernels.components import density_labels
from reseen.kernels.dissimilarity import least_dissimilar
from reseen.kernels.neighbours import nearest
from reseen.kernels.reciprocal import encode
from reseen.metrics.ranking import cosine_blocks, rank
from reseen.metrics.rerank import rerank_blocks

K1, K2, EPS, MIN_SAMPLES = 30, 6, 0.6, 4
CENTROIDS, P = 1000, 20
QUERIES, GALLERY = 3368, 15913
FEW, COLD = 400, 2600
"""Rows to warm up on, and rows enough that all that large sets need is compiled."""


def people(
    n: int, d: int, noise: float = 1.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit rows, person and camera of n made-up images."""
    draw = np.random.default_rng(seed)
    who, camera = draw.integers(max(1, n // 17), size=n), draw.integers(6, size=n)
    looks = draw.standard_normal((max(1, n // 17), 128), np.float32)
    views = 0.5 * draw.standard_normal((6, 128), np.float32)
    mix = draw.standard_normal((128, d), np.float32)
    rows = np.empty((n, d), np.float32)
    for start in range(0, n, 4096):
        part = slice(start, start + 4096)
        spread = noise * draw.standard_normal((len(who[part]), 128), np.float32)
        rows[part] = (looks[who[part]] + views[camera[part]] + spread) @ mix
        rows[part] /= np.linalg.norm(rows[part], axis=1, keepdims=True)
    return rows, who, camera


class Meter:
    """CPU and wall seconds of the stages of a job, and its peak of memory."""

    def __init__(self):
        self.cpu, self.wall = {}, {}

    def start(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self._resident = _status("VmRSS")

    @contextmanager
    def __call__(self, stage: str):
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu[stage] = time.process_time() - cpu
        self.wall[stage] = time.perf_counter() - wall

    def report(self, answer) -> dict:
        peak = (_status("VmHWM") - self._resident) / 1024
        return {"cpu": self.cpu, "wall": self.wall, "peak": peak, "answer": answer}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name + ":")))


def product(rows, meter):
    """The bare matrix product that exact neighbours need, each pair of rows once, in float32."""
    with meter("neighbours"):
        for start in range(0, len(rows), 2048):
            for column in range(start, len(rows), 2048):
                rows[start : start + 2048] @ rows[column : column + 2048].T


def product_bfloat16(rows, meter):
    """The same in bfloat16."""
    import torch

    with meter("neighbours"):
        half = torch.from_numpy(rows).bfloat16()
        for start in range(0, len(rows), 2048):
            for column in range(start, len(rows), 2048):
                half[start : start + 2048] @ half[column : column + 2048].T


def engine(rows, meter):
    with meter("neighbours"):
        ranks, near = nearest(rows, K1)
    with meter("encoding"):
        encoding = encode(rows, ranks, K1, round(K1 / 2) + 1, K2, similarities=near)
    with meter("clustering"):
        labels = density_labels(encoding, np.array([EPS]), MIN_SAMPLES)[0]
    return by_appearance(labels)


def approximate(rows, meter):
    from reseen.kernels.approximate import nearest_approximate

    with meter("neighbours"):
        ranks, near = nearest_approximate(rows, K1, seed=0)
    with meter("encoding"):
        encoding = encode(rows, ranks, K1, round(K1 / 2) + 1, K2, similarities=near)
    with meter("clustering"):
        labels = by_appearance(density_labels(encoding, np.array([EPS]), MIN_SAMPLES)[0])
    some = np.random.default_rng(0).choice(len(rows), min(FEW, len(rows)), replace=False)
    exact, _ = nearest(rows[some], K1, rows)
    found = [np.isin(a, b).mean() for a, b in zip(exact, ranks[some], strict=True)]
    print(f"recall@{K1} {np.mean(found):.4f} on {len(some)} rows", file=sys.stderr)
    return labels


def _dense_labels(distances):
    def job(rows, meter):
        with meter("neighbours"):
            ranks = dense.flat_search(rows, K1)
        with meter("encoding"):
            matrix = distances(rows, ranks, K1, K2)
        with meter("clustering"):
            labels = dense.dense_dbscan(matrix, EPS, MIN_SAMPLES)
        return by_appearance(labels)

    return job


def _centroids(rows):
    """Means of a few images of one person each: how they were found changes no cost here."""
    _, who, _ = people(*rows.shape)
    order = np.argsort(who, kind="stable")
    starts = np.linspace(0, len(rows) - 9, CENTROIDS).astype(int)
    means = np.stack([rows[order[start : start + 9]].mean(0) for start in starts])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def claim_engine(rows, meter):
    centroids = _centroids(rows)
    meter.start()
    with meter("all"):
        labels = claim(rows, centroids, p=P, k1=K1)
    return labels.ids


def claim_dense(rows, meter):
    centroids = _centroids(rows)
    meter.start()
    with meter("all"):
        labels = dense.dense_claim(rows, centroids, P, K1)
    return by_appearance(labels)


def _judged(evaluate):
    """A job that evaluates a distance matrix that is ready."""

    def job(rows, meter):
        _, who, camera = people(*rows.shape)
        cut = _queries(rows)
        matrix = 1 - rows[:cut] @ rows[cut:].T
        meter.start()
        with meter("all"):
            return evaluate(matrix, who[:cut], camera[:cut], who[cut:], camera[cut:])

    return job


def _queries(rows):
    return len(rows) * QUERIES // (QUERIES + GALLERY)


def _rank(blocks, person, camera, persons, cameras):
    return rank(
        blocks,
        query_person=person,
        gallery_person=persons,
        query_camera=camera,
        gallery_camera=cameras,
    ).mean_ap


def rank_streamed(rows, meter):
    _, who, camera = people(*rows.shape)
    cut = _queries(rows)
    meter.start()
    with meter("all"):
        blocks = cosine_blocks(rows[:cut], rows[cut:])
        return _rank(blocks, who[:cut], camera[:cut], who[cut:], camera[cut:])


def rerank_engine(rows, meter):
    cut = _queries(rows)
    with meter("all"):
        return float(sum(b.sum(dtype=float) for _, b in rerank_blocks(rows[:cut], rows[cut:])))


def rerank_dense(rows, meter):
    cut = _queries(rows)
    with meter("all"):
        distances = dense.dense_rerank(rows[:cut], rows[cut:], 20, 6, 0.3)
    return float(distances.sum(dtype=float))


def _looks(rows):
    """Nine features of each row, as SSL's whole and stripes: the row, and eight noisier ones."""
    draw = np.random.default_rng(0)
    looks = np.repeat(rows[None], 9, 0)
    for look in looks[1:]:
        for start in range(0, len(rows), 4096):
            part = look[start : start + 4096]
            part += draw.standard_normal(part.shape, np.float32) / np.float32(rows.shape[1] ** 0.5)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
    return looks, np.array([0.5, *[0.5 / 8] * 8])


def mine_engine(rows, meter):
    looks, weights = _looks(rows)
    cameras = people(*rows.shape)[2]
    meter.start()
    with meter("all"):
        return least_dissimilar(looks, weights, 4, cameras=cameras, camera_weight=0.02)[0]


def mine_dense(rows, meter):
    looks, weights = _looks(rows)
    cameras = people(*rows.shape)[2]
    meter.start()
    with meter("all"):
        far = 0.02 * (cameras[:, None] == cameras).astype(np.float32)
        for look, weight in zip(looks, weights, strict=True):
            far += weight * np.sqrt(np.maximum(2 - 2 * look @ look.T, 0))
        np.fill_diagonal(far, np.inf)
        near = np.argpartition(far, 4, axis=1)[:, :4]
        order = np.argsort(np.take_along_axis(far, near, 1), axis=1)
        return np.take_along_axis(near, order, 1)


def cold(rows, meter):
    """What the first labels on a machine take longer than the next: numba's compile time."""
    took = []
    for _ in range(2):
        with meter("all"):
            jaccard_dbscan(rows, k1=K1, k2=K2)
        took.append((meter.cpu["all"], meter.wall["all"]))
    (meter.cpu["all"], meter.wall["all"]) = (a - b for a, b in zip(*took, strict=True))


JOBS = {
    "labels product": product,
    "labels product-bfloat16": product_bfloat16,
    "labels engine": engine,
    "labels tuned": _dense_labels(dense.tuned_distances),
    "labels published": _dense_labels(dense.published_distances),
    "claim engine": claim_engine,
    "claim dense": claim_dense,
    "rank engine": _judged(lambda matrix, *who: _rank([(0, matrix)], *who)),
    "rank compiled": _judged(dense.compiled_rank),
    "rank python": _judged(dense.python_rank),
    "rank streamed": rank_streamed,
    "rerank engine": rerank_engine,
    "rerank dense": rerank_dense,
    "mine engine": mine_engine,
    "mine dense": mine_dense,
    "cold engine": cold,
    "labels approximate": approximate,
}


def plan(sizes: list[int], only: str) -> list[tuple[str, int, int]]:
    """Which jobs to run, at which N and D."""
    wanted = []
    for n in sizes:
        names = [name for name in JOBS if name not in ("cold engine", "labels approximate")]
        if n >= 1_000_000:
            names = ["labels approximate"]
        elif n >= 100_000:
            names = ["labels product", "labels product-bfloat16", "labels engine"]
        elif n != 12936:
            names = [name for name in names if name.startswith("labels")] + ["mine engine"]
        for name in names:
            judged = name.startswith("r")
            wanted.append((name, QUERIES + GALLERY if judged else n, 256 if n >= 10**6 else 2048))
    wanted.append(("cold engine", COLD, 2048))
    return [job for job in wanted if only in job[0]]


def run(name: str, n: int, d: int, noise: float) -> dict:
    """Run a job in a process of its own."""
    sizes = ["--size", str(n), "--dimensions", str(d), "--noise", str(noise)]
    with tempfile.TemporaryDirectory() as empty:
        room = {"NUMBA_CACHE_DIR": empty} if name.startswith("cold") else {}
        done = subprocess.run(
            [sys.executable, __file__, "--job", name, *sizes],
            env={**os.environ, **room},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    return json.loads(done.stdout)


def job(name: str, n: int, d: int, noise: float) -> None:
    """Warm up on a few rows, measure, print the figures as JSON."""
    work = JOBS[name]
    if not name.startswith("cold"):
        work(people(max(FEW, 2 * CENTROIDS), d)[0], Meter())
    rows = people(n, d, noise)[0]
    meter = Meter()
    meter.start()
    answer = work(rows, meter)
    print(json.dumps(meter.report(answer.tolist() if hasattr(answer, "tolist") else answer)))


def main(sizes: list[int], only: str, noise: float) -> None:
    results = {}
    command = " ".join(["./dev bench kernels", *sys.argv[1:]])
    for name, n, d in plan(sizes, only):
        found = run(name, n, d, noise)
        results[name, n] = found
        cpu, wall = (sum(found[part].values()) for part in ("cpu", "wall"))
        after = cpu - found["cpu"].get("neighbours", cpu)
        what, form = name.split()
        figures = {"cpu_s": f"{cpu:.3f}", "wall_s": f"{wall:.3f}", "after_cpu_s": f"{after:.3f}"}
        figures |= {"peak_mb": f"{found['peak']:.0f}", "us_per_point": f"{1e6 * cpu / n:.1f}"}
        record("kernels", command, what=what, form=form, n=n, d=d, noise=noise, **figures)
        print(
            f"{what:7} {form:17} {n:8} x {d:4}: {cpu:8.2f} CPU s ({wall:.2f} wall), "
            f"{after:.2f} after the neighbours, {found['peak']:.0f} MB",
            flush=True,
        )
    _compare(results)


def _compare(results: dict) -> None:
    """Print how many times more each other form costs, and how far its answer is from ours."""
    for (name, n), found in results.items():
        what, form = name.split()
        ours = results.get((f"{what} engine", n))
        if form == "engine" or ours is None or found["answer"] is None:
            continue
        times = sum(found["cpu"].values()) / sum(ours["cpu"].values())
        text = f"{what} {n}: {form} takes {times:.1f} x the CPU, "
        text += f"{found['peak'] / max(ours['peak'], 1):.1f} x the memory"
        if "neighbours" in found["cpu"]:
            after = [sum(c["cpu"][s] for s in ("encoding", "clustering")) for c in (found, ours)]
            text += f", {after[0] / after[1]:.0f} x after the neighbours"
        left, right = np.array(found["answer"]), np.array(ours["answer"])
        if left.ndim:
            print(f"{text}; {np.mean(left == right):.4%} of the labels are the same")
        else:
            print(f"{text}; answers {left:.9g} and {right:.9g}")


def beside_product(sizes: list[int], turns: int = 5) -> None:
    """Measure neighbours and the bare bfloat16 product in turns; rows go to results/product.csv."""
    for n in sizes:
        for d in (2048, 256):
            rows = people(n, d)[0]
            works = product_bfloat16, _neighbours
            took: tuple[list[float], ...] = [], []
            for turn in range(turns + 1):  # the first warms up
                for work, seconds in zip(works, took, strict=True):
                    meter = Meter()
                    work(rows, meter)
                    seconds += [meter.cpu["neighbours"]] * (turn > 0)
            bare, own = map(statistics.median, took)
            ratios = sorted(whole / part for part, whole in zip(*took, strict=True))
            told = {"bare_cpu_s": f"{bare:.3f}", "cpu_s": f"{own:.3f}"}
            told |= {"ratio": f"{statistics.median(ratios):.2f}", "least": f"{ratios[0]:.2f}"}
            print(f"{n:7} x {d:5}", told, flush=True)
            record("product", f"./dev bench kernels --product --size {n}", n=n, d=d, **told)


def _neighbours(rows, meter):
    with meter("neighbours"):
        nearest(rows, K1)


def draw() -> None:
    """Draw the newest CPU time a point of each form of the labels, against their number."""
    import matplotlib.pyplot as plt

    costs = {form: {} for form in DRAWN}
    with (RESULTS / "kernels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["what"] == "labels" and row["form"] in DRAWN and row["noise"] == "1.3":
                costs[row["form"]][int(row["n"])] = float(row["us_per_point"])
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for form, name in DRAWN.items():
        axes.loglog(*zip(*sorted(costs[form].items()), strict=True), marker="o", label=name)
    axes.set(xlabel="images", ylabel="CPU microseconds for each image", title="A round of labels")
    axes.grid(which="both", alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(Path(__file__).parents[1] / "docs" / "pictures" / "kernels.png", dpi=110)


DRAWN = {
    "published": "as published code has it, 2048-d",
    "tuned": "tuned dense form, 2048-d",
    "product": "bare float32 product, 2048-d",
    "engine": "reseen, exact, 2048-d",
    "approximate": "reseen, approximate, 256-d",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What the kernels cost beside dense forms.")
    parser.add_argument("--size", type=int, nargs="+", default=[12936])
    parser.add_argument("--only", default="", help="a word in the name of a job")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--dimensions", type=int, default=2048, help=argparse.SUPPRESS)
    parser.add_argument("--noise", type=float, default=1.3, help="of the made-up features")
    parser.add_argument("--product", action="store_true", help="neighbours beside the bare product")
    parser.add_argument("--plot", action="store_true", help="draw what was measured")
    asked = parser.parse_args()
    if asked.job:
        job(asked.job, asked.size[0], asked.dimensions, asked.noise)
    elif asked.product:
        beside_product(asked.size)
    elif asked.plot:
        draw()
    else:
        main(asked.size, asked.only, asked.noise)
