"""The folder of a run: what it was asked, what it measured, and where to go on from.

    run.json           method, settings, seed, data, device, environment
    images.txt         the training images, in the order of the pseudo-labels
    metrics.jsonl      one line a round; round 0 is the untrained encoder
    source.txt         the images of a source, where there is one
    labels/0001.npy    the pseudo-labels of round 1 (int64, -1 is noise)
    checkpoints/last.pt, best.pt

A round counts once `last.pt` holds it. Everything a round writes before that is written again by
the run that resumes, so a run may be killed at any moment.
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

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

METRICS = "metrics.jsonl"


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

    Raises:
        SettingsError: the folder holds another run.
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
    ):
        self.folder = folder
        self.seed = seed
        self.device = (device or Device()).resolve()
        self.screen = screen
        self.round = 0
        self._judge = judge
        self._evaluate_every = evaluate_every
        self._loading = loading
        self._start = start
        self._images: tuple[Image, ...] = ()
        self._labels: PseudoLabels | None = None
        self._numbers: dict[str, float] = {}
        self._ended = False
        if seed < 0 or evaluate_every < 0:
            raise SettingsError(
                f"seed is {seed} and evaluate_every is {evaluate_every}. Use 0 or more."
            )
        facts = {**(facts or {}), "seed": seed, "precision": self.device.precision}
        self._claim(json.loads(json.dumps(facts, default=str)))

    def load(self, images: tuple[Image, ...], encoder: Encoder) -> Crops:
        """Read the training images at the size of the encoder, and note their order."""
        chance = partial(self.rng, "frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        self._images = crops.images
        _write(self.folder / "images.txt", _paths(crops))
        return crops

    def load_source(self, images: tuple[Image, ...], encoder: Encoder) -> Crops:
        """Read images of a source, whose people are known: no pseudo-labels are theirs."""
        chance = partial(self.rng, "source_frames")
        crops = load(images, encoder, self._loading, self.screen, chance)
        _write(self.folder / "source.txt", _paths(crops))
        return crops

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
        done = self._restore(parts)
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
            self.screen.begin_round(self.round, total)
            torch.manual_seed(int(self.rng("torch").integers(2**62)))
            started = time.monotonic()
            yield self.round - 1
            self.log(round_seconds=time.monotonic() - started)
            self._finish(parts, last=self._ended or self.round == total)
            left = (time.monotonic() - began) / (self.round - done) * (total - self.round)
            self.screen.say(_sentence(self._numbers, total, left))

    def label(self, labels: PseudoLabels, explain: Callable[[], str]) -> None:
        """Keep the pseudo-labels of this round and measure them.

        Args:
            labels: (N,) in the order of the training images.
            explain: says what the distances look like, for a round without two clusters.

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
            if number == number:  # not NaN
                self._numbers[name] = number if isinstance(number, int) else round(float(number), 6)

    def track(self, what: str) -> Track:
        """Give a wrapper for loops that shows progress and logs the seconds of this stage."""
        wrap = self.screen.track(what)

        def timed(items: Iterable, total: int) -> Iterator:
            began = time.monotonic()
            yield from wrap(items, total)
            self.log(**{f"{what}_seconds": time.monotonic() - began})

        return timed

    def _search(self, encoder: Encoder) -> dict[str, float]:
        began = time.monotonic()
        assert self._judge is not None
        ranking = self._judge.search(encoder)
        return {**ranking.summary(), "searching_seconds": time.monotonic() - began}

    def _finish(self, parts: dict[str, Any], last: bool) -> None:
        due = self._evaluate_every and self.round % self._evaluate_every == 0
        if self._judge and self._judge.can_search and (due or last):
            self.log(**self._search(parts["encoder"]))
        if not all(bool(weight.isfinite().all()) for weight in parts["encoder"].parameters()):
            raise ReseenError(
                f"Weights became infinite in round {self.round}, which is not kept. Start again "
                "with a lower rate or with device.precision float32."
            )
        self._record()
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= encoders.save(parts["encoder"]) | {"images": digest(self._images)}
        state["ended"] = self._ended
        self._save("last", state)
        self._keep_if_best(parts["encoder"])

    def _keep_if_best(self, encoder: Encoder) -> None:
        rows = [row for row in read_metrics(self.folder) if 0 < row["round"] <= self.round]
        judged = [row for row in rows if "mAP" in row]
        if judged and max(judged, key=lambda row: row["mAP"])["round"] == self.round:
            self._save("best", encoders.save(encoder))

    def _record(self) -> None:
        rows = [row for row in read_metrics(self.folder) if row["round"] < self._numbers["round"]]
        lines = (json.dumps(row) + "\n" for row in [*rows, self._numbers])
        _write(self.folder / METRICS, "".join(lines))

    def _save(self, which: str, state: dict[str, Any]) -> None:
        with written(checkpoint(self.folder, which)) as file:
            torch.save({"round": self.round, **state}, file)

    def _restore(self, parts: dict[str, Any]) -> int:
        path = checkpoint(self.folder, "last")
        if not path.exists():
            return 0
        state = encoders.read_checkpoint(path)
        if state.get("images") != digest(self._images):
            raise DataError(
                f"The run in {self.folder} learnt from other images than those that can be read "
                f"now ({len(self._images)}). Bring them back, or give a new folder."
            )
        for name, part in parts.items():
            if name not in state:
                raise CheckpointError(f"{path} holds no {name}. It belongs to another method.")
            part.load_state_dict(state[name])
        self.round, self._ended = state["round"], state.get("ended", False)
        self._keep_if_best(parts["encoder"])
        self.screen.say(f"going on after round {self.round}")
        return self.round

    def _labels_before(self) -> PseudoLabels | None:
        if self._labels is None:
            before = read_labels(self.folder, self.round - 1)
            kept = before is not None and len(before.ids) == len(self._images)
            self._labels = before if kept else None
        return self._labels

    def _claim(self, facts: dict[str, Any]) -> None:
        path, here = self.folder / "run.json", environment()
        if path.exists() and checkpoint(self.folder, "last").exists():
            before = read_facts(self.folder)
            wrong = [key for key in facts if before.get(key) != facts[key]]
            if wrong:
                raise SettingsError(_difference(self.folder, wrong, before, facts))
            if before.get("environment") != here:
                self.screen.say("this run began with other versions or threads: it may end apart")
            return
        found = {item.name for item in self.folder.iterdir()} if self.folder.exists() else set()
        if not path.exists() and found - {"run.json.tmp", LOCK}:
            raise SettingsError(f"{self.folder} is not empty and holds no run. Give a new folder.")
        (self.folder / METRICS).unlink(missing_ok=True)  # nothing learnt yet: nothing to keep
        facts = {**facts, "device": asdict(self.device), "environment": here}
        _write(path, json.dumps(facts, indent=2) + "\n")


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
        CheckpointError: the folder holds no run.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no run (no run.json). Give a folder made by train.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}). Give another folder.") from error


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Read the lines of a run's metrics, one a round, in order."""
    path = folder / METRICS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def last_round(folder: Path) -> int:
    """Tell which round a run's last checkpoint is of: 0 before the first one is finished."""
    path = checkpoint(folder, "last")
    return encoders.read_checkpoint(path, mapped=True)["round"] if path.exists() else 0


def read_paths(folder: Path) -> list[Path]:
    """Read which images a run learns from, N paths as they were given, in the order of its labels.

    Empty before the run has read them.
    """
    path = folder / "images.txt"
    if not path.exists():
        return []
    return [_path(line) for line in os.fsdecode(path.read_bytes()).split("\n")[:-1]]


def read_labels(folder: Path, number: int) -> PseudoLabels | None:
    """Read the pseudo-labels (N,) of a round, or None where it made none."""
    path = _label_file(folder, number)
    return PseudoLabels(np.load(path)) if path.exists() else None


def checkpoint(folder: Path, which: str) -> Path:
    """Give the file of a run's `last` round, which is its result, or of its `best` one."""
    return folder / "checkpoints" / f"{which}.pt"


def _label_file(folder: Path, number: int) -> Path:
    return folder / "labels" / f"{number:04d}.npy"


def _paths(crops: Crops) -> str:
    return "".join(f"{_line(image.path.as_posix())}\n" for image in crops.images)


def _line(path: str) -> str:
    """Write a path in a line, as a JSON string where it has line ends."""
    return json.dumps(path) if re.search(r'[\r\n]|^"', path) else path


def _path(line: str) -> Path:
    try:
        return Path(json.loads(line) if line.startswith('"') else line)
    except ValueError:
        return Path(line)


def _write(path: Path, text: str) -> None:
    with written(path) as file:
        file.write(os.fsencode(text))


def _difference(folder: Path, keys: list[str], before: dict, now: dict) -> str:
    lines = []
    for key in keys:
        old, new = before.get(key), now[key]
        if isinstance(old, dict) and isinstance(new, dict):
            keys_inside = sorted(k for k in old | new if old.get(k) != new.get(k))
            lines += [f"{key}.{k}: {old.get(k)} there, {new.get(k)} now" for k in keys_inside]
        else:
            lines.append(f"{key}: {old} there, {new} now")
    return (
        f"{folder} holds another run:\n  " + "\n  ".join(lines) + "\n"
        "Ask for the same to go on with it, or give a new folder."
    )


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
