"""What whitening changes, without any training of its own.

    RESEEN_DATA=FOLDER ./dev bench whitening [RUN ...]

FOLDER holds market-half, of whose training half the tuning split of run_house.py is cut: whitening
is learnt from its training images, without people, then the others are searched and the training
images clustered (k1 20, eps 0.5). Rows go to results/whitening.csv: mAP and rank-1, the same with
each camera's mean and deviation taken out before, and precision, recall and F of pairs of one
cluster.
"""

import os
import sys
from pathlib import Path

import numpy as np
from record import record
from run_centring import pairs_joined
from run_house import RUNS, view

from reseen import Dataset, extract, load, read
from reseen.cluster.density import DensitySettings
from reseen.engine.evaluate import search
from reseen.kernels.centring import centre
from reseen.kernels.whitening import whitening
from reseen.records import cameras_of, people_of

SHARES = 0, 0.25, 0.5, 0.75, 1


def main(*runs: str) -> None:
    data = read(view(read(Path(os.environ["RESEEN_DATA"]) / "market-half"), RUNS / "dev"))
    for run in runs or ("reseen-tiny",):
        encoder = load(run)
        learnt, train = extract(encoder, data.train)
        asked, images = extract(encoder, data.query + data.gallery)
        cameras, every = cameras_of(train), cameras_of(images)
        for share in SHARES:
            settings = DensitySettings(k1=20, eps=0.5, whitening=share)
            ids = settings.label(learnt, cameras).ids
            figures = {"encoder": Path(run).name, "share": share}
            figures |= searched(data, images, learnt, asked, share, "")
            # by their own statistics, which differ little from those of the training images
            centred = centre(learnt, cameras, "deviation"), centre(asked, every, "deviation")
            figures |= searched(data, images, *centred, share, "centred_")
            found = pairs_joined(ids, people_of(train), cameras)
            figures |= {name: f"{value:.3f}" for name, value in found.items()}
            record("whitening", f"./dev bench whitening {run}", **figures)


def searched(
    data: Dataset, images: tuple, learnt: np.ndarray, asked: np.ndarray, share: float, name: str
) -> dict[str, str]:
    """Whiten by features (N, D) to learn from, and search others."""
    if share:
        mean, matrix = whitening(learnt, share)
        asked = (asked - mean) @ matrix
        asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    numbers = search(data, images, asked).summary()
    return {f"{name}{key}": f"{numbers[key]:.4f}" for key in ("mAP", "rank1")}


if __name__ == "__main__":
    main(*sys.argv[1:])
