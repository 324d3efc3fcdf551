"""How much of the bare network's speed the whole training loop and extraction reach.

    ./dev bench train                        SqueezeNet 1.1 at 128 x 64, what CPU runs use
    ./dev bench train resnet50 256 128 256   backbone, height, width, batch

Bare training: forward, backward and Adam step of the backbone on one batch of tensors that is
already normalised. Whole: the seconds that `Run` logs for the training stage of Cluster Contrast,
with loading, augmentation, pooling, neck, loss, memory and step. Bare and whole take turns, and
the ratio is that of each pair, so a machine that grows slower changes both. Pictures are noise:
their content changes no speed. Rows are added to benchmarks/results/train.csv.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from record import record

from reseen.cluster.density import DensitySettings
from reseen.data.loading import Crops
from reseen.engine.device import Device
from reseen.engine.extract import default_batch, extract
from reseen.engine.folder import read_metrics
from reseen.engine.step import step
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
    import PIL.Image

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
    command = "./dev bench train " + " ".join(sys.argv[1:])
    speeds = {"bare_per_s": f"{bare:.1f}", "whole_per_s": f"{whole:.1f}", "ratio": f"{ratio:.4f}"}
    record("train", command, what=what, **setting, **speeds)


if __name__ == "__main__":
    name, *sizes = sys.argv[1:] or ["squeezenet1_1"]
    main(name, *map(int, sizes))
