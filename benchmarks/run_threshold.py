"""What a report says of a threshold, with and without labels, against the truth.

    RESEEN_DATA=FOLDER ./dev bench threshold [SITE ...]

FOLDER holds market-half. Of its training half some people are drawn, an encoder learns their crops
without labels, and for each rate of false matches the threshold that a report suggests is compared
with what is true of pairs by two cameras: among these crops (these), and among people of the test
half, whom the encoder has never seen (new); beside it stands what would be told if each cluster
were a person (clusters). The same is done with the threshold that unlabelled
crops of these new people give (fresh). Half of the people are drawn again and again to count how
often the promise holds among them (halves). Labels are tried as well: people are drawn, the
report's way is gone with their crops alone, and it is counted how often what is true of everybody
lies in the ranges that it tells. Rows go to results/threshold.csv; runs stay in runs/ and continue
where they stopped.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import record

from reseen import Dataset, EncoderSettings, Image, extract, method, read, train
from reseen.engine.folder import read_metrics
from reseen.errors import SettingsError
from reseen.metrics.operating import (
    bound_threshold,
    measure_threshold,
    pairs_of_anybody,
    pairs_with_truth,
)
from reseen.records import cameras_of, distinct, people_of
from reseen.report.evidence import Evidence
from reseen.report.threshold import Known, draw_pairs, suggest

SMALL = dict(epochs=8, iterations=15, people=32, views=4, k1=10, k2=4, eps=0.5)
SITES = {
    "60-people": (dict(people=60, crops=9, seed=0), SMALL),
    "150-people": (dict(people=150, crops=0, seed=1), SMALL),
    "376-people": (
        dict(people=376, crops=0, seed=0),
        SMALL | dict(k1=20, k2=6, eps=0.55, iterations=30),
    ),
}
RATES = 0.1, 0.01, 0.001
NEW = dict(people=200, crops=4, seed=0)
"""People of the test half."""

LABELLED, DRAWS = 100, 20
"""People that are labelled, half of all at most; how often people are drawn."""


def main(*sites: str) -> None:
    data = read(Path(os.environ["RESEEN_DATA"]) / "market-half")
    rng = np.random.default_rng(0)
    new = [image for image in distinct(data.query, data.gallery) if (image.person or 0) > 0]
    new = drawn(tuple(new), **NEW)
    for site in sites or SITES:
        which, settings = SITES[site]
        crops = drawn(data.train, **which)
        people = {image.path: image.person for image in crops}
        blind = tuple(replace(image, person=None) for image in crops)
        seen = Dataset(site, data.root, blind)
        encoder = EncoderSettings(backbone="reseen-tiny", height=128, width=64, last_stride=1)
        run = Path("runs") / f"threshold-{site}"
        learner = method("cluster-contrast", encoder=encoder, **settings)
        learnt = train(learner, seen, run, evaluate_every=0)
        evidence = Evidence(run, seen)
        pairs, found = draw_pairs(evidence), read_metrics(run)[-1]
        who = np.array([people[image.path] for image in evidence.learnt.images])
        here = evidence.learnt.features, who, cameras_of(evidence.learnt.images)
        features, images = extract(learnt, new)
        assert evidence.learnt.labels
        truths = {
            "these": pairs_with_truth(*here, rng),
            "clusters": pairs_with_truth(here[0], evidence.learnt.labels.ids, here[2], rng),
            "new": pairs_with_truth(features, people_of(images), cameras_of(images), rng),
        }
        for rate in RATES:
            try:
                distance = suggest(pairs, rate).distance
            except SettingsError:
                continue
            figures = {"distance": f"{distance:.4f}", "promised": rate}
            for name, truth in truths.items():
                at = measure_threshold(distance, truth.same, truth.different, resamples=1)
                figures |= {f"{name}_false": f"{at.false_matches:.5f}"}
                figures |= {f"{name}_misses": f"{at.misses:.3f}"}
            distances, _ = pairs_of_anybody(features, cameras_of(images), rng)
            fresh, truth = bound_threshold(distances, rate).distance, truths["new"]
            at = measure_threshold(fresh, truth.same, truth.different, resamples=1)
            figures |= {"fresh_distance": f"{fresh:.4f}", "fresh_false": f"{at.false_matches:.5f}"}
            figures |= subsets(*here, rate, rng)
            figures |= labelled(*here, rate, rng)
            about = dict(site=site, images=len(who), clusters=found["clusters"])
            print(site, figures, flush=True)
            record("threshold", f"./dev bench threshold {site}", **about, **figures)


def drawn(images: tuple[Image, ...], people: int, crops: int, seed: int) -> tuple[Image, ...]:
    """Draw people, and so many crops of each, or all if 0."""
    rng = np.random.default_rng(seed)
    ordered = sorted(images, key=lambda image: image.path.name)
    ids = people_of(ordered)
    kept: list[int] = []
    for person in np.sort(rng.permutation(np.unique(ids))[:people]):
        own = np.flatnonzero(ids == person)
        kept += np.sort(rng.permutation(own)[:crops] if crops else own).tolist()
    return tuple(ordered[i] for i in kept)


def subsets(features, people, cameras, rate, rng) -> dict[str, Any]:
    """Draw half of the people again and again, and count how often the promise holds."""
    everybody, shares = np.unique(people), []
    for _ in range(DRAWS):
        some = np.isin(people, rng.permutation(everybody)[: len(everybody) // 2])
        given = features[some], cameras[some], rng
        try:
            distance = bound_threshold(pairs_of_anybody(*given)[0], rate).distance
        except SettingsError:
            break
        truth = pairs_with_truth(features[some], people[some], cameras[some], rng)
        shares.append((truth.different <= distance).mean())
    if not shares:
        return {"halves_kept": "", "halves_false": ""}
    kept = np.mean(np.array(shares) <= rate)
    return {"halves_kept": kept, "halves_false": f"{np.mean(shares):.5f}"}


def labelled(features, people, cameras, rate, rng) -> dict[str, Any]:
    """Label some people, and count how often what is true of all lies in the ranges told."""
    every = pairs_with_truth(features, people, cameras, rng)
    everybody = np.unique(people)
    count = min(LABELLED, len(everybody) // 2)
    rows = []
    for _ in range(DRAWS):
        some = np.isin(people, rng.permutation(everybody)[:count])
        pairs = pairs_with_truth(features[some], people[some], cameras[some], rng)
        try:
            told = suggest(Known("", pairs, None), rate)
        except SettingsError:
            break
        true = measure_threshold(told.distance, every.same, every.different, resamples=1)
        (low, high), (least, most) = told.false_matches_range, told.misses_range
        false, misses = true.false_matches, true.misses
        rows.append([false, low <= false <= high, misses, least <= misses <= most, most - least])
    names = "false", "false_inside", "misses", "misses_inside", "misses_width"
    means = np.mean(rows, 0).round(5) if rows else [""] * len(names)
    return {"labelled": count} | {f"labelled_{n}": m for n, m in zip(names, means, strict=True)}


if __name__ == "__main__":
    main(*sys.argv[1:])
