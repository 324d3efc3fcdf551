"""The first look: an invented town, learnt without labels on a CPU, in a few minutes.

    ./dev demo [FOLDER]

Draws people who do not exist, as four cameras see them, trains Cluster Contrast on their pictures
from random weights, searches for other people of the same town before and after, and writes what
was found as a page. Run again, it goes on where it stopped, or only writes the page anew.
"""

import sys
import time
from pathlib import Path

import torch

import reseen
from reseen.data.invented import Difficulty, invent
from reseen.engine.progress import Screen, duration
from reseen.nets.encoder import build
from reseen.report.ranked import write_ranked

EASY = Difficulty(camera_gap=0.3, look_alikes=0.1, occlusion=0.1, box_error=0.2)


def main(folder: Path = Path("runs/demo")) -> None:
    began = time.monotonic()
    town, run = folder / "town", folder / "run"
    if not town.exists():
        sizes = dict(people=64, cameras=4, views=4, seed=1, height=64, width=32)
        invent(town, **sizes, difficulty=EASY, track=Screen().track("drawing invented people"))
    settings = reseen.ClusterContrast(
        encoder=reseen.EncoderSettings(
            backbone="reseen-tiny", weights="none", height=64, width=32, last_stride=2
        ),
        augment=reseen.AugmentSettings(pad=4),
        epochs=20,
        iterations=30,
        views=4,
        k1=16,
        k2=4,
        rate=1e-3,
        rate_step=15,
    )
    after = reseen.train(settings, town, run, seed=0)
    torch.manual_seed(0)
    before = build(settings.encoder)
    data = reseen.read(town)
    found = {
        title: reseen.evaluate(encoder, data, quiet=True)
        for title, encoder in (("before", before), ("after", after))
    }
    page = folder / "ranked.html"
    write_ranked(page, data, found)
    gain = ", ".join(f"{title} {result.mean_ap:.1%}" for title, result in found.items())
    print(f"mAP without any label: {gain}, in {duration(time.monotonic() - began)}")
    print(f"Look at {page.resolve()}: the crops that it finds most alike.")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
