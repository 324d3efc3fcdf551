"""Are invented people a fair stand-in? The same figures of a real and an invented site.

    RESEEN_DATA=FOLDER ./dev bench invented market-half|town-a|town-b [rounds] [start]

FOLDER holds market-half and weights. Measured at 128 x 64 with SqueezeNet from ImageNet, or from
reseen-tiny if that is the start: mAP and rank-1 untrained and after supervised training on the
set's own training people, the mean cosine distance of four kinds of pairs in the gallery,
untrained, and the share of rank-1 errors that show somebody by the query's own camera. Towns have
200 people to learn from, 200 to judge by, 6 cameras.
"""

import os
import sys
from pathlib import Path

import numpy as np
from record import errors_in_camera, record

import reseen
from reseen.data.invented import invent
from reseen.engine.progress import Screen
from reseen.methods.supervised import Supervised
from reseen.nets.encoder import build

RUNS = Path("runs/invented")
IMAGENET = "weights/squeezenet1_1_imagenet.pth"


STARTS = {
    "squeezenet": dict(backbone="squeezenet1_1", last_stride=2),
    "reseen-tiny": dict(backbone="reseen-tiny"),
}


def main(site: str, rounds: str = "24", start: str = "squeezenet") -> None:
    real = Path(os.environ["RESEEN_DATA"])
    folder = real / site if site == "market-half" else RUNS / site
    if not folder.exists():
        invent(folder, seed=1, town=site, track=Screen().track("drawing"))
    data = reseen.read(folder)
    weights = str(real / IMAGENET) if start == "squeezenet" else "timm"
    last = int(rounds)
    method = Supervised(
        encoder=reseen.EncoderSettings(height=128, width=64, weights=weights, **STARTS[start]),
        epochs=last,
        warm_up=3,
        rate_steps=(last * 2 // 3, last * 11 // 12),
    )
    figures = untrained(method, data)
    encoder = reseen.train(method, data, RUNS / f"{site}-{start}-{rounds}", evaluate_every=0)
    result = reseen.evaluate(encoder, data)
    figures |= {"supervised_mAP": result.mean_ap, "supervised_rank1": result.cmc(1)}
    shown = {name: f"{value:.3f}" for name, value in figures.items()}
    command = f"./dev bench invented {site} {rounds} {start}"
    record("invented", command, site=site, start=start, rounds=rounds, **shown)


def untrained(method: Supervised, data: reseen.Dataset) -> dict[str, float]:
    encoder = build(method.encoder).eval()
    result = reseen.evaluate(encoder, data)
    known = [image for image in data.gallery if image.person > 0]
    drawn = np.random.default_rng(0).permutation(len(known))[:2500]
    features, images = reseen.extract(encoder, [known[i] for i in drawn])
    person = np.array([image.person for image in images])
    place = np.array([image.camera for image in images])
    pairs = np.triu_indices(len(images), 1)
    far = 1 - (features @ features.T)[pairs]
    same, near = ((x[:, None] == x)[pairs] for x in (person, place))
    return {
        "untrained_mAP": result.mean_ap,
        "untrained_rank1": result.cmc(1),
        "errors_in_camera": errors_in_camera(result, data),
        "same_person_in_camera": far[same & near].mean(),
        "same_person_cross_camera": far[same & ~near].mean(),
        "others_in_camera": far[~same & near].mean(),
        "others_cross_camera": far[~same & ~near].mean(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
