"""The methods and Cluster Contrast on half of Market-1501's training split, a variant at a time.

    RESEEN_DATA=FOLDER ./dev bench methods adtc only-tc 0     method, variant (or base), seed
    RESEEN_DATA=FOLDER ./dev bench methods adtc only-tc 0 mobilenetv2_100     another backbone

FOLDER holds market-half (NOT the published protocol, see run_market_half.py) and weights. All
variants of a method share one short schedule for a CPU: SqueezeNet, unless another is named, from
ImageNet at 128 x 64, 5 to 12 rounds. The run stays in runs/methods and goes on where it stopped;
when it is done a row goes to benchmarks/results/methods.csv.
"""

import os
import subprocess
import sys
from pathlib import Path

from record import errors_in_camera, record, summary

import reseen
from reseen.engine.run import checkpoint, read_facts
from reseen.methods import VARIANTS
from reseen.nets.encoder import load

ENCODER = "--encoder.last-stride 2 --encoder.height 128 --encoder.width 64"
BATCH = "--iterations 50 --people 16 --views 8"
SHORT = {
    "cluster-contrast": f"--epochs 8 {BATCH} --eps 0.55",
    "adtc": "--rounds 5 --epochs 1 --iterations 50 --clusters 500 --p 8",
    "mla": f"--epochs 8 {BATCH} --eps 0.55 --rate 3.5e-4",
    "ssl": "--first 3 --rounds 5 --epochs 1",
    "buc": "--first 3 --merge-rate 0.14 --epochs 1",
    "conslearn": "--epochs 5 --iterations 25 --people 16 --views 8 --eps 0.55 --mean-momentum 0.95",
}
"""What the short schedule changes in each method, and nothing else; chosen with seed 0."""


def main(method: str, variant: str, seed: str, backbone: str = "squeezenet1_1") -> None:
    folder = Path(os.environ["RESEEN_DATA"])
    named = [method, variant, seed] + [backbone] * (backbone != "squeezenet1_1")
    run = Path("runs/methods") / "-".join(named)
    words = ["train", method, str(folder / "market-half"), "--out", str(run), "--seed", seed]
    words += ["--evaluate-every", "2", *ENCODER.split()]
    own = {} if variant == "base" else VARIANTS[method][variant].settings
    short = SHORT[method].split()
    for name, value in zip(short[::2], short[1::2], strict=True):
        if name[2:].replace("-", "_") not in own:  # what a variant is must not be overwritten
            words += [name, value]
    words += ["--encoder.backbone", backbone]
    if backbone != "reseen-tiny":  # its weights come with the package
        words += ["--encoder.weights", str(folder / f"weights/{backbone}_imagenet.pth")]
    words += [] if variant == "base" else ["--variant", variant]
    subprocess.run([sys.executable, "-m", "reseen", *words], check=True)
    data = reseen.read(folder / "market-half")
    result = reseen.evaluate(load(checkpoint(run, "last")), data)
    figures = {"precision": read_facts(run)["precision"], **summary(run)}
    figures["errors_in_camera"] = f"{errors_in_camera(result, data):.4f}"
    facts = {"method": method, "variant": variant, "seed": seed, "backbone": backbone}
    record("methods", " ".join(["./dev bench methods", *named]), **facts, **figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
