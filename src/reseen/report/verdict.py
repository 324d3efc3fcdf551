"""The verdict on a run: whether training helped, whether to trust its clusters, what to try next.

It describes the measurements and their meaning. Without labels it reports the signs of
`engine.signs`, which may miss a failure: nothing here is a proof.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from reseen.engine.folder import read_labels, result
from reseen.engine.signs import Sign, best_round, progress, signs
from reseen.errors import counted
from reseen.records import NOISE
from reseen.report.curves import Numbers, flat, judged
from reseen.report.evidence import Evidence
from reseen.report.section import Section
from reseen.report.thumbnails import Thumbnails

NOTABLE = 0.01
"""Difference of mAP from which a run counts as better or worse."""

CROWDED = 0.2
"""Share of all images in one cluster from which a warning is given."""

LOW = 128
"""Height in pixels below which a larger input of the encoder is suggested."""

ABOUT_TRAINING = ("start", "loss")
"""The kinds of signs that are about training; the others are about clusters."""

ADVICE = 2
"""Maximum number of changes that are suggested."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Three answers, each a list of sentences, the first the shortest."""

    helped: Sequence[str]
    clusters: Sequence[str]
    advice: Sequence[str]


def judge(run: Evidence) -> Verdict:
    """Judge a run by its metrics so far; no features are computed."""
    if not run.trained:
        return Verdict(["No round is finished yet."], [], [])
    images = run.facts.get("data", {}).get("images", 0)
    found = signs(run.rows, images, expected(run), run.settings) if images else []
    training = [sign for sign in found if sign.kind in ABOUT_TRAINING]
    others = [sign for sign in found if sign.kind not in ABOUT_TRAINING]
    largest = largest_cluster(run)
    answer = helped(run.rows, training)
    chosen = best_round(run.rows)
    if chosen is not None and result(run.folder) == "chosen":
        answer.append(
            "A measure that needs no labels shows that later training did harm, so the result of "
            f"this run is the encoder after round {chosen}. Its features are shown here."
        )
    return Verdict(
        answer,
        trusted(run.rows, images, largest, others),
        advice(run, found, largest),
    )


def expected(run: Evidence) -> tuple[float, float] | None:
    """Return the expected smallest and largest number of clusters, if run.json has them."""
    bounds = run.facts.get("automatic", {}).get("survey", {}).get("clusters")
    return (bounds[0], bounds[1]) if bounds else None


def largest_cluster(run: Evidence) -> tuple[int, float]:
    """Return the size of the largest cluster of the last round with clusters, and its share."""
    for number in range(run.round, 0, -1):
        if labels := read_labels(run.folder, number):
            sizes = np.bincount(labels.ids[labels.ids != NOISE], minlength=1)
            return int(sizes.max()), float(sizes.max() / max(1, len(labels.ids)))
    return 0, 0.0


def helped(rows: Numbers, found: Sequence[Sign]) -> list[str]:
    """Say whether the search improved: by labels, or else by the signs without labels."""
    searched = [row for row in rows if "mAP" in row]
    after = searched[-1] if judged(rows) else None
    if after and searched[0]["round"] == 0:
        before, best = searched[0], max(searched, key=lambda row: row["mAP"])
        gain = after["mAP"] - before["mAP"]
        said = f"mAP went from {before['mAP']:.1%} before training to {after['mAP']:.1%} after "
        said += f"round {after['round']}"
        if "rank1" in before and "rank1" in after:
            said += f", and rank-1 from {before['rank1']:.1%} to {after['rank1']:.1%}"
        said += ", measured on the labelled queries."
        if gain <= -NOTABLE:
            words = ["No, training made it worse.", said]
            words.append("The encoder before training is better than the result of this run.")
        elif gain < NOTABLE:
            words = ["Hardly.", said, "Such a small difference may be due to chance."]
        else:
            words = ["Yes.", said]
        if best["round"] and best["mAP"] >= after["mAP"] + NOTABLE:
            words.append(
                f"Round {best['round']} reached {best['mAP']:.1%}, but it can only be chosen with "
                "these labels."
            )
        return words
    if after:
        said = f"mAP is {after['mAP']:.1%} after round {after['round']}, and the encoder was not "
        return ["Unknown.", said + "measured before training, so there is nothing to compare with."]
    words = ["This was not measured, because there are no labelled queries."]
    if found:
        return ["There are signs that it did not.", *(sign.said for sign in found), *words]
    losses = [row["loss"] for row in rows if "loss" in row]
    if len(losses) > 1:
        words.append(f"The loss went from {losses[0]:.2f} to {losses[-1]:.2f}.")
    scores = progress(rows)
    if len(scores) > 1 and scores[-1] > scores[0]:
        said = "Probably, judging by the neighbours."
        words[:0] = [said, f"Images share {scores[-1]:.0%} of their nearest neighbours with each "]
        words[1] += f"of them, {scores[0]:.0%} before training. This usually rises with mAP."
    return [*words, "No sign of a failure was found, which does not prove that training helped."]


def trusted(
    rows: Numbers, images: int, largest: tuple[int, float], found: Sequence[Sign]
) -> list[str]:
    """Describe the last clusters: by people if they are known, and by themselves."""
    last = next((row for row in reversed(rows) if "clusters" in row), None)
    if last is None:
        return ["This run made no clusters."]
    size, share = largest
    told = f"{counted(int(last['clusters']), 'cluster')}"
    told += f" of {images:,} images" if images else ""
    told += f", with {last['noise']:.0%} of the images in no cluster" if "noise" in last else ""
    told += f"; the largest holds {counted(size, 'image')} ({share:.0%})." if size else "."
    words = [told]
    if "stability" in last:
        words.append(
            "Agreement with the clusters of the previous round (adjusted Rand index): "
            f"{last['stability']:.2f}, where 1 means identical clusters."
        )
    warned = [sign.said for sign in found]
    if share >= CROWDED:
        warned.append(
            f"Unless {share:.0%} of the images show the same person, the largest cluster mixes "
            "several people."
        )
    if "precision" in last and "recall" in last:
        right, kept = last["precision"], last["recall"]
        words.append(
            f"Of all pairs of images in the same cluster, {right:.0%} show the same person "
            f"(precision). Of all pairs of images of the same person, {kept:.0%} are in the same "
            f"cluster (recall). NMI is {last['nmi']:.2f}."
        )
        if right < 0.5:
            answer = "No: most pairs of images in the same cluster show two different people."
        elif kept < 0.5:
            answer = "In part: most pairs in a cluster are right, but most people are split."
        else:
            answer = "Mostly: most pairs in a cluster are right, and most pairs are found."
        return [answer, *words, *warned]
    if warned:
        return ["Not as they are.", *warned, *words]
    return ["There is no sign against them, but this is no proof.", *words]


def advice(run: Evidence, found: Sequence[Sign], largest: tuple[int, float]) -> list[str]:
    """Suggest one or two changes: first against harm, then against the signs, then others."""
    rows = run.rows
    last: dict[str, float] = {name: value for row in rows for name, value in row.items()}
    eps, rate = number(run, "eps"), number(run, "rate")
    length = next((name for name in ("epochs", "rounds") if number(run, name) == run.round), None)
    words = []
    searched = [row for row in rows if "mAP" in row]
    trained = judged(rows)
    start = searched[0]["mAP"] if trained and searched[0]["round"] == 0 else 0.0
    if trained and trained[-1]["mAP"] <= start - NOTABLE:
        best = max(trained, key=lambda row: row["mAP"])
        if best["mAP"] >= start + NOTABLE and length:
            words.append(f"Stop earlier: --{length} {best['round']}.")
        elif rate:
            words.append(f"Halve the learning rate: --rate {rate / 2:g}.")
    words += [sign.cure for sign in found if sign.kind != "start" or not words]
    if eps and "precision" in last and "recall" in last:
        right, kept = last["precision"], last["recall"]
        if right < 0.5:
            words.append(f"Lower eps, so that fewer people share a cluster: {_eps(eps, -0.1)}.")
        elif kept < 0.5:
            words.append(f"Raise eps, so that fewer people are split: {_eps(eps, 0.1)}.")
    elif eps and largest[1] >= CROWDED:
        words.append(f"Lower eps, so that the largest cluster splits: {_eps(eps, -0.1)}.")
    if len(trained) > 1 and length and trained[-1]["mAP"] >= trained[-2]["mAP"] + NOTABLE:
        words.append(f"mAP was still rising: train longer with --{length} {2 * run.round}.")
    high, wide = number(run, "height"), number(run, "width")
    if high and wide and high < LOW:
        words.append(
            f"The encoder sees {wide:.0f} x {high:.0f} pixels (width x height). If the crops are "
            f"larger, try --encoder.height {2 * high:.0f} --encoder.width {2 * wide:.0f}."
        )
    if not searched:
        words.append(
            "Label the people in some crops, by file names or in a CSV file, and measure the mAP "
            "on them with reseen evaluate."
        )
    words = list(dict.fromkeys(words))[:ADVICE]
    return words or ["Nothing looks wrong. Still, similarity is not proof of identity."]


def number(run: Evidence, name: str) -> float | None:
    """Return a setting of a run, in any of its parts, if it is a number or was computed."""
    found = (value for key, value in flat(run.settings).items() if key.split(".")[-1] == name)
    return next((value for value in found if type(value) in (int, float)), None)


def _eps(eps: float, change: float) -> str:
    return f"--eps {max(0.05, min(0.95, eps + change)):.2g}"


def _marked(text: str) -> str:
    """Return text as HTML in which options are not broken at the end of a line."""
    return re.sub(r"--[\w.-]*\w", r"<code>\g<0></code>", escape(text))


def show_verdict(runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    """Show the verdict on each run; for several runs only the first sentence, until opened."""
    html = ""
    for run in runs:
        found = judge(run)
        answers = found.helped, found.clusters, found.advice
        cards = "".join(
            f"<div><h3>{question}</h3><p><strong>{_marked(words[0])}</strong></p>"
            f"{''.join(f'<p>{_marked(word)}</p>' for word in words[1:])}</div>"
            for question, words in zip(QUESTIONS, answers, strict=True)
            if words
        )
        cards = f"<div class=verdict>{cards}</div>"
        if len(runs) > 1:
            title = escape(f"{run.title}: {found.helped[0]}")
            cards = f"<details><summary>{title}</summary>{cards}</details>"
        html += cards
    return Section("Verdict", html)


QUESTIONS = ("Did training help?", "Can the clusters be trusted?", "What to try next")
