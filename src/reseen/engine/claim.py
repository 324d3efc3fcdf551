"""Decide whether a folder can be used for a run: a new folder, or one that holds the same run."""

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reseen.data.loading import Crops
from reseen.engine import processes
from reseen.engine.device import Device
from reseen.engine.files import LOCK, write_text
from reseen.engine.folder import IMAGES, checkpoint, digest, read_facts, read_paths
from reseen.engine.progress import QUIET, Screen
from reseen.errors import CheckpointError, DataError, SettingsError, counted
from reseen.nets import encoder as encoders
from reseen.records import Image

_WRITTEN = re.compile(
    r"(run\.json|metrics\.jsonl|images\.txt|source\.txt|labels/\d{4,}\.npy"
    r"|checkpoints/(last|best|chosen)\.pt)(\.tmp)?"
)
"""All files that a run writes into its folder."""

_LEFT = (LOCK, "table.json")
"""Files in the folder of a run that are not part of its result, and are left alone."""


def claim(
    folder: Path,
    facts: dict[str, Any],
    device: Device,
    images: Sequence[Image] = (),
    screen: Screen = QUIET,
) -> dict[str, Any]:
    """Start a run in a folder, or find that the folder already holds this run.

    Files of a run without a finished round are removed.

    Args:
        folder: created if it does not exist.
        facts: what identifies the run (method, settings, seed, precision, data).
        device: where it computes.
        images: the training images, to name pictures that were added or removed since the start.
        screen: says what was repaired or removed.

    Returns:
        The new content of run.json: the facts, and the device and environment at the start.

    Raises:
        SettingsError: the folder holds another run, or other files.
        CheckpointError: its run.json is damaged or does not belong to a run.
    """
    facts = json.loads(json.dumps(facts, default=str))
    path, here, world = folder / "run.json", environment(), processes.world()
    kept = _kept_facts(folder)
    try:
        before = read_facts(folder) if kept or path.exists() else {}
    except CheckpointError:
        if not kept:
            raise
        before = kept
        write_text(path, json.dumps(kept, indent=2) + "\n")
        screen.say(f"{path} was damaged and has been restored from last.pt")
    if before and checkpoint(folder, "last").exists():
        lines = differences(before, facts)
        if lines:
            paths = [image.path for image in images]
            if paths and any(line.startswith("data.train:") for line in lines):
                lines.append("pictures: " + _changes(read_paths(folder), paths))
            older = "auto" in _values(facts) and "auto" not in _values(before)
            hint = " (a run with published settings: --preset published)" if older else ""
            raise SettingsError(
                f"{folder} holds another run:\n  " + "\n  ".join(lines) + "\n"
                f"Use the same settings and data to resume it{hint}, or give a new folder."
            )
        if before.get("environment") != here:
            screen.say("this run was started with other versions or threads: results may differ")
        began, goes_on = (
            counted(n, "process", "processes") for n in (before.get("processes", 1), world)
        )
        if began != goes_on:
            screen.say(
                f"this run was started with {began} and is resumed with {goes_on}: the batches "
                "are the same, but batch norm computes its statistics on other parts of them, "
                "unless groups of images (--encoder.ghost-group) fit into both"
            )
        return before
    _clear(folder, before, screen)
    facts = {**facts, "device": asdict(device), "environment": here, "processes": world}
    write_text(path, json.dumps(facts, indent=2) + "\n")
    return facts


def check_pictures(folder: Path, name: str, crops: Crops) -> None:
    """Check that pictures are the same as those that the run in a folder has read so far.

    Args:
        folder: of the run; before its first finished round nothing is compared.
        name: IMAGES or SOURCE, the list of the pictures.
        crops: the pictures that can be read now.

    Raises:
        DataError: pictures were added, removed or changed.
    """
    path = checkpoint(folder, "last")
    state = encoders.read_checkpoint(path, mapped=True) if path.exists() else {}
    sums = torch.from_numpy(crops.checksums)
    before = state.get("checksums", {}).get(name, sums)
    wrong = ""
    if len(before) != len(sums) or (
        name == IMAGES and state.get("images", digest(crops.images)) != digest(crops.images)
    ):
        wrong = _changes(read_paths(folder, name), [i.path for i in crops.images])
    elif other := [str(crops.images[i].path) for i in (before != sums).nonzero().flatten()]:
        wrong = f"{len(other)} have other contents under the same names ({_some(other)})"
    if wrong:
        raise DataError(
            f"The run in {folder} was trained on other images than the {len(crops)} that can be "
            f"read now: {wrong}. Restore the old ones, or give a new folder."
        )


def _values(facts: dict[str, Any]) -> list[Any]:
    return list(facts.get("settings", {}).values())


def environment() -> dict[str, Any]:
    """Return what a result may depend on besides its settings."""
    packages = ("reseen", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "numba")
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        **{name: version(name) for name in packages},
    }


def _kept_facts(folder: Path) -> dict[str, Any]:
    """Return the run.json that the last checkpoint contains, or {} if it cannot be read."""
    try:
        state = encoders.read_checkpoint(checkpoint(folder, "last"), mapped=True)
        return json.loads(state.get("facts", "{}"))
    except (CheckpointError, OSError):
        return {}


def _clear(folder: Path, before: dict[str, Any], screen: Screen) -> None:
    """Remove the files of a run without a finished round; refuse files that are not of a run."""
    names = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()
    }
    names = {name: path for name, path in names.items() if name not in _LEFT}
    ours = {name: path for name, path in names.items() if _WRITTEN.fullmatch(name)}
    foreign = [name for name in names if name not in ours and not name.startswith(".")]
    if not before and names.keys() - {"run.json.tmp"}:
        raise SettingsError(f"{folder} is not empty and holds no run. Give a new folder.")
    if foreign or "reseen" not in before.get("environment", {"reseen": 1}):
        raise SettingsError(
            f"{folder} holds a run without a finished round, and files that are not part of it "
            f"({_some(foreign or ['run.json'])}). Move them away, or give a new folder."
        )
    stale = [path for name, path in ours.items() if not name.startswith("run.json")]
    for path in stale:
        path.unlink()
    if stale:
        screen.say(
            f"{folder} holds a run without a finished round: it starts again, without "
            f"the {counted(len(stale), 'file')} that it had written "
            f"({_some(path.name for path in stale)})"
        )


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Describe how the facts of a run differ from earlier ones, one line for each difference."""
    lines = []
    for name, new in now.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            inside = dict.fromkeys([*old, *new])
            both = ({key: part.get(key) for key in inside} for part in (old, new))
            lines += [f"{name}.{line}" for line in differences(*both)]
        elif old == new or (name == "start" and _same_place(old, new)) or _came_later(old, new):
            continue
        elif name == "precision" and new == "auto":
            pass  # the precision that was chosen at the start is kept
        elif name in ("train", "test"):
            lines.append(f"{name}: other pictures, cameras, times or people than before")
        else:
            hint = f" (use --device.precision {old})" if name == "precision" else ""
            lines.append(f"{name}: {old} there, {new} now{hint}")
    return lines


def _came_later(old: Any, new: Any) -> bool:
    """Return whether a setting is off that did not exist in the version that started the run."""
    return old is None and new in (False, 0.0, "off")


def _same_place(one: Any, other: Any) -> bool:
    told = isinstance(one, str) and isinstance(other, str)
    return told and Path(one).resolve() == Path(other).resolve()


def _changes(before: Sequence[Path], now: Sequence[Path]) -> str:
    """Describe which pictures were added or removed, also if all of them were moved."""
    old, new = ({path.as_posix() for path in paths} for paths in (before, now))
    if not old & new:  # moved
        old, new = (_below(paths) for paths in (old, new))
    parts = [
        f"{len(names)} {what} ({_some(sorted(names))})"
        for what, names in (("missing", old - new), ("new", new - old))
        if names
    ]
    return ", ".join(parts) or "the same names, with other cameras, times or people"


def _below(paths: set[str]) -> set[str]:
    above = os.path.commonpath({os.path.dirname(path) for path in paths}) if paths else ""  # noqa: PTH120
    return {os.path.relpath(path, above or ".") for path in paths}


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
