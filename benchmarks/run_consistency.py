"""How much of ConsLearn's gradient is its consistency loss, by what is projected and compared.

    RESEEN_DATA=FOLDER ./dev bench consistency             all sides of idea D6
    RESEEN_DATA=FOLDER ./dev bench consistency "as printed"

FOLDER holds market-half (see run_market_half.py). One round of the runs of run_fidelity.py, seed 0;
a row of results/consistency.csv is one side: the norm of the gradient of the weighted consistency
loss by all weights of the encoder, as a share of the norm of the gradient of the whole loss, the
mean of the steps.
"""

import sys
import tempfile
from pathlib import Path

import torch
from record import record
from run_fidelity import IDEAS, method_of
from run_methods import folder

import reseen
from reseen.methods import conslearn

IDEA = IDEAS["D6"]


def share_of(side: str) -> dict[str, str]:
    """Train one side for a round; give the share of the gradient and the loss at the end."""
    method = method_of(IDEA, side, epochs=1)
    plain, shares, losses = conslearn.step, [], []

    def measured(loss, optimizer, **terms):
        weights = [w for group in optimizer.param_groups for w in group["params"]]
        part = method.consistency_weight * terms["consistency"]
        norms = [
            torch.stack([g.norm() for g in found if g is not None]).norm()
            for found in (
                torch.autograd.grad(of, weights, retain_graph=True, allow_unused=True)
                for of in (part, loss)
            )
        ]
        shares.append(float(norms[0] / norms[1]))
        losses.append(float(terms["consistency"].detach()))
        return plain(loss, optimizer, **terms)

    conslearn.step = measured
    try:
        with tempfile.TemporaryDirectory() as place:
            device = reseen.Device(precision="bfloat16")
            data = reseen.read(folder("market-half"))
            reseen.train(method, data, Path(place), evaluate_every=0, device=device)
    finally:
        conslearn.step = plain
    return {
        "share": f"{sum(shares) / len(shares):.4%}",
        "last_share": f"{shares[-1]:.4%}",
        "last_consistency": f"{losses[-1]:.4f}",
    }


def main(*sides: str) -> None:
    for side in sides or [name for name in IDEA.sides if name != "no consistency"]:
        told = f"./dev bench consistency '{side}'"
        record("consistency", told, side=side, **share_of(side))


if __name__ == "__main__":
    main(*sys.argv[1:])
