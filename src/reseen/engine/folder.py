"""The folder of a run: its settings, metrics, labels and checkpoints.

    run.json           method, settings, seed, data, device, environment
    images.txt         the training images, in the order of the pseudo-labels
    metrics.jsonl      one line for each round; round 0 is the encoder before training
    source.txt         the images of the source, if there is one
    labels/0001.npy    the pseudo-labels of round 1 (int64, -1 is noise)
    checkpoints/last.pt, best.pt

`run.py` writes them. The functions here read them, during training and afterwards.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from reseen.engine.signs import best_round
from reseen.errors import CheckpointError
from reseen.nets import encoder as encoders
from reseen.records import Image, PseudoLabels

METRICS = "metrics.jsonl"
IMAGES, SOURCE = "images.txt", "source.txt"


def read_facts(folder: Path) -> dict[str, Any]:
    """Read the settings and other facts of a run (run.json).

    Raises:
        CheckpointError: the folder does not hold a run, or its run.json is damaged.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no run (no run.json). Give a folder made by train.")
    facts: Any = None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        wrong = _wrong(facts)
    except (ValueError, RecursionError) as error:
        wrong = str(error)
    if wrong:
        raise CheckpointError(
            f"{path} is damaged or does not belong to a run of this package ({wrong}). Restore a "
            "copy of it, or give another folder; checkpoints can be used without it."
        )
    return facts


def worked_out(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the automatic settings of a run got, by flat names."""
    told = facts.get("automatic", {}).get("settings", {})
    return {name: of["value"] for name, of in told.items()}


def _wrong(facts: Any) -> str:
    """Return what is wrong with the content of a run.json, or an empty string."""
    if not isinstance(facts, dict):
        return f"it holds {facts!r:.40}"
    for name, (kinds, needed) in _FACTS.items():
        if needed and name not in facts:
            return f"it has no {name}"
        if name in facts and not isinstance(facts[name], kinds):
            return f"its {name} is {json.dumps(facts[name]):.40}"
    return ""


_FACTS: dict[str, tuple[type | UnionType, bool]] = {
    "method": (str, True),
    "settings": (dict, True),
    "seed": (int, True),
    "precision": (str, True),
    "data": (dict, False),
    "device": (dict, False),
    "environment": (dict, False),
    "processes": (int, False),
    "source": (dict | None, False),
    "start": (str | None, False),
    "images_per_person": (float | int | None, False),
    "automatic": (dict, False),
}
"""The entries of run.json, their types, and whether they are required."""


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Read the metrics of a run, a row for each round, in order; damaged lines are left out."""
    return _metrics(folder)[0]


def damaged_metrics(folder: Path) -> int:
    """Count the damaged lines in the metrics of a run."""
    return _metrics(folder)[1]


def _metrics(folder: Path) -> tuple[list[dict[str, float]], int]:
    path = folder / METRICS
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    rows = [_row(line) for line in text.split("\n") if line.strip()]
    sound = {row["round"]: row for row in rows if row is not None}
    return [sound[number] for number in sorted(sound)], rows.count(None)


def _row(line: str) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(row, dict) and all(type(number) in (int, float) for number in row.values())
    if not numbers or type(row.get("round")) is not int or row["round"] < 0:
        return None
    return row if all(abs(number) < 1e300 for number in row.values()) else None


def result(folder: Path) -> str:
    """Return which checkpoint is the result of a run: last, or chosen if training did harm.

    Harm is detected without labels (`signs.best_round`).
    """
    done = last_round(folder)
    rows = [row for row in read_metrics(folder) if row["round"] <= done]
    kept = best_round(rows) is not None and checkpoint(folder, "chosen").exists()
    return "chosen" if kept else "last"


def last_round(folder: Path) -> int:
    """Return the round of a run's last checkpoint, 0 before the first round is finished."""
    path = checkpoint(folder, "last")
    return encoders.read_checkpoint(path, mapped=True).get("round", 0) if path.exists() else 0


def read_paths(folder: Path, name: str = IMAGES) -> list[Path]:
    """Read the N paths of the training images of a run, in the order of its labels.

    The list is empty before the run has read the images.
    """
    path = folder / name
    if not path.exists():
        return []
    return [Path(line) for line in os.fsdecode(path.read_bytes()).split("\n")[:-1]]


def read_labels(folder: Path, number: int) -> PseudoLabels | None:
    """Read the pseudo-labels (N,) of a round, or None if it has none.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = label_file(folder, number)
    if not path.exists():
        return None
    try:
        ids = np.load(path)
        if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or ids.ndim != 1:
            raise ValueError("not labels")
        return PseudoLabels(ids)
    except PermissionError:
        raise
    except Exception as error:  # numpy raises nearly any error for a damaged file
        raise CheckpointError(f"{path} is damaged. Remove it to continue without it.") from error


def checkpoint(folder: Path, which: str) -> Path:
    """Return the file of a checkpoint: `last`, `best` (by labels), or `chosen` (without labels)."""
    return folder / "checkpoints" / f"{which}.pt"


def label_file(folder: Path, number: int) -> Path:
    """Return the file with the pseudo-labels of a round."""
    return folder / "labels" / f"{number:04d}.npy"


def digest(images: tuple[Image, ...], *, people: bool = False) -> str:
    """Return a short digest of a set of images, independent of their order and common folder.

    Args:
        images: N records.
        people: whether the digest depends on the people too.
    """
    above = len(os.path.commonpath({image.path.parent for image in images})) if images else 0
    lines = sorted(
        " ".join(
            [i.path.as_posix()[above:], str(i.camera), str(i.time), *i.frames]
            + [str(i.person)] * people
        )
        for i in images
    )
    return sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]
