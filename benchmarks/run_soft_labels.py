"""DAAL's soft labels on a small town: which scale of distances and which share of pairs they need.

    ./dev bench soft_labels [SEED]

The towns and the start are those of run_attention: 60 people to learn without labels and 60 of
town-b as the source, reseen-tiny, 48 steps on the source and two rounds of 48 steps.
"""

import sys

from record import record
from run_attention import RUNS, SHORT, START, town

import reseen
from reseen.engine.folder import read_metrics
from reseen.engine.settings import varied
from reseen.engine.variants import pick
from reseen.methods import METHODS
from reseen.published import VARIANTS

TRIED = {
    "hard": ("hard", {}),
    "pooled": ("soft", dict(normalised=False)),
    "unit": ("soft", dict(normalised=False, unit=True)),
    "normalised": ("soft", {}),
    "hard, published share": ("hard", dict(share=1.6e-3)),
}


def main(seed: str = "0") -> None:
    learnt, source = town(5), town(7, "town-b")
    for name, (variant, changes) in TRIED.items():
        changes = {
            **pick(VARIANTS["daal"], variant).settings,
            **START,
            **SHORT["daal"],
            "rounds": 2,
            **changes,
        }
        run = RUNS / f"soft-labels-{name.replace(', ', '-').replace(' ', '-')}-{seed}"
        given = dict(source=source, seed=int(seed), evaluate_every=1)
        reseen.train(varied(METHODS["daal"](), changes), learnt, run, **given)
        rows = read_metrics(run)
        shown = {f"mAP_{row['round']}": f"{row['mAP']:.4f}" for row in rows}
        shown |= {f"noise_{row['round']}": f"{row['noise']:.4f}" for row in rows[2:]}
        told = f"./dev bench soft_labels {seed}"
        record("soft_labels", told, labels=name, seed=seed, **shown)


if __name__ == "__main__":
    main(*sys.argv[1:])
