"""A process of a group that a test starts: python -m tests.engine.together STORE RANK TOWN OTHER OUT.

It does much in one go, because to start costs seconds, and leaves what it saw for the test.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from reseen.data.reading import read
from reseen.engine import processes
from reseen.memory.clusters import ClusterMemory
from reseen.memory.hybrid import HybridMemory
from reseen.memory.instances import InstanceMemory
from reseen.memory.proxies import CameraProxies
from reseen.memory.table import LookupTable
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings
from reseen.records import Dataset
from reseen.training import train
from tests.conftest import small, sources

NORMED = EncoderSettings(
    **dict(backbone="resnet18", weights="none", height=48, width=24, pooling="mean", last_stride=2),
    options={"layers": "(1, 1, 1, 1)", "channels": "(8, 8, 16, 16)", "zero_init_last": "False"},
)
"""A small encoder with batch norm."""
MEMORIES = {
    ClusterMemory: "centres",
    HybridMemory: "rows",
    InstanceMemory: "rows",
    CameraProxies: "centres",
    LookupTable: "rows",
}


FEW: dict[str, dict] = {
    "adtc": dict(epochs=1, rounds=2, iterations=2),
    "daal": dict(epochs=1, rounds=2, iterations=2, pretrain=1, rate=1e-4, head_rate=1e-4),
    "ssl": dict(rounds=1, batch=24, rate=1e-3),
    "buc": dict(merge_rate=0.3, batch=24, rate=1e-3),
    "supervised": dict(epochs=2, people=8, views=4),
}
"""Rounds and steps: few, as rounding grows from step to step."""


def tiny(name: str, **encoder):
    """Make a method that learns in two rounds of few steps, on NORMED with other settings."""
    few = FEW.get(name, dict(epochs=2, iterations=2))
    return small(name, encoder=replace(NORMED, **encoder), **few)


def learn(name: str, town: Dataset, other: Dataset, folder: Path, **encoder):
    """Train a method; give its weights, and the memories of its last step."""
    memories = {}
    kept = {kind: kind.update for kind in MEMORIES}
    for kind, attribute in MEMORIES.items():

        def update(self, *args, of=kind, attribute=attribute):
            kept[of](self, *args)
            memories[of.__name__] = getattr(self, attribute).clone()

        kind.update = update
    try:
        method = tiny(name, **encoder)
        given = sources(name, other)
        learnt = train(method, town, folder, evaluate_every=0, quiet=True, **given)
    finally:
        for kind, of in kept.items():
            kind.update = of
    return {"weights": learnt.state_dict(), "memories": memories}


def main(store: str, rank: str, town: str, other: str, out: str) -> None:
    torch.set_num_threads(1)
    seen = {}
    folder = Path(out)
    with processes.group(dist.FileStore(store, 2), int(rank), 2):
        data = read(Path(town)), read(Path(other))
        for name in sys.argv[6:] or METHODS:
            seen[name] = learn(name, *data, folder / name)
            print(name, flush=True)
    torch.save(seen, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:6])
