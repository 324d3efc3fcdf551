"""The first minutes on a GPU: whether its paths give what the CPU gives, and how fast they are.

    ./dev bench gpu                         on a GPU, in at most 8 minutes
    ./dev bench gpu --device cpu --small    the same functions on the CPU, in less than one
    ./dev bench gpu --only paths            a part alone: paths, waits, training, extraction,
                                            neighbours

1. paths: for every method, the loss and the gradient of the first step on drawn data in float32,
   bfloat16 and compiled, beside those of float32 on the CPU.
2. waits: what makes a step of any method wait for the GPU, by torch's own watch, and by the
   profiler for Cluster Contrast. There must be nothing.
3. training, extraction: images a second of the bare backbone on ready tensors, of reseen with the
   crops on the device or fed, and of the loop that most repositories have (Pillow, transforms,
   DataLoader, a memory that is moved image by image), in turns.
4. neighbours: those of `nearest` on the device, beside the bare bfloat16 product.

`BRANCHES` lists each place in the code that does something else on a GPU, and the part that runs
it. Rows go to benchmarks/results/gpu.csv with the card, the driver and the commit.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from record import record
from run_kernels import people
from run_train import bare_extraction, bare_training
from steps import Steps, settings
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from reseen.data.loading import Crops
from reseen.engine.device import Device
from reseen.engine.extract import default_batch, extract
from reseen.kernels.neighbours import nearest
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings, build
from reseen.records import Image

BRANCHES = {
    "cli/__init__.py": "the preset that suits the machine: tests",
    "data/augment.py": "apply_on_device, pixels of a batch by one gather: paths, waits, training",
    "data/loading.py": "Crops.to, pixels on the device where there is room: waits, training",
    "engine/adapt.py": "hooks beside a compiled backbone: tests",
    "engine/claim.py": "the name of the card in run.json: tests",
    "engine/device.py": "resolve, measured, place: name, precision, memory format, compile: paths",
    "engine/extract.py": "batches of 256: extraction",
    "engine/processes.py": "a GPU for each process, NCCL: by no part, it takes two GPUs",
    "export/graph.py": "the memory format of an exported copy: tests",
    "export/quick.py": "ONNX Runtime on a CPU alone: tests",
    "kernels/shortlist.py": "_on_devices, float32 products of bfloat16 rows: neighbours",
    "nets/encoder.py": "autocast around the backbone: paths",
    "nets/pooling.py": "powers outside of autocast: paths",
    "presets.py": "the presets gpu and cpu: tests",
    "training.py": "the preset that suits the machine: tests",
    "transfer.py": "copies through pinned memory: waits, training",
}
"""What the code does otherwise on a GPU, by file under src/reseen: a test finds all of them."""

TINY = EncoderSettings(backbone="reseen-tiny", height=64, width=32, last_stride=1)
PATHS = {
    "float32": dict(precision="float32"),
    "bfloat16": dict(precision="bfloat16"),
    "compiled": dict(precision="bfloat16", compile=True),
}
BOUNDS = {"float32": (0.01, 0.99), "bfloat16": (0.1, 0.9), "compiled": (0.1, 0.9)}
"""How far a loss may be from the CPU's, as a share of it, and how like a gradient must be, as the
cosine. On a GPU float32 is TF32 in convolutions."""
TURNS = 3
BUDGET = 8 * 60


class Bench:
    """What is measured where, and the rows that come of it."""

    def __init__(self, device: str, small: bool):
        self.device, self.small = torch.device(device), small
        self.cuda = self.device.type == "cuda"
        self.card = torch.cuda.get_device_name(self.device) if self.cuda else "none"
        self.driver = _driver() if self.cuda else "none"
        self.unsound: list[str] = []
        big = EncoderSettings(backbone="resnet50", weights="none", last_stride=1)
        self.encoder = TINY if small else big
        self.views = 4 if small else 16
        self.batch, self.steps = (16, 2) if small else (256, 20)

    def place(self, encoder):
        """Put an encoder there in the precision that its hardware is made for."""
        return Device(name=str(self.device)).place(encoder)

    def clock(self) -> float:
        """Tell the time, once the device has done what it was asked."""
        if self.cuda:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def rate(self, work, images: int) -> float:
        """Give images a second of work."""
        began = self.clock()
        work()
        return images / (self.clock() - began)

    def row(self, what: str, of: str, path: str, value: float, unit: str, **more: object) -> None:
        """Print a figure and keep it."""
        told = {"ratio": "", "sound": "", **more}
        words = " ".join(f"{name} {part}" for name, part in told.items() if part != "")
        print(f"{what:10} {of:16} {path:12} {value:12.5g} {unit} {words}", flush=True)
        if told["sound"] == "no":
            self.unsound.append(f"{what} of {of}, {path}: {value:.5g} {unit}")
        facts = {"card": self.card, "driver": self.driver, "device": str(self.device)}
        facts |= {"size": "small" if self.small else "full", "what": what, "of": of, "path": path}
        command = "./dev bench gpu " + " ".join(sys.argv[1:])
        record("gpu", command, **facts, value=f"{value:.6g}", unit=unit, **told)


def paths(bench: Bench) -> None:
    """Hold loss and gradient of every method against the CPU."""
    for name in METHODS:
        exact = _step(name, Device(name="cpu", precision="float32"))
        for path, how in PATHS.items():
            if path == "compiled" and bench.small and name != "cluster-contrast":
                continue
            with _traced_alone(bench.small and path == "compiled"):
                found = _step(name, Device(name=str(bench.device), **how))
            loss, wanted = (float(of.told[0]["loss"]) for of in (found, exact))
            off, like = abs(loss - wanted) / abs(wanted), _cosine(found.gradient, exact.gradient)
            most, least = BOUNDS[path]
            bench.row("loss", name, path, off, "of it", sound="yes" if off <= most else "no")
            sound = "yes" if like >= least else "no"
            bench.row("gradient", name, path, like, "cosine", sound=sound)


def _step(name: str, device: Device) -> Steps:
    torch.compiler.reset()
    run = Steps(device.place, 32, 4)
    return run.fit(settings(name, TINY, people=4, views=4, iterations=1))


@contextmanager
def _traced_alone(yes: bool):
    """Let torch.compile trace and not make code, which takes a minute on a CPU."""
    plain = torch.compile
    with patch.object(
        torch, "compile", lambda f, **_: plain(f, backend="aot_eager" if yes else "inductor")
    ):
        yield


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(F.cosine_similarity(one.cpu().double(), other.cpu().double(), dim=0))


def waits(bench: Bench) -> None:
    """Find what waits for the GPU within the steps of each method."""
    for name in METHODS:
        for data in ("kept", "fed"):
            run = _Watched(bench.place, 32, 4, kept=data == "kept")
            run.fit(settings(name, TINY, people=4, views=4, iterations=3))
            found = run.found
            bench.row("waits", name, data, len(found), "in all", sound="no" if found else "yes")
            for line in sorted(set(found)):
                print("   ", line)
    run = _Profiled(bench.place, 8 * bench.batch, bench.views)
    people = bench.batch // bench.views
    run.fit(settings("cluster-contrast", bench.encoder, people, bench.views, bench.steps))
    for name in ("Synchronize", "Memcpy DtoH"):
        count = sum(event.count for event in run.profile.key_averages() if name in event.key)
        ends = 1 if name == "Synchronize" else 0  # the profiler's own, when it stops
        sound = "yes" if count <= ends else "no"
        bench.row("profiler", "cluster-contrast", name, count, f"in {run.steps} steps", sound=sound)
    by = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    print(run.profile.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=60))


class _Watched(Steps):
    """Keeps what torch warns of."""

    @contextmanager
    def training(self):
        cuda = torch.cuda.is_available()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            if cuda:
                torch.cuda.set_sync_debug_mode("warn")
            yield
            if cuda:
                torch.cuda.set_sync_debug_mode("default")
        of = [w for w in seen if "synchroniz" in str(w.message)]
        self.found = [f"{w.filename}:{w.lineno}: {w.message}" for w in of]


class _Profiled(Steps):
    """Profiles its training stage."""

    @contextmanager
    def training(self):
        with torch.profiler.profile() as self.profile:
            yield


def training(bench: Bench) -> None:
    """Measure images a second in training."""
    place, batch, encoder = bench.place, bench.batch, bench.place(build(bench.encoder))
    sizes = batch // bench.views, bench.views, bench.steps
    with tempfile.TemporaryDirectory() as folder:
        loop = _PlainLoop(bench, _draw_pictures(Path(folder), 8 * batch, bench.encoder))
        found = {name: [] for name in ("bare", "kept", "fed", "plain loop")}
        for turn in range(TURNS + 1):  # the first warms up
            took = {"bare": bare_training(encoder, batch, bench.steps)}
            for data in ("kept", "fed"):
                run = Steps(place, 8 * batch, bench.views, kept=data == "kept", clock=bench.clock)
                run.fit(settings("cluster-contrast", bench.encoder, *sizes))
                took[data] = batch * run.steps / run.seconds
            took["plain loop"] = bench.rate(loop.train, loop.images)
            for name, rate in took.items():
                found[name] += [rate] * (turn > 0)
    _report(bench, "training", "cluster-contrast", found)
    for name in METHODS:  # each beside its own passes through the backbone
        if name == "cluster-contrast" or bench.small:
            continue
        run = Steps(place, 8 * batch, bench.views, clock=bench.clock)
        run.fit(settings(name, bench.encoder, *sizes))
        bare = sum(
            count
            * size
            / (bare_training(encoder, size, 5) if learns else _forward(bench, encoder, size))
            for (learns, size), count in run.passes.items()
        )
        rate = run.steps / run.seconds
        bench.row("training", name, "kept", rate, "steps/s", ratio=f"{bare / run.seconds:.3f}")


@torch.no_grad()
def _forward(bench: Bench, encoder, batch: int) -> float:
    size = 3, encoder.settings.height, encoder.settings.width
    pixels = torch.zeros(batch, *size, dtype=torch.uint8, device=bench.device)
    encoder.eval().map(pixels)
    return bench.rate(lambda: [encoder.map(pixels) for _ in range(5)], 5 * batch)


def extraction(bench: Bench) -> None:
    """Measure images a second from crops to features in memory."""
    encoder = bench.place(build(bench.encoder))
    count = (2 if bench.small else 16) * default_batch(encoder)
    size = bench.encoder.height, bench.encoder.width
    with tempfile.TemporaryDirectory() as folder:
        files = _draw_pictures(Path(folder), count, bench.encoder)
        kept, fed = (Crops([Image(path) for path in files], *size) for _ in range(2))
        kept.to(bench.device)
        loop = _PlainLoop(bench, files)
        found = {name: [] for name in ("bare", "kept", "fed", "plain loop")}
        for turn in range(TURNS + 1):
            took = {
                "bare": bare_extraction(encoder, kept),
                "kept": bench.rate(lambda: extract(encoder, kept), count),
                "fed": bench.rate(lambda: extract(encoder, fed), count),
                "plain loop": bench.rate(lambda: loop.extract(encoder), count),
            }
            for name, rate in took.items():
                found[name] += [rate] * (turn > 0)
    _report(bench, "extraction", bench.encoder.backbone, found)


def _report(bench: Bench, what: str, of: str, found: dict[str, list[float]]) -> None:
    for name, rates in found.items():
        pairs = zip(rates, found["bare"], strict=True)
        ratio = f"{statistics.median(rate / bare for rate, bare in pairs):.3f}"
        bench.row(what, of, name, statistics.median(rates), "images/s", ratio=ratio)


def neighbours(bench: Bench) -> None:
    """Hold neighbours against those of the CPU, and their time against that of the product."""
    on = (str(bench.device) if bench.cuda else "cpu:0",)  # which takes the way of a GPU
    for n, d in ((3000, 64),) if bench.small else ((12_936, 2048), (32_621, 2048)):
        rows = people(n, d)[0]
        nearest(rows[:2000], 30, devices=on)
        began = bench.clock()
        ranks, near = nearest(rows, 30, devices=on)
        took = bench.clock() - began
        half = torch.from_numpy(rows).bfloat16().to(bench.device)
        half[:2048] @ half.T
        began = bench.clock()
        for start in range(0, n, 2048):
            half[start : start + 2048] @ half.T
        bare = bench.clock() - began
        exact, similar = nearest(rows[:500], 30, rows, devices=("cpu",))
        same = np.array_equal(exact, ranks[:500]) and np.array_equal(similar, near[:500])
        bench.row("neighbours", f"{n} x {d}", "product", bare, "s")
        sound = "yes" if same else "no"
        bench.row(
            "neighbours",
            f"{n} x {d}",
            "nearest",
            took,
            "s",
            ratio=f"{took / bare:.1f}",
            sound=sound,
        )


class _PlainLoop:
    """Training and extraction as most repositories have them."""

    def __init__(self, bench: Bench, files: list[Path]):
        self.bench, self.images = bench, bench.batch * max(2, bench.steps // 4)
        settings = bench.encoder
        self.net = bench.place(build(settings))
        self.optimizer = torch.optim.Adam(self.net.parameters(), 3.5e-4)
        size, norm = (
            [settings.height, settings.width],
            transforms.Normalize(settings.mean, settings.std),
        )
        self.centres = F.normalize(
            torch.rand(len(files) // bench.views, self.net.dimensions, device=bench.device)
        )
        learn = [
            transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            *(transforms.Pad(10), transforms.RandomCrop(size), transforms.ToTensor(), norm),
            transforms.RandomErasing(value=settings.mean),
        ]
        see = [transforms.Resize(size), transforms.ToTensor(), norm]
        workers = 0 if bench.small else os.cpu_count() or 1
        of = dict(num_workers=workers, pin_memory=bench.cuda)
        self.learn = DataLoader(_Files(files, learn, bench.views, self.images), bench.batch, **of)
        self.see = DataLoader(_Files(files, see, bench.views, len(files)), bench.batch, **of)

    def _map(self, net, pixels):
        half = net.precision == "bfloat16"
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=half):
            below = net.backbone(pixels)
        return net.behind(net.pooling(below).float())

    def train(self) -> None:
        """Go through so many images."""
        self.net.train()
        for pixels, ids in self.learn:
            pixels, ids = (part.to(self.bench.device, non_blocking=True) for part in (pixels, ids))
            vectors = self._map(self.net, pixels)
            loss = F.cross_entropy(vectors @ self.centres.T / 0.05, ids)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                for vector, i in zip(vectors, ids, strict=True):
                    self.centres[i] = F.normalize(0.1 * self.centres[i] + 0.9 * vector, dim=0)

    @torch.no_grad()
    def extract(self, encoder) -> np.ndarray:
        """Give the features of all files."""
        encoder.eval()
        seen = [self._map(encoder, pixels.to(self.bench.device)).cpu() for pixels, _ in self.see]
        return torch.cat(seen).numpy()


class _Files(Dataset):
    def __init__(self, files: list[Path], change: list, views: int, count: int):
        self.files, self.change = files, transforms.Compose(change)
        self.views, self.count = views, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int):
        i %= len(self.files)
        return self.change(PIL.Image.open(self.files[i]).convert("RGB")), i // self.views


def _draw_pictures(folder: Path, count: int, of: EncoderSettings) -> list[Path]:
    """Draw smooth pictures, whose files are as large as those of real crops."""
    rng, files = np.random.default_rng(0), []
    for i in range(count):
        files.append(folder / f"{i}.jpg")
        few = PIL.Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
        few.resize((of.width, of.height), PIL.Image.Resampling.BICUBIC).save(files[-1], quality=90)
    return files


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.splitlines()[0]


PARTS = {part.__name__: part for part in (paths, waits, training, extraction, neighbours)}


def main(device: str, small: bool, only: list[str]) -> int:
    began, bench = time.monotonic(), Bench(device, small)
    for name in only:
        if time.monotonic() - began > BUDGET - 60:
            print(f"{name} is left out: there is a minute left. ./dev bench gpu --only {name}")
            continue
        PARTS[name](bench)
        print(f"{name}: after {time.monotonic() - began:.0f} s", flush=True)
    for line in bench.unsound:
        print("NOT SOUND:", line)
    return len(bench.unsound) > 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The first minutes on a GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes for a CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args()
    sys.exit(main(asked.device, asked.small, asked.only))
