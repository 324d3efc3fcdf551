"""The methods and Cluster Contrast on half of Market-1501's training split, a variant at a time.

    RESEEN_DATA=FOLDER ./dev bench methods adtc only-tc 0     method, variant (or base), seed
    RESEEN_DATA=FOLDER ./dev bench methods adtc only-tc 0 mobilenetv2_100     another backbone
    RESEEN_DATA=FOLDER ./dev bench methods daal soft 0 reseen-tiny cuhk03-source [market-half]

FOLDER holds market-half (NOT the published protocol, see run_market_half.py), cuhk03-source and
weights. All variants of a method share its short schedule in benchmarks/every_cpu.toml:
SqueezeNet, unless another is named, from ImageNet at 128 x 64, 4 to 8 rounds. With a source the
run begins with supervised training on it, of that seed, once for all methods; towns of invented
people (town-a, town-b) are drawn where they are named. The run stays in runs/methods or runs/adapt
and goes on where it stopped; when it is done a row goes to benchmarks/results/methods.csv or
adapt.csv.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from record import errors_in_camera, record, summary

import reseen
from reseen.data.invented import invent
from reseen.engine.folder import checkpoint, read_facts
from reseen.engine.progress import Screen
from reseen.methods import METHODS
from reseen.nets.encoder import load
from reseen.published import VARIANTS

SETTINGS = Path(__file__).with_name("every_cpu.toml")
"""What the short schedule changes in each method; chosen with seed 0."""


def main(
    method: str,
    variant: str,
    seed: str,
    backbone: str = "squeezenet1_1",
    source: str = "",
    target: str = "market-half",
) -> None:
    told = [method, variant, seed, backbone, source, target]
    while told[-1] in ("squeezenet1_1", "", "market-half"):
        told.pop()
    run = Path("runs/adapt" if source else "runs/methods") / "-".join(told)
    if source:
        start = Path("runs/adapt") / f"{source}-{backbone}-{seed}"
        train(start, "supervised", "base", seed, source, backbone)
        train(run, method, variant, seed, target, backbone, source, start)
    else:
        train(run, method, variant, seed, target, backbone)
    data = reseen.read(folder(target))
    result = reseen.evaluate(load(checkpoint(run, "last")), data)
    figures = {"precision": read_facts(run)["precision"], **summary(run)}
    figures["errors_in_camera"] = f"{errors_in_camera(result, data):.4f}"
    facts = {"method": method, "variant": variant, "seed": seed, "backbone": backbone}
    if source:
        facts |= {"source": source, "target": target}
    command = " ".join(["./dev bench methods", *told])
    record("adapt" if source else "methods", command, **facts, **figures)


def train(
    run: Path,
    method: str,
    variant: str,
    seed: str,
    data: str,
    backbone: str,
    source: str = "",
    start: Path | None = None,
) -> None:
    """Train as `reseen train` does, or go on."""
    words = ["train", method, str(folder(data)), "--out", str(run), "--seed", seed]
    told = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    own = {} if variant == "base" else VARIANTS[method][variant].settings
    short = {k: v for k, v in told.items() if k not in METHODS and k != "encoder"}
    short |= {f"encoder.{name}": value for name, value in told["encoder"].items()}
    short |= told[method] | {"encoder.backbone": backbone}
    if start:
        short |= {"pretrain": 0} if method == "daal" else {}
        words += ["--start", str(start)]
        if getattr(METHODS[method], "needs_source", False):
            words += ["--source", str(folder(source))]
    elif backbone != "reseen-tiny":  # its weights come with the package
        short["encoder.weights"] = folder(f"weights/{backbone}_imagenet.pth")
    for name, value in short.items():
        if name not in own:  # what a variant is must not be overwritten
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{name.replace('_', '-')}={one}"]
    words += [] if variant == "base" else ["--variant", variant]
    subprocess.run([sys.executable, "-m", "reseen", *words], check=True)


def folder(name: str) -> Path:
    """Give where data lie; a town is drawn if it is not there yet."""
    if name not in ("town-a", "town-b"):
        return Path(os.environ["RESEEN_DATA"]) / name
    town = Path("runs/adapt") / name
    if not town.exists():
        invent(town, seed=1, town=name, track=Screen().track("drawing"))
    return town


if __name__ == "__main__":
    main(*sys.argv[1:])
