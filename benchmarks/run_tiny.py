"""The start that ships: `reseen-tiny`, trained on invented people only.

    ./dev bench tiny [seed]

Draws two towns of 400 people, each seen by 12 cameras, trains the small network on everybody in
them from random weights, and puts it, in half precision, where the package looks for it. The run
stays in runs/tiny and goes on where it stopped. Where RESEEN_DATA names a folder with market-half,
its transfer to those real cameras is measured beside that of the random start.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from record import record

from reseen import Dataset, EncoderSettings, evaluate, train
from reseen.data.invented import invent
from reseen.data.reading import read
from reseen.engine.progress import Screen
from reseen.methods.supervised import Supervised
from reseen.nets import backbones
from reseen.nets.encoder import build, save

RUNS = Path("runs/tiny")
TOWNS = {"town-a": 101, "town-b": 102}


def main(seed: str = "0") -> None:
    everybody = []
    for offset, (town, number) in enumerate(TOWNS.items()):
        folder = RUNS / town
        if not folder.exists():
            sizes = dict(people=200, cameras=12, views=2, seed=number)
            invent(folder, **sizes, town=town, track=Screen().track(f"drawing {town}"))
        found = read(folder)
        everybody += [
            replace(image, person=image.person + 1000 * offset, camera=image.camera + 100 * offset)
            for image in found.train + found.query + found.gallery
            if image.person > 0
        ]
    method = Supervised(
        encoder=EncoderSettings(backbone=backbones.TINY, weights="none", height=128, width=64),
        epochs=18,
        people=32,
        rate=7e-4,
        warm_up=2,
        rate_steps=(11, 16),
    )
    data = Dataset("two invented towns", RUNS, tuple(everybody))
    encoder = train(method, data, RUNS / f"run-{seed}", seed=int(seed))
    parts = save(encoder)
    parts["encoder"] = {
        name: value.half() if value.is_floating_point() else value
        for name, value in parts["encoder"].items()
    }
    torch.save(parts, backbones.TINY_WEIGHTS)
    figures = {"bytes": backbones.TINY_WEIGHTS.stat().st_size}
    if "RESEEN_DATA" in os.environ:
        test = Path(os.environ["RESEEN_DATA"]) / "market-half"
        for name, judged in (("random", build(method.encoder)), ("trained", encoder)):
            found = evaluate(judged, test).summary()
            figures |= {f"{name}_{k}": f"{found[k]:.4f}" for k in ("mAP", "rank1")}
    record("tiny", f"./dev bench tiny {seed}", people=800, images=len(everybody), **figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
