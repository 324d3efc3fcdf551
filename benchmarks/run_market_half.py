"""Cluster Contrast on half of Market-1501's training split, by the command a user would type.

    RESEEN_DATA=FOLDER ./dev bench market_half squeezenet 0     start, seed

FOLDER holds market-half (even-ranked training identities to learn from, odd-ranked ones to search:
NOT the published protocol) and weights. The run stays in runs/ and goes on where it stopped. When
it is done its curve goes to benchmarks/results/market_half_START_SEED.csv, one row a round, and
its summary to benchmarks/results/market_half.csv, with commit, machine and command.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

from record import RESULTS, record, summary

from reseen.engine.folder import read_facts, read_metrics

SETTINGS = [
    *("--epochs", "40", "--iterations", "50", "--views", "8", "--eps", "0.55"),
    *("--encoder.height", "128", "--encoder.width", "64", "--encoder.ghost-group", "0"),
]
IMAGENET = "weights/squeezenet1_1_imagenet.pth", "weights/mobilenetv2_100_imagenet.pth"
STARTS = {
    "squeezenet": [
        IMAGENET[0],
        *("--encoder.backbone", "squeezenet1_1", "--encoder.last-stride", "2"),
    ],
    "mobilenet": [
        IMAGENET[1],
        *("--encoder.backbone", "mobilenetv2_100"),
        *("--encoder.options.pad_type", "same"),
        *("--encoder.mean", "0.5", "0.5", "0.5", "--encoder.std", "0.5", "0.5", "0.5"),
    ],
}


def main(start: str = "squeezenet", seed: str = "0", *more: str) -> None:
    data = Path(os.environ["RESEEN_DATA"])
    weights, *options = STARTS[start]
    run = Path("runs") / "-".join(["market_half", start, seed, *(w.strip("-") for w in more)])
    words = ["train", "cluster-contrast", str(data / "market-half"), "--out", str(run)]
    words += [*SETTINGS, "--seed", seed]
    words += ["--encoder.weights", str(data / weights), *options, "--evaluate-every", "1", *more]
    subprocess.run([sys.executable, "-m", "reseen", *words], check=True)
    rows = read_metrics(run)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (RESULTS / f"{run.name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["round", *(name for name in names if name != "round")])
        writer.writeheader()
        writer.writerows(rows)
    command = f"./dev bench market_half {start} {seed} {' '.join(more)}"
    record("market_half", command, precision=read_facts(run)["precision"], **summary(run))


if __name__ == "__main__":
    main(*sys.argv[1:])
