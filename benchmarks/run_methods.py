"""ADTC, ConsLearn, MLA and their base on half of Market-1501's training split, a variant at a time.

    RESEEN_DATA=FOLDER ./dev bench methods adtc only-tc 0     method, variant (or base), seed

FOLDER holds market-half (NOT the published protocol, see run_market_half.py) and weights. All
variants of a method share one short schedule for a CPU: SqueezeNet from ImageNet at 128 x 64, 5 or
8 rounds. The run stays in runs/methods and goes on where it stopped; when it is done a row goes to
benchmarks/results/methods.csv.
"""

import os
import subprocess
import sys
from pathlib import Path

from record import errors_in_camera, record, summary

import reseen
from reseen.engine.run import checkpoint, read_facts
from reseen.nets.encoder import load

ENCODER = "--encoder.backbone squeezenet1_1 --encoder.last-stride 2 --encoder.height 128 "
ENCODER += "--encoder.width 64"
BATCH = "--iterations 50 --people 16 --views 8"
SHORT = {
    "cluster-contrast": f"--epochs 8 {BATCH} --eps 0.55",
    "adtc": "--rounds 5 --epochs 1 --iterations 50 --clusters 500 --p 8",
    "mla": f"--epochs 8 {BATCH} --eps 0.55 --rate 3.5e-4",
    "conslearn": "--epochs 5 --iterations 25 --people 16 --views 8 --eps 0.55 --mean-momentum 0.95",
}
"""What the short schedule changes in each method, and nothing else; chosen with seed 0."""


def main(method: str, variant: str, seed: str) -> None:
    folder = Path(os.environ["RESEEN_DATA"])
    run = Path("runs/methods") / "-".join([method, variant, seed])
    words = ["train", method, str(folder / "market-half"), "--out", str(run), "--seed", seed]
    words += ["--evaluate-every", "2", *ENCODER.split(), *SHORT[method].split()]
    words += ["--encoder.weights", str(folder / "weights/squeezenet1_1_imagenet.pth")]
    words += [] if variant == "base" else ["--variant", variant]
    subprocess.run([sys.executable, "-m", "reseen", *words], check=True)
    data = reseen.read(folder / "market-half")
    result = reseen.evaluate(load(checkpoint(run, "last")), data)
    figures = {"precision": read_facts(run)["precision"], **summary(run)}
    figures["errors_in_camera"] = f"{errors_in_camera(result, data):.4f}"
    command = f"./dev bench methods {method} {variant} {seed}"
    record("methods", command, method=method, variant=variant, seed=seed, **figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
