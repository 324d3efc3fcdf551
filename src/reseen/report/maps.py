"""Maps of features in two dimensions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reseen.errors import SettingsError, counted, needs
from reseen.records import JUNK, NOISE, Image, people_of
from reseen.report.clusters import named_cameras
from reseen.report.evidence import Evidence
from reseen.report.plotting import GREY, add_legend, colours, new_figure, styled, wrapped
from reseen.report.section import Section, paragraph, under
from reseen.report.thumbnails import ACROSS, DOWN, Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("tsne", "pca", "umap")

POINTS = 2000
"""Number of images on all maps of a page together."""

SLOW = 500
"""Number of images from which t-SNE takes more than a few seconds."""

ITERATIONS = 500
"""Iterations of t-SNE. With 2,000 images, 99.1 % of the neighbours stay neighbours (trustworthiness
with 10 neighbours), and 99.2 % with twice as many iterations."""

LEGEND = 12
"""Number of groups that a legend can name; with more, colours only separate neighbouring groups."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups by which the points of a map are coloured.

    Args:
        ids: (n,) int64, positions in names, or -1 for none.
        names: of the groups.
        none: description of points without a group.
    """

    ids: np.ndarray
    names: Sequence[str]
    none: str


def check_map(kind: str) -> None:
    """Refuse a map that cannot be drawn, before long work.

    Raises:
        SettingsError: the kind is unknown, or the extra umap is not installed.
    """
    if kind not in KINDS:
        raise SettingsError(f"map is {kind!r}. Use one of: {', '.join(KINDS)}.")
    if kind == "umap":
        needs("umap", extra="umap")


def project(features: np.ndarray, kind: str = "tsne", seed: int = 0) -> np.ndarray:
    """Project features to two dimensions.

    Args:
        features: (n, D) unit rows.
        kind: tsne (keeps neighbours together; large distances have no meaning), pca (the two
            directions of largest variance), or umap.
        seed: of the random generator.

    Returns:
        (n, 2) float64.

    Raises:
        SettingsError: see `check_map`.

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 2008; McInnes et al., UMAP,
    arXiv:1802.03426.
    """
    check_map(kind)
    from sklearn.decomposition import PCA

    count, size = features.shape
    if count < 2:
        return np.zeros((count, 2))
    if kind == "pca" or count < 5:
        flat = PCA(min(2, count, size), random_state=seed).fit_transform(features)
        return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1]))).astype(np.float64)
    if kind == "umap":
        from umap import UMAP  # pyright: ignore[reportMissingImports]

        made = UMAP(min(15, count - 1), metric="cosine", random_state=seed, n_jobs=1)
        return np.asarray(made.fit_transform(features), np.float64)
    from sklearn.manifold import TSNE

    # Fifty directions contain nearly everything, and make the search for neighbours fast.
    fewer = PCA(min(50, count, size), random_state=seed).fit_transform(features)
    near = min(30, (count - 1) / 3)
    made = TSNE(perplexity=near, max_iter=ITERATIONS, init="pca", random_state=seed)
    return np.asarray(made.fit_transform(fewer), np.float64)


def draw_points(ids: np.ndarray | None, count: int, most: int, seed: int = 0) -> np.ndarray:
    """Draw at most `most` of `count` images: whole clusters, and single noise points.

    A cluster is drawn with the same probability as a noise point, so each image has about the same
    probability, but clusters are drawn as a whole.

    Args:
        ids: (N,) clusters or NOISE; None draws single images.
        count: N.
        most: maximum number; the last cluster is cut if it does not fit.
        seed: of the random generator.

    Returns:
        Positions, ascending.
    """
    groups = np.arange(count) if ids is None else np.where(ids == NOISE, -1 - np.arange(count), ids)
    names, inverse = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    turn = rng.permutation(len(names))[inverse]
    return np.sort(np.lexsort((rng.permutation(count), turn))[:most])


def groups_of(
    images: Sequence[Image], ids: np.ndarray | None, named: Mapping[int, str]
) -> dict[str, Groups]:
    """Return all groups by which points can be coloured: cluster, camera and person, if known."""
    found = {}
    if ids is not None and (ids != NOISE).any():
        numbers, inverse = np.unique(ids[ids != NOISE], return_inverse=True)
        place = np.full(len(ids), -1)
        place[ids != NOISE] = inverse
        found["cluster"] = Groups(place, [f"cluster {k}" for k in numbers], "in no cluster")
    camera, names = named_cameras(images, named)
    if names:
        found["camera"] = Groups(camera, names, "camera unknown")
    person = people_of(images)
    if (person != JUNK).any():
        numbers, inverse = np.unique(person[person != JUNK], return_inverse=True)
        place = np.full(len(person), -1)
        place[person != JUNK] = inverse
        found["person"] = Groups(place, [f"person {p}" for p in numbers], "person unknown")
    return found


def plot_map(points: np.ndarray, groups: Groups | None = None, title: str = "") -> "Figure":
    """Plot a map.

    Args:
        points: (n, 2), from `project`.
        groups: their colours; without it all points have one colour.
        title: of the figure.
    """
    groups = groups or Groups(np.full(len(points), -1), [], "")
    tints = colours(len(groups.names))
    with styled():
        figure = new_figure(6, 5.2)
        axes = figure.add_subplot(title=title, xticks=[], yticks=[])
        alone = groups.ids < 0
        if alone.any():
            axes.scatter(*points[alone].T, s=4, color=GREY, alpha=0.6, label=groups.none, lw=0)
        if len(groups.names) <= LEGEND:
            for k, name in enumerate(wrapped(groups.names)):
                axes.scatter(*points[groups.ids == k].T, s=8, color=tints[k], label=name, lw=0)
            if groups.names or groups.none:
                add_legend(figure, 4, markerscale=2)
        else:
            inside = np.array(tints)[groups.ids[~alone]]
            axes.scatter(*points[~alone].T, s=8, color=inside, lw=0)
        axes.set_aspect("equal", "datalim")
        axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def map_html(
    points: np.ndarray,
    groups: Mapping[str, Groups],
    images: Sequence[Image],
    pictures: Thumbnails,
    about: str = "",
) -> str:
    """Return a map as HTML, with a choice of colours and the crop below the pointer.

    Args:
        points: (n, 2).
        groups: by which they can be coloured.
        images: n records.
        pictures: of the page; may be turned off.
        about: HTML beside the map, above the choice of colours.
    """
    low, high = points.min(0), points.max(0)
    scale = 1000 / max(float((high - low).max()), 1e-9)
    placed = np.round((points - low) * scale).astype(int)
    told: dict[str, Any] = {
        "x": placed[:, 0].tolist(),
        "y": (placed[:, 1].max() - placed[:, 1]).tolist(),  # a page counts from the top
        "thumb": [pictures.place(image) for image in images] if pictures.pictures else [],
        "sheet": [ACROSS, DOWN],
        "groups": {
            name: {
                "ids": group.ids.tolist(),
                "names": list(group.names),
                "none": group.none,
                "colours": colours(len(group.names)),
                "legend": len(group.names) <= LEGEND,
            }
            for name, group in groups.items()
        },
    }
    data = json.dumps(told, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return (
        "<div class=map><div class=plane><canvas></canvas><div class=tip hidden></div></div>"
        f"<div class=key>{about}"
        '<div class=choice role=group aria-label="Colour by">Colour by </div>'
        f'<div class=legend></div></div><script type="application/json">{data}</script></div>'
    )


def show_map(
    runs: Sequence[Evidence], pictures: Thumbnails, kind: str = "tsne", most: int = POINTS
) -> Section:
    """Show a map of the training images of each run, with the features of its encoder."""
    several = len(runs) > 1
    html, figures, tables = [], {}, {}
    for number, run in enumerate(runs, 1):
        if not run.trained:
            html.append(under(run.title if several else "", paragraph("No round is finished yet.")))
            continue
        images, features, labels, _ = run.learnt
        ids = labels.ids if labels else None
        chosen = draw_points(ids, len(images), max(2, most // len(runs)))
        shown, drawn = [images[i] for i in chosen], ids[chosen] if ids is not None else None
        if kind == "tsne" and len(chosen) >= SLOW:
            run.screen.say(
                f"computing t-SNE of {len(chosen)} images; --map pca or fewer --points is faster"
            )
        points = project(features[chosen], kind)
        groups = groups_of(shown, drawn, run.data.cameras if run.data else {})
        part = f"{len(chosen)} of {len(images)} images, {DRAWN}."
        part = f"All {counted(len(images), 'image')}." if len(chosen) == len(images) else part
        text = paragraph(f"{part} {ABOUT[kind]} Hover over a dot to see its crop.")
        text = map_html(points, groups, shown, pictures, text)
        html.append(under(run.title if several else "", text))
        prefix = f"map-{number}-" if several else "map-"
        for name, group in groups.items() or {"": None}.items():
            title = f"{run.title}, by {name}" if name else run.title
            figures[prefix + (name or "plain")] = plot_map(points, group, title)
        words = [[_name(group, i) for group in groups.values()] for i in range(len(shown))]
        tables[prefix + "points"] = [
            ["path", "x", "y", *groups],
            *(
                [image.path.as_posix(), *(round(float(v), 3) for v in point), *word]
                for image, point, word in zip(shown, points, words, strict=True)
            ),
        ]
    return Section("The map", "".join(html), figures, tables)


def _name(group: Groups, i: int) -> str:
    return str(group.names[group.ids[i]]) if group.ids[i] >= 0 else group.none


DRAWN = "a random sample of whole clusters and of images in no cluster"

ABOUT = {
    "tsne": "t-SNE keeps neighbours together; the distances between groups and the sizes of groups "
    "have no meaning.",
    "pca": "PCA shows the two directions in which the features vary most; most of the differences "
    "between people are in other directions.",
    "umap": "UMAP keeps neighbours together; the distances between groups have little meaning.",
}
