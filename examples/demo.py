"""The first look: an invented town, learnt without labels on a CPU, in about a minute.

    ./dev demo [FOLDER]

Draws people who do not exist, as three cameras see them, trains Cluster Contrast on their pictures
from random weights, and searches for other people of the same town before and after.
"""

import sys
from pathlib import Path

import reseen
from reseen.data.invented import invent
from reseen.engine.run import read_metrics


def main(folder: Path = Path("runs/demo")) -> None:
    town, run = folder / "town", folder / "run"
    if not town.exists():
        print(f"drawing 24 invented people, and 24 others to search for, in {town}")
        invent(town, people=24, cameras=3, views=4, seed=1, height=64, width=32)
    settings = reseen.ClusterContrast(
        encoder=reseen.EncoderSettings(
            backbone="resnet10t", weights="none", height=64, width=32, last_stride=2
        ),
        augment=reseen.AugmentSettings(pad=4),
        epochs=8,
        iterations=15,
        people=8,
        views=4,
        k1=10,
        k2=2,
        min_samples=2,
    )
    reseen.train(settings, town, run, evaluate_every=4)
    rows = read_metrics(run)
    print(f"mAP before: {rows[0]['mAP']:.1%}, after: {rows[-1]['mAP']:.1%}, without any label")
    print(f"The same command goes on with {run} or, when it is done, only reads it.")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
