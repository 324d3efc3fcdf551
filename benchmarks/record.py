"""What is measured of a run, and where it goes: a row of a CSV, with how to measure it again."""

import csv
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reseen.engine.folder import read_metrics
from reseen.records import Dataset, Ranking

RESULTS = Path(__file__).parent / "results"


def record(name: str, command: str, **figures: Any) -> None:
    """Add a row of figures to results/NAME.csv, with date, commit, machine and command."""
    git = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True, check=False, cwd=RESULTS)
    hardware = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    row = {
        "date": date.today(),
        "commit": done.stdout.strip() or "unknown",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {hardware}",
        "torch": torch.__version__,
        "command": " ".join(command.split()),
        **figures,
    }
    path = RESULTS / f"{name}.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def summary(run: Path) -> dict[str, Any]:
    """Give rounds, minutes, and mAP and rank-1 untrained, last and best on the test set."""
    rows = read_metrics(run)
    judged = [row for row in rows if "mAP" in row]
    best = max(judged[1:], key=lambda row: row["mAP"])
    seconds = sum(row["round_seconds"] + row.get("searching_seconds", 0) for row in rows[1:])
    figures = {"rounds": rows[-1]["round"], "minutes": f"{seconds / 60:.1f}"}
    for name, row in (("untrained", rows[0]), ("last", rows[-1]), ("best", best)):
        figures |= {f"{name}_mAP": f"{row['mAP']:.4f}", f"{name}_rank1": f"{row['rank1']:.4f}"}
    return figures


def centred_summary(run: Path) -> dict[str, str]:
    """Give mAP and rank-1 untrained and last, searched with each camera's mean and deviation out.

    Empty where the run knows no cameras.
    """
    rows, names = read_metrics(run), ("mAP_centred", "rank1_centred")
    ends = ("untrained", rows[0]), ("last", rows[-1])
    return {f"{w}_{n}": f"{row[n]:.4f}" if n in row else "" for w, row in ends for n in names}


def errors_in_camera(result: Ranking, data: Dataset) -> float:
    """Give the share of rank-1 errors that show somebody by the query's own camera."""
    camera = np.array([image.camera for image in data.gallery])
    asked = np.array([data.query[i].camera for i in result.queries])
    wrong = ~result.right[:, 0]
    return float((camera[result.top[:, 0]] == asked)[wrong].mean())
