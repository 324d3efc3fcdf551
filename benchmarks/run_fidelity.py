"""What a repaired idea of a paper is worth: both sides of each, on Market-half, in minutes a run.

    RESEEN_DATA=FOLDER ./dev bench fidelity               all ideas, seeds 0 and 1
    RESEEN_DATA=FOLDER ./dev bench fidelity D3-mla D5 1   some of them, seed 1 alone

FOLDER holds market-half (NOT the published protocol, see run_market_half.py), cuhk03-source and
weights; town-a is drawn where it is named. All runs see 128 x 64 pixels at last stride 1. Small
runs of few rounds say whether an idea can act, not how good it is: two seeds lie up to 3 mAP apart.

A row of results/fidelity.csv is one side of an idea with one seed; runs whose row is there are not
done again, and a run that was stopped begins anew. Several calls with other ideas may run at once.
"""

import csv
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import RESULTS, record
from run_methods import folder

import reseen
from reseen.engine.folder import read_facts, read_metrics
from reseen.engine.settings import varied
from reseen.methods import METHODS

Side = dict[str, Any]
"""Settings by their flat names, and arguments of `reseen.train` (ARGUMENTS)."""

ARGUMENTS = ("adapt_norm", "images_per_person")

TINY: Side = {"encoder.backbone": "reseen-tiny"}
LITE: Side = {
    "encoder.backbone": "efficientnet_lite0",
    "encoder.weights": "weights/efficientnet_lite0_imagenet.pth",
    "encoder.mean": (127 / 255,) * 3,
    "encoder.std": (128 / 255,) * 3,
}
SHOWN: Side = {"encoder.height": 128, "encoder.width": 64, "encoder.last_stride": 1}

# About 15,000 images for reseen-tiny in three rounds, and 6,400 for EfficientNet-Lite0 in two
CLUSTER_CONTRAST: Side = dict(epochs=3, iterations=40, people=16, views=8, eps=0.55)
CONSLEARN: Side = dict(epochs=3, iterations=20, people=16, views=8, eps=0.55, mean_momentum=0.95)
MLA: Side = dict(epochs=3, iterations=50, people=8, views=8, eps=0.55, rate=3.5e-4)
ADTC: Side = dict(rounds=3, epochs=1, iterations=25, clusters=500, p=8)
SSL: Side = dict(first=1, rounds=2, epochs=1)
DAAL: Side = dict(
    **dict(pretrain=2, rounds=2, epochs=2, iterations=100, normalised=True),
    **dict(rate=0.015, head_rate=0.015, rate_hold=2),
)
AS_BEFORE: Side = dict(new_rate=1.0, gate_rate=1.0, new_decay=1.0)
"""New layers and gates learn and decay as everything else."""


@dataclass(frozen=True, kw_only=True)
class Idea:
    """What is compared: a method, what all sides share, and what each changes."""

    method: str
    shared: Side
    sides: Mapping[str, Side]
    data: str = "market-half"
    source: str = ""


IDEAS: Mapping[str, Idea] = {
    "D1-mla": Idea(
        method="mla",
        shared=LITE | MLA | dict(epochs=2),
        sides={
            "no attention": dict(levels="none"),
            "gate as before": dict(gate=True, **AS_BEFORE),
            "gate": dict(gate=True),
        },
    ),
    "D1-adtc": Idea(
        method="adtc",
        shared=LITE | ADTC | dict(rounds=2),
        sides={
            "no attention": dict(attention="none"),
            "gate as before": dict(gate=True, **AS_BEFORE),
            "gate": dict(gate=True),
        },
    ),
    "D3-cluster-contrast": Idea(
        method="cluster-contrast",
        shared=TINY | CLUSTER_CONTRAST,
        sides={f"group {n}": {"encoder.ghost_group": n} for n in (0, 64)},
    ),
    "D3-mla": Idea(
        method="mla",
        shared=TINY | MLA,
        sides={f"group {n}": {"encoder.ghost_group": n} for n in (0, 32)},
    ),
    "D4": Idea(
        method="mla",
        shared=TINY | MLA,
        sides={
            "mean, momentum 0.1": {"encoder.pooling": "mean", "memory_momentum": 0.1},
            "gem, momentum 0.2": {"encoder.pooling": "gem", "memory_momentum": 0.2},
        },
    ),
    "D5": Idea(
        method="daal",
        shared=TINY | DAAL,
        sides={"share 0.0016": dict(share=1.6e-3), "share auto": dict(share="auto")},
        source="cuhk03-source",
    ),
    "D5-town": Idea(
        method="daal",
        shared=TINY | DAAL,
        sides={"share 0.0016": dict(share=1.6e-3), "share auto": dict(share="auto")},
        data="town-a",
        source="cuhk03-source",
    ),
    "D6": Idea(
        method="conslearn",
        shared=TINY | CONSLEARN,
        sides={
            "no consistency": dict(consistency_weight=0.0),
            "as printed": {},
            "normal start": dict(projection_init="normal"),
            "unit, 0.1": dict(projection_unit=True, projection_temperature=0.1),
            "unit, 0.05": dict(projection_unit=True, projection_temperature=0.05),
            "unit, 0.01": dict(projection_unit=True, projection_temperature=0.01),
        },
    ),
    "D13": Idea(
        method="adtc",
        shared=TINY | ADTC | dict(iterations=40),
        sides={
            "M 500, p 8": dict(clusters=500, p=8),
            "M and p auto": dict(clusters="auto", p="auto"),
        },
    ),
    "D13-town": Idea(
        method="adtc",
        shared=TINY | ADTC | dict(iterations=40),
        sides={
            "M 500, p 8": dict(clusters=500, p=8),
            "M and p auto": dict(clusters="auto", p="auto"),
        },
        data="town-a",
    ),
    "D15": Idea(
        method="ssl",
        shared=TINY | SSL,
        sides={
            "behind the neck": dict(mining_vector="neck"),
            "pooled": dict(mining_vector="pooled"),
        },
    ),
    "adapt-norm": Idea(
        method="cluster-contrast",
        shared=TINY | CLUSTER_CONTRAST,
        sides={"off": {}, "on": dict(adapt_norm=True)},
    ),
}


def main(*words: str) -> None:
    names = [word for word in words if not word.isdecimal()] or list(IDEAS)
    seeds = [word for word in words if word.isdecimal()] or ["0", "1"]
    if unknown := set(names) - set(IDEAS):
        sys.exit(f"No idea is called {', '.join(unknown)}. There are: {', '.join(IDEAS)}.")
    for name in names:  # a name that is wrong is said before the first run
        for side in IDEAS[name].sides:
            method_of(IDEAS[name], side)
    for name in names:
        for seed in seeds:
            for side in IDEAS[name].sides:
                if (name, side, seed) not in done():
                    told = f"./dev bench fidelity {name} {seed}"
                    key = {"idea": name, "side": side, "seed": seed}
                    record("fidelity", told, **key, **measure(IDEAS[name], side, int(seed)))


def method_of(idea: Idea, side: str, **more: Any) -> Any:
    """Make the method of one side of an idea, and change more settings of it."""
    changes = {**SHOWN, **idea.shared, **idea.sides[side], **more}
    if weights := changes.get("encoder.weights"):
        changes["encoder.weights"] = str(Path(os.environ["RESEEN_DATA"]) / weights)
    changes = {key: value for key, value in changes.items() if key not in ARGUMENTS}
    return varied(METHODS[idea.method](), changes)


def measure(idea: Idea, side: str, seed: int) -> dict[str, Any]:
    """Train one side of an idea, and say how it began and ended."""
    given = {key: value for key, value in idea.sides[side].items() if key in ARGUMENTS}
    if idea.source:
        given["source"] = reseen.read(folder(idea.source))
    lite = idea.shared["encoder.backbone"] != "reseen-tiny"  # whose bfloat16 is slow on a CPU
    device = reseen.Device(precision="float32" if lite else "bfloat16")
    method, failed, began = method_of(idea, side), "", time.process_time()
    with tempfile.TemporaryDirectory() as place:
        run = Path(place)
        data = reseen.read(folder(idea.data))
        given |= dict(seed=seed, evaluate_every=0, device=device)
        try:
            reseen.train(method, data, run, **given)
        except reseen.ClusteringError as error:
            failed = str(error).split(".")[0]
        rows, facts = read_metrics(run), read_facts(run)
    before, after = (row := [row for row in rows if "mAP" in row])[0], row[-1]
    logged = {k: v for k, v in rows[-1].items() if k.startswith(("gate", "loss", "noise", "eps"))}
    return {
        "method": idea.method,
        "backbone": idea.shared["encoder.backbone"],
        "data": idea.data,
        "source": idea.source,
        "precision": facts["precision"],
        "settings": " ".join(f"{k}={v}" for k, v in idea.sides[side].items()),
        "rounds": rows[-1]["round"],
        "untrained_mAP": f"{before['mAP']:.4f}",
        "untrained_rank1": f"{before['rank1']:.4f}",
        "last_mAP": f"{after['mAP']:.4f}",
        "last_rank1": f"{after['rank1']:.4f}",
        "logged": " ".join(f"{name} {value:.4g}" for name, value in logged.items()),
        "cpu_minutes": f"{(time.process_time() - began) / 60:.1f}",
        "failed": failed,
    }


def done() -> set[tuple[str, str, str]]:
    """Give idea, side and seed of every row that is there."""
    path = RESULTS / "fidelity.csv"
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {(row["idea"], row["side"], row["seed"]) for row in csv.DictReader(file)}


if __name__ == "__main__":
    main(*sys.argv[1:])
