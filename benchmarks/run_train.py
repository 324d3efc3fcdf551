"""How much of the bare network's speed the whole training loop and extraction reach.

    ./dev bench train                        SqueezeNet 1.1 at 128 x 64, what CPU runs use
    ./dev bench train resnet50 256 128 256   backbone, height, width, batch
    ./dev bench train --all-methods [...]    every method, and where its time goes, by CPU seconds
    ./dev bench train --precisions           float32 and bfloat16, as precision auto tries them
    ./dev bench train --decode FOLDER        pictures from JPEG to normalised tensors, beside
                                             Pillow and torchvision's transforms

Bare training: forward, backward and Adam step of the backbone on one batch of tensors that is
already normalised. Whole: the seconds that `Run` logs for the training stage of Cluster Contrast,
with loading, augmentation, pooling, neck, loss, memory and step. Bare and whole take turns, and
the ratio is that of each pair, so a machine that grows slower changes both. Pictures are noise:
their content changes no speed. Rows are added to benchmarks/results/train.csv.

Of all methods (`steps.py`): bare is what their passes through backbone and attention, as many and
as large as they ask for, with or without gradient, and the steps of their own optimiser take on
ready tensors; the ratio is bare to whole, in CPU seconds of one thread, and the shares of the whole
say what augmentation, memories and mean networks take. Rows: benchmarks/results/train_methods.csv,
benchmarks/results/decode.csv, benchmarks/results/precision.csv.
"""

import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from record import record
from steps import Steps, settings

from reseen.cluster.density import DensitySettings
from reseen.data.augment import AugmentSettings, augment
from reseen.data.loading import Crops, decode
from reseen.engine.device import TRIED, Device, try_steps
from reseen.engine.extract import default_batch, extract
from reseen.engine.folder import read_metrics
from reseen.engine.step import step
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings, build
from reseen.presets import method
from reseen.records import Dataset, Image, PseudoLabels
from reseen.training import train

TURNS, ROUNDS, VIEWS, REPEATS = 5, 2, 8, 5


def main(name: str = "squeezenet1_1", height: int = 128, width: int = 64, batch: int = 128) -> None:
    device = Device().resolve()
    settings = EncoderSettings(
        backbone=name, weights="none", height=height, width=width, last_stride=2
    )
    encoder = device.place(build(settings))
    iterations = _iterations(encoder, batch)
    pairs = {"training": [], "extracting": []}
    with tempfile.TemporaryDirectory() as folder:
        data = _noise(Path(folder), 8 * batch, height, width)
        crops = Crops(data.train, height, width).to(encoder.device)
        for turn in range(TURNS + 1):  # the first warms up
            bare = bare_training(encoder, batch, iterations)
            whole = whole_training(settings, data, batch, iterations, Path(folder) / f"{turn}")
            bare_out, whole_out = bare_extraction(encoder, crops), whole_extraction(encoder, crops)
            if turn:
                pairs["training"].append((bare, whole))
                pairs["extracting"].append((bare_out, whole_out))
    for what, rates in pairs.items():
        _report(
            what,
            rates,
            backbone=name,
            size=f"{height}x{width}",
            batch=batch,
            device=device.name,
            precision=device.precision,
        )


SPENT = {
    "augmentation": (("data/augment.py", "augment"),),
    "memory": tuple(
        (f"memory/{name}.py", "update")
        for name in ("clusters", "hybrid", "instances", "proxies", "table")
    ),
    "mean_networks": (("nets/mean_network.py", "update"),),
    "sampling": (("data/sampling.py", "identity_batches"), ("data/sampling.py", "class_batches")),
    "reading": (("data/loading.py", "_read"),),
}
"""Which functions each share of the time is spent in."""


def all_methods(
    name: str = "squeezenet1_1", height: int = 128, width: int = 64, batch: int = 128
) -> None:
    """Measure every method, each turn beside its own bare passes."""
    torch.set_num_threads(1)
    size = dict(height=height, width=width, last_stride=2)
    of = EncoderSettings(backbone=name, weights="none", **size)
    device = Device().resolve()
    Steps(device.place, 4 * batch, VIEWS).fit(settings("house", of, 4, VIEWS, 1))  # compiles
    for one in METHODS:
        told = settings(one, of, batch // VIEWS, VIEWS, 4, teacher=one == "house")
        runs = (Steps(device.place, 4 * batch, VIEWS).fit(told) for _ in range(TURNS))
        turns = [(run.bare_seconds(), run.seconds, run.steps) for run in runs]
        ratio = statistics.median(bare / whole for bare, whole, _ in turns)
        bare, whole = (statistics.median(turn[i] / turn[2] for turn in turns) for i in (0, 1))
        figures = {"bare_s": f"{bare:.4f}", "whole_s": f"{whole:.4f}", "ratio": f"{ratio:.4f}"}
        figures |= _shares(Steps(device.place, 4 * batch, VIEWS), told)
        print(one, figures, flush=True)
        facts = dict(backbone=name, size=f"{height}x{width}", batch=batch)
        facts |= dict(device=device.name, precision=device.precision)
        record("train_methods", _command(), method=one, **facts, **figures)


def _shares(run: Steps, told: object) -> dict[str, str]:
    """Give which share of a training stage was spent where; the profiler takes time itself."""
    profile, plain = cProfile.Profile(time.process_time), run.training

    @contextmanager
    def training():
        with plain(), profile:
            yield

    run.training = training
    run.fit(told)
    spent = pstats.Stats(profile).stats  # pyright: ignore[reportAttributeAccessIssue]
    shares = {}
    for share, places in SPENT.items():
        found = (
            took[3]
            for (file, _, function), took in spent.items()
            if any(file.endswith(of) and function == called for of, called in places)
        )
        shares[share] = f"{sum(found) / run.seconds:.4f}"
    return shares


def precisions(height: int = 128, width: int = 64) -> None:
    """Measure how fast backbones train in either precision, by what a run tries when it begins."""
    names = ("squeezenet1_1", "reseen-tiny", "resnet18", "mobilenetv2_100", "efficientnet_lite0")
    device = Device().resolve()
    for name in names:
        size = dict(height=height, width=width, last_stride=2)
        encoder = build(EncoderSettings(backbone=name, weights="none", **size))
        took = try_steps(encoder, torch.device(device.name))
        rates = {precision: TRIED / seconds for precision, seconds in took.items()}
        ratio = rates["bfloat16"] / rates["float32"]
        print(name, {precision: round(rate) for precision, rate in rates.items()}, f"{ratio:.2f}")
        figures = {f"{precision}_per_s": f"{rate:.1f}" for precision, rate in rates.items()}
        facts = dict(backbone=name, size=f"{height}x{width}", batch=TRIED, device=device.name)
        record("precision", _command(), **facts, **figures, ratio=f"{ratio:.3f}")


def decoding(folder: str, count: int = 1000) -> None:
    """Measure how many pictures a CPU second become tensors for training, in two ways."""
    from torchvision import transforms

    torch.set_num_threads(1)
    files = sorted(Path(folder).rglob("*.jpg"))[:count]
    norm = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    colour = torch.tensor([124.0, 116.0, 104.0]).view(3, 1, 1)

    def published(height: int, width: int) -> None:
        size = height, width
        change = transforms.Compose(
            [
                transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC),
                *(transforms.RandomHorizontalFlip(), transforms.Pad(10)),
                *(transforms.RandomCrop(size), transforms.ToTensor(), norm),
                transforms.RandomErasing(value=(0.485, 0.456, 0.406)),
            ]
        )
        for path in files:
            change(PIL.Image.open(path).convert("RGB"))

    def ours(height: int, width: int, kept: torch.Tensor | None = None) -> None:
        chance = np.random.default_rng(0)
        for start in range(0, len(files), 64):
            if kept is None:
                read = [decode(path, height, width) for path in files[start : start + 64]]
                batch = torch.from_numpy(np.stack(read))
            else:
                batch = kept[start : start + 64]
            batch = augment(batch, chance, AugmentSettings(), colour)
            batch.to(torch.float32, copy=True).sub_(colour).mul_(1 / 58)

    for height, width in ((128, 64), (256, 128)):
        kept = torch.randint(0, 256, (len(files), 3, height, width), dtype=torch.uint8)
        ways = {
            "published": lambda: published(height, width),  # noqa: B023 (called below)
            "decoded": lambda: ours(height, width),  # noqa: B023
            "kept": lambda: ours(height, width, kept),  # noqa: B023
        }
        rates = {way: [] for way in ways}
        for turn in range(TURNS + 1):
            for way, work in ways.items():
                began = time.process_time()
                work()
                rates[way] += [len(files) / (time.process_time() - began)] * (turn > 0)
        for way, of in rates.items():
            pairs = zip(of, rates["published"], strict=True)
            ratio = statistics.median(rate / plain for rate, plain in pairs)
            rate = statistics.median(of)
            print(f"{height} x {width} {way}: {rate:.0f} pictures a CPU second, {ratio:.2f} times")
            figures = {"per_cpu_s": f"{rate:.0f}", "ratio": f"{ratio:.2f}"}
            size = f"{height}x{width}"
            record("decode", "./dev bench train --decode FOLDER", size=size, way=way, **figures)


def _command() -> str:
    return "./dev bench train " + " ".join(sys.argv[1:])


def bare_training(encoder, batch: int, iterations: int) -> float:
    """Images a second of forward, backward and step on one batch of ready tensors."""
    encoder.train()
    optimizer = torch.optim.Adam(encoder.backbone.parameters())
    size = encoder.settings.height, encoder.settings.width
    pixels = encoder.normalise(torch.randint(0, 256, (batch, 3, *size), device=encoder.device))
    half = encoder.precision == "bfloat16"

    def once():
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=half):
            y = encoder.backbone(pixels)
        step(y.float().mean(), optimizer)

    once()
    return batch * iterations / _seconds(once, iterations)


def whole_training(settings, data: Dataset, batch: int, iterations: int, folder: Path) -> float:
    """Images a second of the training stage of the method, as its run logs it."""
    sizes = dict(iterations=iterations, people=batch // VIEWS, views=VIEWS)
    learner = method("cluster-contrast", encoder=settings, epochs=ROUNDS, **sizes)
    train(learner, data, folder, quiet=True)
    return batch * iterations / read_metrics(folder)[-1]["training_seconds"]


@torch.inference_mode()
def bare_extraction(encoder, crops: Crops) -> float:
    """Images a second of the backbone alone, forward, on one batch of ready tensors."""
    encoder.eval()
    pixels = encoder.normalise(crops.pixels[: default_batch(encoder)].to(encoder.device))
    half = encoder.precision == "bfloat16"

    def once():
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=half):
            encoder.backbone(pixels)

    once()
    count = REPEATS * -(-len(crops) // len(pixels))
    return len(pixels) * count / _seconds(once, count)


def whole_extraction(encoder, crops: Crops) -> float:
    """Images a second from decoded crops to features in memory."""
    return REPEATS * len(crops) / _seconds(lambda: extract(encoder, crops), REPEATS)


def _seconds(work, times: int) -> float:
    _wait()
    began = time.perf_counter()
    for _ in range(times):
        work()
    _wait()
    return time.perf_counter() - began


def _wait() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def _iterations(encoder, batch: int) -> int:
    """Enough for about four seconds of bare training."""
    return max(5, round(4 * bare_training(encoder, batch, 3) / batch))


def _noise(folder: Path, count: int, height: int, width: int) -> Dataset:
    rng = np.random.default_rng(0)
    images = []
    for i in range(count):
        path = folder / f"{i}.jpg"
        PIL.Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
        images.append(Image(path, camera=i % 6))
    ids = np.arange(count) // VIEWS
    DensitySettings.label = lambda *_: PseudoLabels(ids)  # noise has no clusters
    return Dataset("noise", folder, tuple(images))


def _report(what: str, rates: list[tuple[float, float]], **setting: object) -> None:
    ratio = statistics.median(whole / bare for bare, whole in rates)
    bare, whole = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"{what}: whole {whole:.0f} images/s, bare {bare:.0f}, ratio {ratio:.1%} {setting}")
    speeds = {"bare_per_s": f"{bare:.1f}", "whole_per_s": f"{whole:.1f}", "ratio": f"{ratio:.4f}"}
    record("train", _command(), what=what, **setting, **speeds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--decode"]:
        decoding(*sys.argv[2:])
    elif sys.argv[1:2] == ["--precisions"]:
        precisions(*map(int, sys.argv[2:]))
    else:
        words = sys.argv[1:]
        every = words[:1] == ["--all-methods"]
        name, *sizes = words[every:] or ["squeezenet1_1"]
        (all_methods if every else main)(name, *map(int, sizes))
