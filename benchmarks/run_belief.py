"""When a gallery may be believed: cut-offs and unknown people of Market-half, against the truth.

    RESEEN_DATA=FOLDER ./dev bench belief [RUN ...]

FOLDER holds market-half. The crops of its test half, whom no encoder has learnt from, are a gallery
of an encoder (a run, or reseen-tiny), with features as they are (off) and centred by cameras that
the encoder learnt from the training half without people (deviation). Half of the test people served
to choose the constants of reseen.gallery; all rows but those of `everybody` are about the other
half.

Rows of cut-offs go to results/belief.csv. Of the half, people are drawn again and again to be a
gallery (here), some of them with names, and the cut-offs are held against all its pairs of
different people, and against those of the people who are not in it (new): `*_across` are pairs by
two cameras, of which the promise speaks, `*_within` those by one, `*_kept` the share of draws in
which the promise holds, and `*_reached` the share of pairs of one person by two cameras that reach
the cut-off. Rows of unknown people go to results/belief_unknown.csv: the pairs that proposals join.
"""

import os
import sys
from pathlib import Path

import numpy as np
from record import record

from reseen import extract, load, read
from reseen.gallery.cutoffs import TIMES, calibrate
from reseen.gallery.facts import Facts
from reseen.gallery.records import Crop
from reseen.gallery.unknown import group_unknown, label_crops
from reseen.records import camera_names, cameras_of, distinct, people_of
from reseen.training import learn_cameras

DRAWS, HERE = 3, 100
NAMED = 0, 60
RATES = 1e-3, 1e-4
SEED = 5
"""Of the halves of people."""


def main(*runs: str) -> None:
    data = read(Path(os.environ["RESEEN_DATA"]) / "market-half")
    images = distinct(data.query, data.gallery)
    for run in runs or ("reseen-tiny",):
        encoder = load(run)
        learn_cameras(encoder, data)
        plain, found = extract(encoder, images)
        who, cameras = people_of(found), cameras_of(found)
        names = camera_names(found, data.cameras)
        assert encoder.camera_statistics
        for centring in ("off", "deviation"):
            rows = encoder.camera_statistics.centred(plain, names, centring)
            about = dict(encoder=Path(run).name, centring=centring)
            measure(f"./dev bench belief {about['encoder']}", about, rows, who, cameras)


def measure(command: str, about: dict, rows, who, cameras) -> None:
    everybody = np.unique(who)
    proof = np.random.default_rng(SEED).permutation(everybody)[len(everybody) // 2 :]
    for people, some in ("half", proof), ("everybody", everybody):
        kept = np.isin(who, some)
        found = unknown(rows[kept], who[kept], cameras[kept])
        print(about, people, found, flush=True)
        record("belief_unknown", command, **about, people=people, **found)
    for rate in RATES:
        for named in ("everybody", *NAMED):
            every = named == "everybody"
            draws = range(1 if every else DRAWS)
            figures = [
                cutoffs(rows, who, cameras, everybody if every else proof, rate, named, draw)
                for draw in draws
            ]
            means = {key: mean([f[key] for f in figures]) for key in figures[0]}
            print(about, rate, named, means, flush=True)
            said = dict(people="everybody" if every else "half", named=0 if every else named)
            record("belief", command, **about, **said, draws=len(draws), asked=rate, **means)


def cutoffs(rows, who, cameras, people, rate, named, draw) -> dict[str, float]:
    """Calibrate a gallery of people that are drawn, and hold it against the truth."""
    drawn = np.random.default_rng(draw).permutation(people)
    here = np.isin(who, drawn if named == "everybody" else drawn[:HERE])
    new = np.isin(who, people) & ~here
    names = () if named == "everybody" else drawn[:named]
    facts = known(who[here], cameras[here], names)
    found = calibrate(rows[here], facts, false_match_rate=rate)
    figures = {
        "crops": here.sum(),
        "promised": found.numbers["false_match_rate"],
        "by_names": float("named people" in found.source.split(":")[0]),
        "raised": float("raised" in found.source),
        "same": found.same,
        "maybe": found.maybe,
    }
    for place, some in ("here", here), ("new", new):
        for name, cut in ("same", found.same), ("maybe", found.maybe):
            promised = figures["promised"] * (TIMES if name == "maybe" else 1)
            shares = reach(rows[some], who[some], cameras[some], cut)
            figures |= {f"{place}_{name}_{key}": share for key, share in shares.items()}
            kept = shares["across"] <= promised if some.any() else np.nan
            figures[f"{place}_{name}_kept"] = float(kept)
    return figures


def mean(values: list[float]) -> str:
    """Write the mean of what is known, or nothing."""
    found = [value for value in values if not np.isnan(value)]
    return f"{np.mean(found):.3g}" if found else ""


def known(who, cameras, names) -> Facts:
    """Say what a gallery knows: cameras, and who some people are."""
    n, place = len(who), {person: i for i, person in enumerate(names)}
    return Facts(
        names=tuple(str(person) for person in names),
        people=np.array([place.get(person, -1) for person in who]),
        cameras=cameras,
        times=np.full(n, np.nan),
        frames=np.full(n, -1),
        boxes=np.full((n, 4), np.nan),
        tracklets=np.full(n, -1),
        ignored=np.zeros(n, bool),
        denied=np.empty((0, 2), np.int64),
    )


def reach(rows, who, cameras, cut) -> dict[str, float]:
    """Give the shares of pairs that reach a cut-off."""
    hits, counts = np.zeros((2, 3))
    for i in range(len(rows) - 1):
        near = rows[i + 1 :] @ rows[i] >= cut
        one, apart = who[i + 1 :] == who[i], cameras[i + 1 :] != cameras[i]
        for kind, pairs in enumerate((~one & apart, ~one & ~apart, one & apart)):
            hits[kind] += near[pairs].sum()
            counts[kind] += pairs.sum()
    shares = hits / counts if len(rows) else np.full(3, np.nan)
    return dict(zip(("across", "within", "reached"), shares.tolist(), strict=True))


def unknown(rows, who, cameras) -> dict[str, object]:
    """Hold the pairs that proposals join against the truth."""
    facts = known(who, cameras, ())
    crops = [Crop(f"{i:06}", str(c), added=i) for i, c in enumerate(cameras)]
    groups = group_unknown(rows, facts, label_crops(rows, crops))
    right, joined, true = np.zeros((3, 2))
    for i in range(len(rows)):
        together = (groups[i + 1 :] == groups[i]) & (groups[i] >= 0)
        one, apart = who[i + 1 :] == who[i], cameras[i + 1 :] != cameras[i]
        for kind, pairs in enumerate((np.ones(len(one), bool), apart)):
            right[kind] += (together & one & pairs).sum()
            joined[kind] += (together & pairs).sum()
            true[kind] += (one & pairs).sum()
    precision, recall = right / joined, right / true
    return {
        "crops": len(rows),
        "shown": len(np.unique(who)),
        "proposals": len(np.unique(groups[groups >= 0])),
        "in_none": f"{(groups < 0).mean():.3f}",
        **{
            f"{name}{where}": f"{value:.3f}"
            for name, values in (("precision", precision), ("recall", recall))
            for where, value in zip(("", "_across"), values, strict=True)
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
