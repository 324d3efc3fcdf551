"""What centring by camera changes, without any training of its own.

    RESEEN_DATA=FOLDER ./dev bench centring [RUN ...]

FOLDER holds market-half. An encoder (a run, or reseen-tiny, which ships) learns the cameras from
the training half, without people; then the test half is searched and the training half clustered,
plain and centred. Rows go to results/centring.csv: mAP and rank-1, the same re-ranked, and for each
eps precision, recall and F of pairs of one cluster, and the share of true pairs by two cameras that
are in one cluster.
"""

import os
import sys
from pathlib import Path

import numpy as np
from record import record

from reseen import extract, load, read
from reseen.cluster.density import DensitySettings
from reseen.kernels.centring import CENTRINGS
from reseen.records import cameras_of, people_of
from reseen.training import compare, learn_cameras

EPS = 0.5, 0.55


def main(*runs: str) -> None:
    data = read(Path(os.environ["RESEEN_DATA"]) / "market-half")
    people, cameras = people_of(data.train), cameras_of(data.train)
    for run in runs or ("reseen-tiny",):
        encoder = load(run)
        learn_cameras(encoder, data)
        plain, reranked = (compare(encoder, data, CENTRINGS, rerank=r) for r in (False, True))
        features, _ = extract(encoder, data.train)
        for how in CENTRINGS:
            figures = {"encoder": Path(run).name, "centring": how}
            for name, rankings in (("", plain), ("reranked_", reranked)):
                numbers = rankings[how].summary()
                figures |= {f"{name}{key}": f"{numbers[key]:.4f}" for key in ("mAP", "rank1")}
            for eps in EPS:
                ids = DensitySettings(eps=eps, centring=how).label(features, cameras).ids
                found = pairs_joined(ids, people, cameras)
                figures |= {f"{name}_{eps}": f"{value:.3f}" for name, value in found.items()}
            record("centring", f"./dev bench centring {run}", **figures)


def pairs_joined(ids: np.ndarray, people: np.ndarray, cameras: np.ndarray) -> dict[str, float]:
    """Hold the pairs that clusters join against the truth."""
    right = joined = true = across = crossing = 0
    for i in range(len(ids)):
        together = (ids[i + 1 :] == ids[i]) & (ids[i] >= 0)
        same = people[i + 1 :] == people[i]
        other = same & (cameras[i + 1 :] != cameras[i])
        right += (together & same).sum()
        joined += together.sum()
        true += same.sum()
        crossing += (together & other).sum()
        across += other.sum()
    precision, recall = right / joined, right / true
    f = 2 * precision * recall / (precision + recall)
    return dict(precision=precision, recall=recall, f=f, cross_camera=crossing / across)


if __name__ == "__main__":
    main(*sys.argv[1:])
