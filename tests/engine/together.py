"""What tests do in one process and in two: `python -m tests.engine.together JOB` is one of two.

A start costs seconds, so that one pair of processes does all of it, and leaves what it saw in
`rank0.pt` and `rank1.pt`.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist

from reseen import parts
from reseen.cli import main as command
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine import processes
from reseen.engine.progress import Screen
from reseen.engine.run import Run
from reseen.errors import ReseenError
from reseen.memory.clusters import ClusterMemory
from reseen.memory.hybrid import HybridMemory
from reseen.memory.instances import InstanceMemory
from reseen.memory.proxies import CameraProxies
from reseen.memory.table import LookupTable
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings
from reseen.training import train
from tests.conftest import small, sources

NORMED = EncoderSettings(
    **dict(backbone="resnet18", weights="none", height=48, width=24, pooling="mean", last_stride=2),
    options={"layers": "(1, 1, 1, 1)", "channels": "(8, 8, 16, 16)", "zero_init_last": "False"},
)
"""A small encoder with batch norm."""

FEW: dict[str, dict] = {
    "adtc": dict(epochs=1, rounds=2, iterations=2),
    "daal": dict(epochs=1, rounds=2, iterations=2, pretrain=1, rate=1e-4, head_rate=1e-4),
    "ssl": dict(rounds=1, batch=24, rate=1e-3),
    "buc": dict(merge_rate=0.3, batch=24, rate=1e-3),
    "supervised": dict(epochs=2, people=8, views=4),
}
"""Rounds and steps: few, as rounding grows from step to step."""
HALF = {"ssl": 12, "buc": 12, "supervised": 16, "daal": 8}
"""Half of a batch, 8 of those of the others."""
UNEVEN = dict(people=5, views=3)
"""Batches of 15: 8 images for one process, 7 for the other."""

MEMORIES = {
    ClusterMemory: "centres",
    HybridMemory: "rows",
    InstanceMemory: "rows",
    CameraProxies: "centres",
    LookupTable: "rows",
}


def method(name: str = "cluster-contrast", encoder: dict | None = None, **changes):
    """Make a method that learns in few steps, on NORMED with other settings."""
    few = FEW.get(name, dict(epochs=2, iterations=2)) | changes
    return small(name, encoder=replace(NORMED, **(encoder or {})), **few)


def learn(learner: Any, data, folder: Path, **options: Any) -> SimpleNamespace:
    """Train; give the weights, the memories after the last step, and what was said."""
    memories, said = {}, []

    def watched(kind: type, attribute: str) -> Callable:
        update = kind.update

        def look(self, *args):
            update(self, *args)
            memories[kind.__name__] = getattr(self, attribute).clone()

        return look

    patches = [patch.object(kind, "update", watched(kind, name)) for kind, name in MEMORIES.items()]
    patches.append(patch.object(Screen, "say", lambda self, text: said.append(text)))
    for one in patches:
        one.start()
    try:
        encoder = train(learner, data, folder, evaluate_every=0, quiet=True, **options)
    finally:
        for one in patches:
            one.stop()
    return SimpleNamespace(weights=encoder.state_dict(), memories=memories, said=said)


def stop_after(number: int):
    """Have runs stop as by Ctrl-C once a round is kept."""
    finish = Run._finish

    def stop(self, *args, **named):
        finish(self, *args, **named)
        if self.round == number:
            raise KeyboardInterrupt

    return patch.object(Run, "_finish", stop)


def fails(work: Callable[[], Any]) -> str:
    """Say which error of the package some work ends with."""
    try:
        work()
    except ReseenError as error:
        return f"{type(error).__name__}: {error}"
    return ""


@dataclass(frozen=True)
class Alone:
    """A method that steps down the gradient by itself."""

    rate: float = 0.1

    def fit(self, images, run):
        encoder = run.build(NORMED)
        crops = run.load(images, encoder)
        for _ in run.rounds(1, encoder=encoder):
            drawn = parts.epoch_batches(len(crops), 16, 1, run.rng("batches"))
            for _, pixels in parts.augmented(run, encoder, crops, drawn, parts.AugmentSettings()):
                loss = -encoder.pool(pixels).square().mean()
                loss.backward()
                with torch.no_grad():
                    for weight in encoder.backbone.parameters():
                        weight -= self.rate * weight.grad / weight.grad.norm().clamp(min=1e-9)
        return encoder


def work(job: dict[str, str], rank: int) -> dict[str, Any]:
    """Do all that the tests look at, with another process."""
    town, other, changed, out = (Path(job[name]) for name in ("town", "other", "changed", "out"))
    data, labelled = read(town), read(other)
    seen: dict[str, Any] = {
        name: learn(method(name), data, out / name, **sources(name, labelled)) for name in METHODS
    }
    plain = method()
    seen["synced"] = learn(method(encoder=dict(sync_norm=True)), data, out / "synced")
    seen["uneven"] = learn(method(**UNEVEN), data, out / "uneven")
    seen["from disk"] = learn(plain, data, out / "from-disk", loading=Loading(memory=0))
    grouped = method(encoder=dict(ghost_group=8))
    seen["adapted"] = learn(grouped, data, out / "adapted", adapt_norm=True)
    with stop_after(1), suppress(KeyboardInterrupt):
        learn(grouped, data, out / "stopped")
    seen["resumed"] = learn(grouped, data, Path(job["begun"]))
    seen["first"] = processes.once(lambda: rank)
    seen["all"] = processes.everywhere(rank)
    seen["errors"] = [
        fails(lambda: processes.once(read, out / "nowhere")),
        fails(lambda: train(plain, data, out / "seeds", seed=rank, quiet=True)),
        fails(lambda: train(plain, read((town, changed)[rank]), out / "pictures", quiet=True)),
        fails(lambda: train(Alone(), data, out / "alone", quiet=True)),
    ]
    return seen


def main(job: dict[str, str], rank: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    with processes.group(dist.FileStore(job["store"], 2), rank, 2):
        torch.save(work(job, rank), Path(job["out"]) / f"rank{rank}.pt")
        words = [
            "train",
            "cluster-contrast",
            job["town"],
            "--out",
            str(Path(job["out"]) / "broken"),
        ]
        if rank == 1:  # one of them fails, and the other one waits for it
            with patch.object(Run, "load", side_effect=ReseenError("the disk of one is full")):
                command([*words, "--encoder.weights", "none"])
        command([*words, "--encoder.weights", "none"])


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(given, int(given["rank"]))
