"""Where measured figures go: a row of a CSV, with what is needed to measure them again."""

import csv
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import torch

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
