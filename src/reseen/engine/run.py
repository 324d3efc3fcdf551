"""The folder of a run: what it was asked, what it measured, and where to go on from.

    run.json           method, settings, seed, data, device, environment
    images.txt         the training images, in the order of the pseudo-labels
    metrics.jsonl      one line a round; round 0 is the untrained encoder
    source.txt         the images of a source, where there is one
    labels/0001.npy    the pseudo-labels of round 1 (int64, -1 is noise)
    checkpoints/last.pt, best.pt

A round counts once `last.pt` holds it. Everything a round writes before that is written again by
the run that resumes, so a run may be killed at any moment. `last.pt` also holds what is in run.json
and metrics.jsonl, which are written again from it when they are damaged, and checksums of the
training images, so that other pictures under the same names are noticed.
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import numpy as np
import torch

from reseen.data.loading import Crops, Loading
from reseen.engine.device import Device
from reseen.engine.evaluate import Judge
from reseen.engine.extract import load
from reseen.engine.files import LOCK, written
from reseen.engine.progress import QUIET, Screen, Track, duration
from reseen.errors import (
    CheckpointError,
    ClusteringError,
    DataError,
    ReseenError,
    SettingsError,
    counted,
)
from reseen.metrics.agreement import stability
from reseen.nets import encoder as encoders
from reseen.nets.backbones import TINY
from reseen.nets.encoder import Encoder
from reseen.records import Image, PseudoLabels

Settings = TypeVar("Settings")

METRICS = "metrics.jsonl"
IMAGES, SOURCE = "images.txt", "source.txt"
_WRITTEN = re.compile(
    r"(run\.json|metrics\.jsonl|images\.txt|source\.txt|labels/\d{4,}\.npy"
    r"|checkpoints/(last|best)\.pt)(\.tmp)?"
)
"""Every file that a run writes into its folder."""


class Run:
    """A run folder at work; a method asks it for crops, chance, rounds and a place to write.

    Args:
        folder: made if it is not there; one that holds the same run is gone on with.
        facts: what makes the run what it is (method, settings, data); JSON values.
        seed: root of every random draw.
        device: where to compute.
        judge: tells how good encoders and labels are; None where no truth is known.
        evaluate_every: rounds between two searches; 0 searches only after the last.
        loading: how pictures are read.
        screen: where to say how it goes.
        start: checkpoint whose encoder the run begins with.
        images: what it is to learn from, to name pictures that have come or gone since it began.

    Raises:
        SettingsError: the folder holds another run, or something else.
        CheckpointError: its run.json is damaged or not of a run.
    """

    def __init__(
        self,
        folder: Path,
        facts: dict[str, Any] | None = None,
        *,
        seed: int = 0,
        device: Device | None = None,
        judge: Judge | None = None,
        evaluate_every: int = 5,
        loading: Loading | None = None,
        screen: Screen = QUIET,
        start: Path | None = None,
        images: Sequence[Image] = (),
    ):
        self.folder = folder
        self.seed = check_seed(seed)
        self.device = (device or Device()).resolve()
        self.screen = screen
        self.round = 0
        self._judge = judge
        self._evaluate_every = evaluate_every
        self._loading = loading
        self._start = start
        self._images: tuple[Image, ...] = ()
        self._checksums: dict[str, torch.Tensor] = {}
        self._labels: PseudoLabels | None = None
        self._numbers: dict[str, float] = {}
        self._ended = False
        if evaluate_every < 0:
            raise SettingsError(f"evaluate_every is {evaluate_every}. Use 0 or more.")
        facts = {**(facts or {}), "seed": self.seed, "precision": self.device.precision}
        self._claim(json.loads(json.dumps(facts, default=str)), images)

    def load(self, images: tuple[Image, ...], encoder: Encoder) -> Crops:
        """Read the training images at the size of the encoder, and note their order.

        Raises:
            DataError: pictures cannot be read, or are not those that the run learnt from so far.
        """
        chance = partial(self.rng, "frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        self._images = crops.images
        return self._note(IMAGES, crops)

    def load_source(self, images: tuple[Image, ...], encoder: Encoder) -> Crops:
        """Read images of a source, whose people are known: no pseudo-labels are theirs."""
        chance = partial(self.rng, "source_frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        return self._note(SOURCE, crops)

    def rng(self, purpose: str) -> np.random.Generator:
        """Give the generator of one purpose in this round: the same in every run of this seed."""
        return np.random.default_rng([self.seed, self.round, *purpose.encode()])

    def build(self, settings: encoders.EncoderSettings) -> Encoder:
        """Make an encoder, or take up the one of the last checkpoint, and place it.

        Random weights are drawn from the run's seed; a file of weights is read at the start only.
        """
        torch.manual_seed(self.seed)
        path = checkpoint(self.folder, "last")
        if path.exists():
            encoder = encoders.load(path)
        elif self._start is not None:
            encoder = encoders.start(settings, self._start)
        else:
            encoder = encoders.build(settings)
        shipped = settings.backbone == "auto" and encoder.settings.backbone == TINY
        if shipped and self._start is None:
            self.screen.say(
                "ImageNet weights of ResNet-50 cannot be had here, so this run starts from "
                f"{TINY}, which has seen invented people only. To start elsewhere: "
                "--encoder.backbone, --encoder.weights."
            )
        return self.device.place(encoder)

    def rounds(self, total: int, *, encoder: Encoder, **parts: Any) -> Iterator[int]:
        """Count the rounds that are still to do, 0-based, keeping all parts after each.

        Args:
            total: rounds in all.
            encoder: what the run results in; it is what is judged.
            parts: everything else that the next round depends on; each with `state_dict` and
                `load_state_dict`.

        Yields:
            The number of rounds already done.
        """
        parts = {"encoder": encoder, **parts}
        done = self._restore(parts, total)
        if not done and self._judge and self._judge.can_search:
            self._numbers = {"round": 0}
            self.log(**self._search(encoder))
            self._record()
            self.screen.say(_sentence(self._numbers, total, None))
        began = time.monotonic()
        for self.round in range(done + 1, total + 1):
            if self._ended:
                break
            self._numbers = {"round": self.round}
            self.screen.begin_round(self.round, total, self._searching(total))
            torch.manual_seed(int(self.rng("torch").integers(2**62)))
            started = time.monotonic()
            yield self.round - 1
            self.log(round_seconds=time.monotonic() - started)
            self._finish(parts, last=self._ended or self.round == total)
            left = (time.monotonic() - began) / (self.round - done) * (total - self.round)
            self.screen.say(_sentence(self._numbers, total, left))

    def label(
        self,
        labels: PseudoLabels,
        explain: Callable[[], str] = lambda: "Cluster less strictly, or begin with better weights.",
    ) -> None:
        """Keep the pseudo-labels of this round and measure them.

        Args:
            labels: (N,) in the order of the training images.
            explain: gives a sentence on why there are so few clusters and what to do, which is
                asked for only where a round has fewer than two.

        Raises:
            ClusteringError: there are fewer than two clusters; nothing that was kept is lost.
        """
        with written(_label_file(self.folder, self.round)) as file:
            np.save(file, labels.ids)
        self.log(clusters=labels.clusters, noise=labels.noise)
        if self._judge:
            self.log(**self._judge.labels(self._images, labels))
        before = self._labels_before()
        if before is not None:
            self.log(stability=stability(before, labels))
        self._labels = labels
        if labels.clusters < 2:
            self._record()
            raise ClusteringError(
                f"Round {self.round} found {counted(labels.clusters, 'cluster')} among "
                f"{counted(len(labels.ids), 'image')} ({labels.noise:.0%} noise), too few to "
                f"learn from. {explain()} Everything up to round {self.round - 1} "
                f"is kept in {self.folder}."
            )

    def settle(self, method: Settings, encoder: Encoder, crops: Crops) -> Settings:
        """Give a method numbers for what it says is auto; says them, and why."""
        return method

    def neighbours(self, found: np.ndarray) -> None:
        """Hold the images (N, k) found for each training image against the truth, where known."""
        if self._judge:
            self.log(**self._judge.neighbours(self._images, found))

    def end(self, why: str) -> None:
        """Make this round the last, whatever was planned."""
        self._ended = True
        self.screen.say(f"round {self.round} is the last: {why}")

    def log(self, **numbers: float) -> None:
        """Add numbers to this round's line in metrics.jsonl; what is not a number is left out."""
        for name, number in numbers.items():
            if isfinite(number):
                self._numbers[name] = number if isinstance(number, int) else round(float(number), 6)

    def track(self, what: str) -> Track:
        """Give a wrapper for loops that shows progress and logs the seconds of this stage."""
        wrap = self.screen.track(what)

        def timed(items: Iterable, total: int) -> Iterator:
            began = time.monotonic()
            yield from wrap(items, total)
            self.log(**{f"{what}_seconds": time.monotonic() - began})

        return timed

    def _note(self, name: str, crops: Crops) -> Crops:
        """Keep which pictures a run reads, in their order, once they are those of before."""
        path = checkpoint(self.folder, "last")
        state = encoders.read_checkpoint(path, mapped=True) if path.exists() else {}
        sums = torch.from_numpy(crops.checksums)
        before = state.get("checksums", {}).get(name, sums)
        wrong = ""
        if len(before) != len(sums) or (
            name == IMAGES and state.get("images", digest(crops.images)) != digest(crops.images)
        ):
            wrong = _changes(read_paths(self.folder, name), [i.path for i in crops.images])
        elif other := [str(crops.images[i].path) for i in (before != sums).nonzero().flatten()]:
            wrong = f"{len(other)} have other contents under the same names ({_some(other)})"
        if wrong:
            raise DataError(
                f"The run in {self.folder} learnt from other images than those that can be read "
                f"now ({len(crops)}): {wrong}. Bring the old ones back, or give a new folder."
            )
        self._checksums[name] = sums
        paths = (f"{image.path.as_posix()}\n" for image in crops.images)
        _write(self.folder / name, "".join(paths))
        return crops

    def _search(self, encoder: Encoder) -> dict[str, float]:
        began = time.monotonic()
        assert self._judge is not None
        ranking = self._judge.search(encoder)
        return {**ranking.summary(), "searching_seconds": time.monotonic() - began}

    def _searching(self, total: int) -> float:
        """Estimate the seconds that all searches still take, each like the last one."""
        name = "searching_seconds"
        took = [row[name] for row in read_metrics(self.folder) if name in row]
        every = self._evaluate_every or total
        searches = total // every - (self.round - 1) // every + (total % every > 0)
        return took[-1] * searches if took else 0.0

    def _finish(self, parts: dict[str, Any], last: bool) -> None:
        due = self._evaluate_every and self.round % self._evaluate_every == 0
        if self._judge and self._judge.can_search and (due or last):
            self.log(**self._search(parts["encoder"]))
        if not all(bool(weight.isfinite().all()) for weight in parts["encoder"].parameters()):
            raise ReseenError(
                f"Weights became infinite in round {self.round}, which is not kept. Start again "
                "with a lower rate or with device.precision float32."
            )
        rows = self._record()
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= encoders.save(parts["encoder"]) | {"images": digest(self._images)}
        state |= {"ended": self._ended, "metrics": rows, "checksums": self._checksums}
        state["facts"] = json.dumps(self._facts)
        self._save("last", state)
        self._keep_if_best(parts["encoder"])

    def _keep_if_best(self, encoder: Encoder) -> None:
        rows = [row for row in read_metrics(self.folder) if 0 < row["round"] <= self.round]
        judged = [row for row in rows if "mAP" in row]
        if judged and max(judged, key=lambda row: row["mAP"])["round"] == self.round:
            self._save("best", encoders.save(encoder))

    def _record(self) -> list[dict[str, float]]:
        rows = [row for row in read_metrics(self.folder) if row["round"] < self._numbers["round"]]
        return self._write_metrics([*rows, self._numbers])

    def _write_metrics(self, rows: list[dict[str, float]]) -> list[dict[str, float]]:
        _write(self.folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def _save(self, which: str, state: dict[str, Any]) -> None:
        with written(checkpoint(self.folder, which)) as file:
            torch.save({"round": self.round, **state}, file)

    def _restore(self, parts: dict[str, Any], total: int) -> int:
        path = checkpoint(self.folder, "last")
        if not path.exists():
            return 0
        state = encoders.read_checkpoint(path)
        if state.get("round", 0) not in range(1, total + 1):
            why = f"its round is {state.get('round')!r}, of {total}"
            raise CheckpointError(encoders.damaged(path, why))
        for name, part in parts.items():
            if name not in state:
                raise CheckpointError(f"{path} holds no {name}. It belongs to another method.")
            try:
                part.load_state_dict(state[name])
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                why = f"its {name} does not fit: {error!r:.200}"
                raise CheckpointError(encoders.damaged(path, why)) from error
        self.round, self._ended = state["round"], state.get("ended", False)
        self._mend_metrics(state.get("metrics"))
        self._keep_if_best(parts["encoder"])
        self.screen.say(f"going on after round {self.round}")
        return self.round

    def _mend_metrics(self, kept: list[dict[str, float]] | None) -> None:
        """Write metrics.jsonl again where it has lost what the checkpoint knows."""
        rows, damaged = _metrics(self.folder)
        known = [row for row in rows if row["round"] <= self.round]
        if kept is not None and (damaged or known != kept):
            self._write_metrics(kept)
            self.screen.say(f"{METRICS} was damaged: it is written again from last.pt")
        elif damaged:
            self.screen.say(f"{damaged} damaged lines of {METRICS} are left out")

    def _labels_before(self) -> PseudoLabels | None:
        if self._labels is None:
            try:
                before = read_labels(self.folder, self.round - 1)
            except CheckpointError as error:  # they only measure
                before = None
                self.screen.say(f"{error} This round is not compared with the one before.")
            kept = before is not None and len(before.ids) == len(self._images)
            self._labels = before if kept else None
        return self._labels

    def _claim(self, facts: dict[str, Any], images: Sequence[Image]) -> None:
        path, here = self.folder / "run.json", environment()
        kept = self._kept_facts()
        try:
            before = read_facts(self.folder) if kept or path.exists() else {}
        except CheckpointError:
            if not kept:
                raise
            before = kept
            _write(path, json.dumps(kept, indent=2) + "\n")
            self.screen.say(f"{path} was damaged: it is written again from last.pt")
        if before and checkpoint(self.folder, "last").exists():
            lines = _differences(before, facts)
            if lines:
                paths = [image.path for image in images]
                if paths and any(line.startswith("data.train:") for line in lines):
                    lines.append("pictures: " + _changes(read_paths(self.folder), paths))
                raise SettingsError(
                    f"{self.folder} holds another run:\n  " + "\n  ".join(lines) + "\n"
                    "Ask for the same to go on with it, or give a new folder."
                )
            if before.get("environment") != here:
                self.screen.say("this run began with other versions or threads: it may end apart")
            self._facts = before
            return
        self._clear(before)
        self._facts = {**facts, "device": asdict(self.device), "environment": here}
        _write(path, json.dumps(self._facts, indent=2) + "\n")

    def _kept_facts(self) -> dict[str, Any]:
        """Give what the last checkpoint knows of run.json; nothing where it cannot be read."""
        try:
            state = encoders.read_checkpoint(checkpoint(self.folder, "last"), mapped=True)
            return json.loads(state.get("facts", "{}"))
        except (CheckpointError, OSError):
            return {}

    def _clear(self, before: dict[str, Any]) -> None:
        """Remove what a run without a finished round has left; refuse files that no run wrote."""
        names = {
            path.relative_to(self.folder).as_posix(): path
            for path in self.folder.rglob("*")
            if not path.is_dir()
        }
        names = {name: path for name, path in names.items() if name not in _LEFT}
        ours = {name: path for name, path in names.items() if _WRITTEN.fullmatch(name)}
        foreign = [name for name in names if name not in ours and not name.startswith(".")]
        if not before and names.keys() - {"run.json.tmp"}:
            raise SettingsError(f"{self.folder} is not empty and holds no run. Give a new folder.")
        if foreign or "reseen" not in before.get("environment", {"reseen": 1}):
            raise SettingsError(
                f"{self.folder} holds a run without a finished round, and files of something else "
                f"({_some(foreign or ['run.json'])}). Move them away, or give a new folder."
            )
        stale = [path for name, path in ours.items() if not name.startswith("run.json")]
        for path in stale:
            path.unlink()
        if stale:
            self.screen.say(
                f"{self.folder} holds a run without a finished round: it begins anew, and "
                f"{len(stale)} files that it had written are removed "
                f"({_some(path.name for path in stale)})"
            )


_LEFT = (LOCK, "table.json")
"""Files in a run's folder that say nothing about what it learnt, and are left alone."""


def check_seed(seed: int) -> int:
    """Give a seed back as an int.

    Raises:
        SettingsError: it is not a whole number that numpy and torch both take.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise SettingsError(f"seed is {seed}. Use a whole number from 0 to {2**63 - 1}.")
    return int(seed)


def environment() -> dict[str, Any]:
    """Say what a result may depend on besides its settings."""
    packages = ("reseen", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "numba")
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        **{name: version(name) for name in packages},
    }


def digest(images: tuple[Image, ...], *, people: bool = False) -> str:
    """Give a short name to a set of images, whatever their order and wherever they lie together.

    Args:
        images: N records.
        people: whether it matters who they are.
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


def read_facts(folder: Path) -> dict[str, Any]:
    """Read what a run was asked.

    Raises:
        CheckpointError: the folder holds no run, or its run.json is damaged.
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
            f"{path} is damaged or not of a run of this package ({wrong}). Bring back a copy of "
            "it, or give another folder; a checkpoint can be used without it."
        )
    return facts


def _wrong(facts: Any) -> str:
    """Say what about the content of a run.json cannot be, or nothing."""
    if not isinstance(facts, dict):
        return f"it holds {facts!r:.40}"
    for name, (kinds, needed) in _FACTS.items():
        if needed and name not in facts:
            return f"it says no {name}"
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
    "source": (dict | None, False),
    "start": (str | None, False),
}
"""What run.json holds, of which kind, and whether each run has it."""


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Read the lines of a run's metrics, one a round, in order; `damaged_metrics` are left out."""
    return _metrics(folder)[0]


def damaged_metrics(folder: Path) -> int:
    """Count the lines of a run's metrics that cannot be understood."""
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


def last_round(folder: Path) -> int:
    """Tell which round a run's last checkpoint is of: 0 before the first one is finished."""
    path = checkpoint(folder, "last")
    return encoders.read_checkpoint(path, mapped=True).get("round", 0) if path.exists() else 0


def read_paths(folder: Path, name: str = IMAGES) -> list[Path]:
    """Read which images a run learns from, N paths as they were given, in the order of its labels.

    Empty before the run has read them.
    """
    path = folder / name
    if not path.exists():
        return []
    return [Path(line) for line in os.fsdecode(path.read_bytes()).split("\n")[:-1]]


def read_labels(folder: Path, number: int) -> PseudoLabels | None:
    """Read the pseudo-labels (N,) of a round, or None where it made none.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = _label_file(folder, number)
    if not path.exists():
        return None
    try:
        ids = np.load(path)
        if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or ids.ndim != 1:
            raise ValueError("no labels")
        return PseudoLabels(ids)
    except PermissionError:
        raise
    except Exception as error:  # damage can make numpy raise nearly anything
        raise CheckpointError(f"{path} is damaged. Remove it to go without it.") from error


def checkpoint(folder: Path, which: str) -> Path:
    """Give the file of a run's `last` round, which is its result, or of its `best` one."""
    return folder / "checkpoints" / f"{which}.pt"


def _label_file(folder: Path, number: int) -> Path:
    return folder / "labels" / f"{number:04d}.npy"


def _write(path: Path, text: str) -> None:
    with written(path) as file:
        file.write(os.fsencode(text))


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name what a run is asked now that it was not asked before, one line each."""
    lines = []
    for name, new in now.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            inside = dict.fromkeys([*old, *new])
            both = ({key: part.get(key) for key in inside} for part in (old, new))
            lines += [f"{name}.{line}" for line in _differences(*both)]
        elif old == new or (name == "start" and _same_place(old, new)):
            continue
        elif name in ("train", "test"):
            lines.append(f"{name}: other pictures, cameras, times or people than before")
        else:
            hint = f" (--device.precision {old} keeps it)" if name == "precision" else ""
            lines.append(f"{name}: {old} there, {new} now{hint}")
    return lines


def _same_place(one: Any, other: Any) -> bool:
    told = isinstance(one, str) and isinstance(other, str)
    return told and Path(one).resolve() == Path(other).resolve()


def _changes(before: Sequence[Path], now: Sequence[Path]) -> str:
    """Name pictures that have gone or come, wherever all of them lie together."""
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


_SHOWN = (
    ("loss", "{:.3f}"),
    ("clusters", "{}"),
    ("noise", "{:.0%}"),
    ("nmi", "{:.3f}"),
    ("stability", "{:.2f}"),
    ("mAP", "{:.1%}"),
    ("rank1", "{:.1%}"),
)


def _sentence(numbers: dict[str, float], total: int, left: float | None) -> str:
    parts = [f"{name} {form.format(numbers[name])}" for name, form in _SHOWN if name in numbers]
    if left:
        parts.append(f"{duration(left)} left")
    return f"round {numbers['round']}/{total}: " + ", ".join(parts)
