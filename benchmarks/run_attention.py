"""Does attention look at the person? Its share on them, before and after training.

    ./dev bench attention adtc full | adtc tc-cbam | mla all-gated | daal full

Draws two towns of 60 people and 4 cameras, trains the variant from reseen-tiny on one of them, and
measures on the people of the other, by their masks: of each map, the share that lies on the person,
beside the share of area that the person covers, and mAP there. Crops have 64 x 32 pixels and are
enlarged to 128 x 64, so that maps have 8 x 4 places. Runs stay in runs/attention and go on where
they stopped. DAAL has a third town, town-b, as its source.
"""

import sys
from pathlib import Path

from record import record

import reseen
from reseen.data.invented import invent
from reseen.engine.attention import attention_on_person
from reseen.engine.extract import load
from reseen.engine.progress import Screen
from reseen.engine.settings import varied
from reseen.engine.variants import pick
from reseen.methods import METHODS
from reseen.published import VARIANTS
from reseen.training import untrained

RUNS = Path("runs/attention")
START = {"encoder.backbone": "reseen-tiny", "encoder.height": 128, "encoder.width": 64}
SHORT = {
    "adtc": dict(clusters=75, p=16, rounds=6, epochs=2, iterations=10, rate_hold=1, people=16),
    "mla": dict(epochs=5, iterations=24, eps=0.5, k1=20),
    "daal": dict(
        **dict(pretrain=1, epochs=1, rounds=4, iterations=48, share=0.015, normalised=True),
        **dict(rate=0.003, head_rate=0.003),
    ),
}
"""Schedules of minutes: 120 steps of 64 crops. 75 clusters of 960 images is about the paper's
1000 of 12,936."""


def main(name: str, variant: str) -> None:
    learnt, asked = (town(seed) for seed in (5, 6))
    changes = {**pick(VARIANTS[name], variant).settings, **START, **SHORT[name]}
    run = RUNS / f"{name}-{variant}"
    given = {"source": town(7, "town-b")} if name == "daal" else {}
    trained = reseen.train(varied(METHODS[name](), changes), learnt, run, evaluate_every=0, **given)
    start = untrained(run)
    data = reseen.read(asked)
    people = [i for i in data.train + data.query + data.gallery if (i.person or 0) > 0]
    crops = load(people, trained)
    before, after = (attention_on_person(encoder, crops, asked) for encoder in (start, trained))
    found = [reseen.evaluate(encoder, data, quiet=True).mean_ap for encoder in (start, trained)]
    for which, (share, area) in after.items():
        figures = dict(area=area, untrained=before[which][0], trained=share)
        figures |= dict(untrained_mAP=found[0], trained_mAP=found[1])
        shown = {key: f"{value:.4f}" for key, value in figures.items()}
        told = f"./dev bench attention {name} {variant}"
        record("attention", told, method=name, variant=variant, map=which, **shown)


def town(seed: int, look: str = "town-a") -> Path:
    folder = RUNS / f"town-{seed}"
    if not folder.exists():
        sizes = dict(people=60, cameras=4, seed=seed, height=64, width=32)
        invent(folder, **sizes, town=look, track=Screen().track("drawing"))
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:])
