"""Cluster Contrast on half of Market-1501's training split, by the command a user would type.

    RESEEN_DATA=FOLDER ./dev bench market_half squeezenet 0     start, seed

FOLDER holds market-half (even-ranked training identities to learn from, odd-ranked ones to search:
NOT the published protocol) and weights. The run stays in runs/ and goes on where it stopped. When
it is done its curve goes to benchmarks/results/market_half_START_SEED.csv, one row a round, and
its summary to benchmarks/results/market_half.csv, with commit, machine and command.
"""

import csv
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

from reseen.engine.run import read_facts, read_metrics

RESULTS = Path(__file__).parent / "results"
SETTINGS = Path(__file__).parents[1] / "examples" / "settings"
IMAGENET = "weights/squeezenet1_1_imagenet.pth", "weights/mobilenetv2_100_imagenet.pth"
STARTS = {
    "squeezenet": [IMAGENET[0]],
    "mobilenet": [
        IMAGENET[1],
        *("--encoder.options.pad_type", "same"),
        *("--encoder.mean", "0.5", "0.5", "0.5", "--encoder.std", "0.5", "0.5", "0.5"),
    ],
}


def main(start: str = "squeezenet", seed: str = "0", *more: str) -> None:
    data = Path(os.environ["RESEEN_DATA"])
    weights, *options = STARTS[start]
    run = Path("runs") / "-".join(["market_half", start, seed, *(w.strip("-") for w in more)])
    words = ["train", "cluster-contrast", str(data / "market-half"), "--out", str(run)]
    words += ["--config", str(SETTINGS / f"{start}_cpu.toml"), "--seed", seed]
    words += ["--encoder.weights", str(data / weights), *options, "--evaluate-every", "1", *more]
    subprocess.run([sys.executable, "-m", "reseen", *words], check=True)
    rows = read_metrics(run)
    names = list(rows[1])
    with (RESULTS / f"{run.name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["round", *(name for name in names if name != "round")])
        writer.writeheader()
        writer.writerows(rows)
    _summarise(run, rows, f"./dev bench market_half {start} {seed} {' '.join(more)}".strip())


def _summarise(run: Path, rows: list[dict], command: str) -> None:
    trained = rows[1:]
    best = max(trained, key=lambda row: row["mAP"])
    git = ["git", "describe", "--always", "--dirty"]
    summary = {
        "date": date.today(),
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "machine": f"{platform.machine()} {torch.get_num_threads()} threads, no GPU",
        "precision": read_facts(run)["precision"],
        "command": command,
        "rounds": rows[-1]["round"],
        "minutes": round(
            sum(row["round_seconds"] + row["searching_seconds"] for row in trained) / 60, 1
        ),
    }
    for name, row in (("untrained", rows[0]), ("last", rows[-1]), ("best", best)):
        summary |= {f"{name}_mAP": f"{row['mAP']:.4f}", f"{name}_rank1": f"{row['rank1']:.4f}"}
    path = RESULTS / "market_half.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(summary))
        if new:
            writer.writeheader()
        writer.writerow(summary)


if __name__ == "__main__":
    main(*sys.argv[1:])
