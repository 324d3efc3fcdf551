"""The clusters of the last round: their members, how tight they are, and their cameras."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reseen.errors import counted
from reseen.metrics.clusters import Centres, centres, majority, members_of, merges, mixture
from reseen.records import JUNK, NOISE, Image, cameras_of, people_of
from reseen.report.closer import (
    HALF,
    centroid_rows,
    encode,
    merge_rows,
    most_of,
    newest_rows,
    order_rows,
    split_rows,
    table_of_merges,
    table_of_splits,
)
from reseen.report.evidence import Evidence, Learnt
from reseen.report.plotting import PALETTE, add_legend, colours, new_figure, styled, wrapped
from reseen.report.section import Rows, Section, beside, charts, paragraph, under
from reseen.report.sheets import Cell, Row, mark, plot_sheet, seen_by, sheet_html
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 4
"""Number of clusters of each kind on a sheet."""

NEAREST, FARTHEST = 7, 3
"""Number of members of a cluster on a sheet that are nearest to and farthest from its centre."""

LEAST = 4
"""Minimum number of members to call a cluster tight or loose: two images are always tight."""

WIDEST = 40
"""Number of clusters in the figure of cameras."""


def plot_sizes(sizes: np.ndarray) -> "Figure":
    """Plot the number of clusters by number of members, on a log scale if some have many.

    Args:
        sizes: (K,) numbers of members, at least one cluster.
    """
    from matplotlib.ticker import MaxNLocator

    low, top = int(sizes.min()), int(sizes.max())
    wide = top > 60
    spread = np.geomspace(low, top + 1, 25).round() if wide else np.arange(low, top + 2)
    edges = np.unique(spread.astype(int))
    counts, _ = np.histogram(sizes, edges)
    with styled():
        figure = new_figure(4.2, 2.7)
        axes = figure.add_subplot(title="Sizes of clusters", xlabel="members", ylabel="clusters")
        lefts = edges[:-1] if wide else edges[:-1] - 0.5
        axes.bar(lefts, counts, np.diff(edges), align="edge", color=PALETTE[0], ec="none")
        if wide:
            axes.set_xscale("log")
            ticks = [t for e in range(9) for t in (10**e, 2 * 10**e, 5 * 10**e) if low <= t <= top]
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.minorticks_off()
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(False, axis="x")
    return figure


def plot_cameras(mix: np.ndarray, names: Sequence[str], sizes: np.ndarray) -> "Figure":
    """Plot the cameras of the largest clusters.

    Args:
        mix: (K, cameras) number of members of each cluster from each camera.
        names: of the cameras.
        sizes: (K,) numbers of members.
    """
    order = np.argsort(-sizes, kind="stable")[:WIDEST]
    shares = mix[order] / sizes[order, None]
    with styled():
        figure = new_figure(4.2, 2.7)
        axes = figure.add_subplot(
            title="Cameras of the largest clusters",
            xlabel=f"{counted(len(order), 'cluster')}, the largest first",
            ylabel="share of members",
        )
        below = np.zeros(len(order))
        labels = wrapped(names)
        for column, colour in enumerate(colours(len(names))):
            share = shares[:, column]
            axes.bar(range(len(order)), share, 0.9, below, color=colour, label=labels[column])
            below += share
        axes.set_xticks([])
        axes.grid(False)
        add_legend(figure, 4)
    return figure


def named_cameras(
    images: Sequence[Image], named: Mapping[int, str]
) -> tuple[np.ndarray, list[str]]:
    """Return the camera of each image as a position in a list of names, -1 if unknown.

    Args:
        images: N records.
        named: names of the cameras, if the data has them.
    """
    camera = cameras_of(images)
    known = [int(c) for c in np.unique(camera) if c >= 0]
    place = np.where(camera >= 0, np.searchsorted(known, camera), -1) if known else camera
    return place, [f"camera {named.get(c, c)}" for c in known]


def contact_rows(
    learnt: Learnt, found: Centres, named: Mapping[int, str] | None = None
) -> dict[str, list[Row]]:
    """Select clusters to show, and lay out their members, sorted by distance to the centre.

    Args:
        learnt: images, features and clusters.
        found: the centres of the clusters.
        named: names of the cameras, if the data has them.

    Returns:
        Rows of typical clusters (evenly spaced from the tightest to the loosest), of the largest,
        tightest and loosest, and of the noise points nearest to a cluster and farthest from all.
    """
    images, labels = learnt.images, learnt.labels
    assert labels is not None
    members = members_of(labels)
    person = people_of(images)
    who, share = most_of(labels, person)
    truth = bool((person != JUNK).any())
    camera, names = named_cameras(images, named or {})
    mix, tints = mixture(labels, camera, len(names)), colours(len(names))
    judged = np.flatnonzero(found.sizes >= min(LEAST, found.sizes.max(initial=0)))
    tight = judged[np.argsort(found.spread[judged], kind="stable")]

    def cell(i: int, most: int) -> Cell:
        text = f"{seen_by(images[i], named)} {found.distances[i]:.2f}".strip()
        return Cell(images[i], text, mark(person[i], most))

    def ends(order: np.ndarray, most: int) -> list[Cell | None]:
        if len(order) <= NEAREST + FARTHEST:
            return [cell(i, most) for i in order]
        first, last = order[:NEAREST], order[-FARTHEST:]
        return [*(cell(i, most) for i in first), None, *(cell(i, most) for i in last)]

    def row(cluster: int) -> Row:
        order = members[cluster][np.argsort(found.distances[members[cluster]], kind="stable")]
        note = f"{counted(len(order), 'member')}, mean distance {found.spread[cluster]:.2f}"
        seen = np.flatnonzero(mix[cluster])
        note += f", {len(seen)} of {counted(len(names), 'camera')}" if names else ""
        if truth:
            most = "one person" if share[cluster] > HALF else "of the most frequent person"
            note += f", {share[cluster]:.0%} {most}"
        parts = [(names[c], float(mix[cluster, c] / mix[cluster].sum()), tints[c]) for c in seen]
        return Row(f"Cluster {cluster}", note, ends(order, who[cluster]), parts)

    outside = np.flatnonzero(labels.ids == NOISE)
    outside = outside[np.argsort(found.distances[outside], kind="stable")]
    middle = tight[len(tight) * (1 + 2 * np.arange(SHOWN)) // (2 * SHOWN)] if len(tight) else tight
    rows = {
        "Typical": [row(c) for c in dict.fromkeys(middle.tolist())],
        "Largest": [row(c) for c in np.argsort(-found.sizes, kind="stable")[:SHOWN]],
        "Tightest": [row(c) for c in tight[:SHOWN]],
        "Loosest": [row(c) for c in tight[::-1][:SHOWN]],
    }
    if len(outside):
        note = f"{counted(len(outside), 'image')}, {labels.noise:.0%}; nearest to a cluster first"
        rows["Noise"] = [Row("In no cluster", note, ends(outside, JUNK))]
    return {name: chosen for name, chosen in rows.items() if chosen}


def closer_rows(learnt: Learnt, settings: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Lay out errors if people are known, new clusters, and a cluster in two orders.

    The cluster is the one that mixes people most, or else the largest. For runs of ADTC with
    centroids, two orders of all images around some centroids are shown instead.

    Args:
        learnt: images, features and clusters.
        settings: of the run.
    """
    labels, people = learnt.labels, people_of(learnt.images)
    assert labels is not None
    rows = {
        "Split": split_rows(learnt, labels, people),
        "Merged": merge_rows(learnt, labels, people),
    }
    if learnt.before is not None:
        rows["New"] = newest_rows(learnt, learnt.before, labels)
    mixed = merges(labels, people)
    sizes = np.bincount(labels.ids[labels.ids != NOISE])
    cluster = mixed[0].cluster if mixed else int(sizes.argmax())
    if settings.get("labelling") in ("two-stage", "k-means"):  # of ADTC
        rows["Centroids"] = centroid_rows(learnt, settings, people)
    elif sizes[cluster] >= LEAST:
        encoding = encode(learnt.features, settings)
        rows["Two orders"] = order_rows(learnt, labels, encoding, cluster, people)
    return {name: chosen for name, chosen in rows.items() if chosen}


def table_of_clusters(
    learnt: Learnt, found: Centres, named: Mapping[int, str] | None = None
) -> list[list[Any]]:
    """List every cluster: size, mean distance, members by camera, and its people."""
    labels, images = learnt.labels, learnt.images
    assert labels is not None
    camera, names = named_cameras(images, named or {})
    mix = mixture(labels, camera, len(names))
    who, share = majority(labels, people_of(images))
    truth = bool((who != JUNK).any())
    head = ["cluster", "members", "mean_distance", *names]
    lines = [
        [k, int(found.sizes[k]), round(float(found.spread[k]), 4), *map(int, mix[k])]
        + ([int(who[k]), round(float(share[k]), 4)] if truth else [])
        for k in range(len(found.sizes))
    ]
    return [head + (["person", "share_of_person"] if truth else []), *lines]


def show_clusters(runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    """Show the clusters of the last round of each run."""
    several = len(runs) > 1
    html, figures, tables = [], {}, {}
    for number, run in enumerate(runs, 1):
        prefix = f"clusters-{number}-" if several else "clusters-"
        text, drawn, found = _of(run, pictures)
        html.append(under(run.title if several else "", text))
        figures |= {prefix + name: figure for name, figure in drawn.items()}
        tables |= {prefix + name: rows for name, rows in found.items()}
    return Section("Clusters", "".join(html), figures, tables)


def _of(run: Evidence, pictures: Thumbnails) -> tuple[str, dict[str, "Figure"], dict[str, Rows]]:
    if not run.trained:
        return paragraph("No round is finished yet."), {}, {}
    if run.labels is None:
        return paragraph("No round has made clusters."), {}, {}
    learnt, labels = run.learnt, run.learnt.labels
    assert labels is not None
    if not labels.clusters:
        return paragraph("The last round found no clusters: every image is noise."), {}, {}
    named = run.data.cameras if run.data else {}
    found = centres(learnt.features, labels)
    camera, names = named_cameras(learnt.images, named)
    mix = mixture(labels, camera, len(names))
    figures = {"sizes": (plot_sizes(found.sizes), "Number of clusters by number of members.")}
    if len(names) > 1:
        seen = (mix > 0).sum(1)
        about = f"{np.mean(seen > 1):.0%} of all clusters contain images of several cameras."
        figures["cameras"] = plot_cameras(mix, names, found.sizes), about
    html = beside(paragraph(ABOUT), charts(figures))
    if run.labelled < run.round:
        said = f"Round {run.round} made no clusters, so those of round {run.labelled} are shown."
        html = paragraph(said) + html
    drawn = {name: figure for name, (figure, _) in figures.items()}
    sheets = contact_rows(learnt, found, named) | closer_rows(learnt, run.settings)
    for name, rows in sheets.items():
        html += f"<h3>{name} <small>{SHEETS[name]}</small></h3>{sheet_html(rows, pictures)}"
        if pictures.pictures:
            drawn[name.lower().replace(" ", "-")] = plot_sheet(rows, pictures)
    tables: dict[str, Rows] = {"all": table_of_clusters(learnt, found, named)}
    people = people_of(learnt.images)
    if (people != JUNK).any():
        tables["splits"] = table_of_splits(labels, people)
        tables["merges"] = table_of_merges(labels, people)
    return html, drawn, tables


ABOUT = (
    "These are the clusters of the last round, with the features of the encoder after that round. "
    "The members of a cluster are sorted by the Euclidean distance to its mean, which is given "
    "below each crop; the members after the gap are the farthest. If people are known and more "
    "than half of a cluster shows one person, ✓ marks that person and ✗ everybody else; clusters "
    "without such a majority have no marks. The bar shows the share of each camera."
)

SHEETS = {
    "Typical": "a sample evenly spaced from the tightest cluster to the loosest",
    "Largest": "by number of members",
    "Tightest": "smallest mean distance to the centre",
    "Loosest": "largest mean distance to the centre",
    "Noise": "images in no cluster",
    "Split": "people whose images are in several clusters, those with most separated pairs first",
    "Merged": "clusters that contain several people, those with most wrong pairs first",
    "New": "clusters that share the fewest images with those of the previous round",
    "Centroids": "the images nearest to some k-means centroids, by Euclidean and by k-reciprocal "
    "Jaccard distance",
    "Two orders": "one cluster sorted by Euclidean and by k-reciprocal Jaccard distance",
}
"""What each sheet shows."""
