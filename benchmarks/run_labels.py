"""What settings that depend on the images of a person make of untrained features: fixed and auto.

    ./dev bench labels DATA [STEP]

DATA is read as by `reseen train`; of its people every STEP-th is taken (1: all). reseen-tiny makes
the features. One row each for the labels of DAAL, ADTC and BUC: as fixed in the paper or in earlier
settings of minutes, automatic by the estimated images a person, and automatic by the true ones. The
merges of BUC are all made at once, without training between them. Rows go to
benchmarks/results/labels.csv.
"""

import sys
from pathlib import Path

import numpy as np
from record import record

import reseen
from reseen.cluster.bottom_up import merge, nearer_share
from reseen.cluster.density import DensitySettings
from reseen.cluster.survey import survey
from reseen.cluster.two_stage import two_stage
from reseen.engine.auto import RULES
from reseen.metrics.agreement import agreement
from reseen.records import PseudoLabels

FIXED = {"share": 1.6e-3, "clusters": 500, "p": 8, "merge_rate": 0.14}


def main(data: str, step: str = "1") -> None:
    train = reseen.read(Path(data)).train
    kept = sorted({image.person for image in train})[:: int(step)]
    images = [image for image in train if image.person in kept]
    features, images = reseen.extract(reseen.load("reseen-tiny"), images, quiet=True)
    people = np.array([image.person for image in images])
    choices = {"fixed": (None, FIXED)}
    for name, given in (("auto", None), ("given", len(images) / len(kept))):
        found = survey(features, per_person=given)
        choices[name] = found.per_person, {key: RULES[key](found)[0] for key in FIXED}
    for name, (per_person, values) in choices.items():
        for method, (labels, stops) in labelled(features, **values).items():
            quality = agreement(labels, people)
            told = {key: quality[key] for key in ("precision", "recall", "pairwise_f")}
            told |= {"clusters": labels.clusters, "noise": labels.noise, "stops": stops}
            told = {key: f"{value:.4g}" for key, value in told.items()}
            command = f"./dev bench labels {Path(data).name} {step}"
            about = {"images": len(images), "people": len(kept), "per_person": per_person or ""}
            record("labels", command, **about, method=method, settings=name, **told)
            print(name, per_person, method, told, flush=True)


def labelled(features, share, clusters, p, merge_rate) -> dict[str, tuple[PseudoLabels, int]]:
    """Group features (N, D) in three ways, and give the round at which BUC would stop, or 0."""
    n, ids, ended = len(features), np.arange(len(features)), 0
    rounds = int(1 / merge_rate) - 2
    for number in range(1, rounds + 1):
        weights, drawn = np.ones(1, np.float32), np.random.default_rng(number)
        merged, limit = merge(features[None], weights, ids, int(n * merge_rate), size_weight=0.005)
        ids = merged.ids
        if not ended and nearer_share(features[None], weights, limit, drawn) > 0.01:
            ended = number
    sought = dict(clusters=clusters, p=p, k1=20, k2=6, seed=np.random.default_rng(0))
    return {
        f"daal, share {share:.4g}": (DensitySettings(eps=0.0, share=share).label(features), 0),
        f"adtc, clusters {clusters}, p {p}": (two_stage(features, **sought), 0),
        f"buc, merge_rate {merge_rate:.4g}, {rounds} rounds": (PseudoLabels(ids), ended),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
