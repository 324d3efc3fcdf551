"""Where encoders look: class activation maps, attention maps, and their share on the person.

The figures are those of ADTC (Figs. 1 and 3), ConsLearn (Fig. 4), MLA (Fig. 5) and DAAL (Fig. 1).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reseen.data.loading import Crops
from reseen.engine.attention import attention_maps, attention_on_person
from reseen.engine.cam import class_cam, dropped, last_stages, main_stages, pair_cam
from reseen.engine.extract import extract
from reseen.errors import DataError
from reseen.metrics.clusters import centres
from reseen.records import Image, distinct, people_of
from reseen.report.evidence import Evidence, gapless
from reseen.report.plotting import INK, add_legend, colours, new_figure, shortened, styled
from reseen.report.section import Section, beside, charts, paragraph, table, under, unfinished
from reseen.report.sheets import Cell, Row, plot_sheet, sheet_html
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS, CROPS, VIEWED = 6, 6, 2
"""Number of pairs, of crops, and of crops with dropped rectangles on a page."""

MEASURED = 200
"""Number of crops whose maps are compared with masks."""

SAID = {
    "before": "energy before attention",
    "after": "energy after attention",
    "left": "energy left over",
    "last": "energy of the last map",
}
"""Names of attention maps in the captions of crops."""

STAGES = {"before": "before attention", "after": "after attention"}
"""Names of the last maps if attention follows them; without attention there is one last map."""


class Pair(NamedTuple):
    """Two crops that an encoder finds similar."""

    asked: Image
    found: Image
    kind: str
    """right, wrong, or empty if unknown."""


def draw_pairs(run: Evidence) -> list[Pair]:
    """Draw queries and their best matches, half of them wrong if there are enough wrong ones.

    If no people are known, they are training images and the images most similar to them.
    """
    if not run.searchable:
        learnt, pairs = run.learnt, []
        for i in draw_images(learnt.images, PAIRS):
            alike = learnt.features @ learnt.features[i]
            alike[i] = -np.inf
            pairs.append(Pair(learnt.images[i], learnt.images[int(alike.argmax())], ""))
        return pairs
    data, ranking, rng = run.tested.data, run.tested.ranking, np.random.default_rng(0)
    right = ranking.right[:, 0]
    wrong_rows, right_rows = (rng.permutation(np.flatnonzero(of)) for of in (~right, right))
    half = max(PAIRS // 2, PAIRS - len(right_rows))
    return [
        Pair(
            data.query[ranking.queries[row]],
            data.gallery[ranking.top[row, 0]],
            "right" if right[row] else "wrong",
        )
        for row in [*wrong_rows[:half], *right_rows][:PAIRS]
    ]


def draw_images(images: Sequence[Image], count: int) -> np.ndarray:
    """Draw positions of images: the same images, whatever their order."""
    order = np.argsort([image.path.as_posix() for image in images])
    return np.random.default_rng(0).permutation(order)[:count]


def pair_rows(runs: Sequence[Evidence], pairs: Sequence[Pair]) -> list[Row]:
    """Lay out pairs with the places that make them similar for each run, by Grad-CAM.

    If attention follows the last map, the map before it is shown as well.

    Source: Ji et al., ADTC, ECCV 2020, Figs. 1 and 3.
    """
    cells: list[list[Cell | None]] = [
        [Cell(pair.asked, "asked", "query"), Cell(pair.found, "found", pair.kind)] for pair in pairs
    ]
    notes: list[list[str]] = [[] for _ in pairs]
    for number, run in enumerate(runs, 1):
        named = f"{number}: " if len(runs) > 1 else ""
        crops = run.crops([image for pair in pairs for image in (pair.asked, pair.found)])
        features, pixels = extract(run.encoder, crops), _pixels(crops)
        for stage in last_stages(run.encoder):
            asked, found = pair_cam(run.encoder, pixels[::2], pixels[1::2], stage)
            for row, pair, a, b in zip(cells, pairs, asked, found, strict=True):
                name = _stage(run, stage)
                row.append(Cell(pair.asked, f"{named}asked, {name}", heat=a))
                row.append(Cell(pair.found, f"{named}found, {name}", heat=b))
        for note, a, b in zip(notes, features[::2], features[1::2], strict=True):
            note.append(f"{named}similarity {a @ b:.2f}")
    return [
        Row(f"{pair.asked.path.name} and {pair.found.path.name}", ", ".join(note), row)
        for pair, note, row in zip(pairs, notes, cells, strict=True)
    ]


def map_rows(run: Evidence, stages: Sequence[str] = ()) -> list[Row]:
    """Lay out crops with the places that speak for their clusters, and attention maps.

    Args:
        run: with a finished round.
        stages: stages whose Grad-CAM is shown; `main_stages` if empty.

    Source: MLA, Fig. 5; Huang et al., DAAL, AAAI 2020, Fig. 1.
    """
    images, classes = _classes(run, CROPS)
    crops = run.crops(images)
    cams = _cams(run, _pixels(crops), classes, stages)
    maps = attention_maps(run.encoder, crops)
    return [
        Row(
            image.path.name,
            "",
            [
                Cell(image, "crop"),
                *(Cell(image, _stage(run, name), heat=heat[i]) for name, heat in cams.items()),
                None,
                *(
                    Cell(image, SAID.get(name, name), heat=heat[i] / max(heat[i].max(), 1e-12))
                    for name, heat in maps.items()
                ),
            ],
        )
        for i, image in enumerate(images)
    ]


def drop_rows(run: Evidence, stages: Sequence[str] = ()) -> list[Row]:
    """Lay out two views of crops with dropped rectangles in their maps, as in the run's method.

    Args:
        run: with a finished round.
        stages: as in `map_rows`.

    Returns:
        Nothing if the method drops none.

    Source: Yin et al., ConsLearn, Fig. 4.
    """
    settings = run.settings
    if not (settings.get("stages") and settings.get("alpha") and settings.get("beta")):
        return []
    images, classes = _classes(run, VIEWED)
    pixels = _pixels(run.crops(images))
    dropping = settings["stages"], settings["alpha"], settings["beta"]
    rows = []
    for view in (1, 2):
        with dropped(run.encoder, *dropping, seed=view) as hidden:
            cams = _cams(run, pixels, classes, stages)
        for i, image in enumerate(images):
            masks = {stage: np.where(of[i], np.nan, 0) for stage, of in sorted(hidden.items())}
            cells = [
                *(Cell(image, f"drop {stage}", heat=mask) for stage, mask in masks.items()),
                None,
                *(Cell(image, _stage(run, name), heat=heat[i]) for name, heat in cams.items()),
            ]
            rows.append(Row(image.path.name, f"view {view}", cells))
    return sorted(rows, key=lambda row: row.title)


def shares_on_person(run: Evidence) -> dict[str, tuple[float, float]]:
    """Compute the share of each map, and of the area, that lies on the person, on random crops.

    See `attention_on_person`; empty if the data is not a town with masks of its people.
    """
    if run.data is None:
        return {}
    root, every = run.data.root, distinct(run.data.train, run.data.query, run.data.gallery)
    people = [i for i in every if (i.person or 0) > 0 and i.path.is_relative_to(root)]
    if not people or not (root / "masks").is_dir():
        return {}
    chosen = [people[i] for i in draw_images(people, MEASURED)]
    try:
        return attention_on_person(run.encoder, run.crops(chosen), root)
    except DataError:  # there are masks, but not of these pictures
        return {}


def plot_shares(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> "Figure":
    """Plot the share of each map that lies on the person, by run; dashed: share of the area."""
    from matplotlib.ticker import PercentFormatter

    maps = list(dict.fromkeys(name for of in found.values() for name in of))
    height = 0.8 / len(found)
    with styled():
        figure = new_figure(4.2, 1.4 + 0.32 * len(maps) * max(1, len(found) / 2))
        axes = figure.add_subplot(title="Attention on the person", xlabel="share of the map")
        for number, (title, of) in enumerate(found.items()):
            places = [maps.index(name) - 0.4 + (number + 0.5) * height for name in of]
            tint = colours(len(found))[number]
            share = [share for share, _ in of.values()]
            axes.barh(places, share, height, color=tint, label=shortened([title])[0])
        area = next(iter(next(iter(found.values())).values()))[1]
        axes.axvline(area, color=INK, linestyle="--")
        axes.set_yticks(range(len(maps)), [SAID.get(name, name) for name in maps])
        axes.set_ylim(len(maps) - 0.5, -0.5)
        axes.set_xlim(0)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(False, axis="y")
        if len(found) > 1:
            add_legend(figure, 2)
    return figure


def show_attention(
    runs: Sequence[Evidence], pictures: Thumbnails, stages: Sequence[str] = ()
) -> Section:
    """Show where the encoders look and, if there are masks, how much of it is on people.

    Args:
        runs: shown together.
        pictures: of the page.
        stages: parts of the backbones whose class maps are shown; `main_stages` if empty.

    Raises:
        SettingsError: an encoder does not have such a stage.
    """
    title = "Attention"
    waiting = unfinished(runs)
    runs = [run for run in runs if run.trained]
    if not runs:
        return Section(title, waiting)
    several = len(runs) > 1
    html, figures, tables = [], {}, {}
    told = paragraph(ABOUT) + "".join(paragraph(grid(run, several)) for run in runs) + waiting
    found = {run.title: shares for run in runs if (shares := shares_on_person(run))}
    if found:
        lines = [
            (name, which, *shares) for name, of in found.items() for which, shares in of.items()
        ]
        tables["attention-person"] = [
            ["run", "map", "share_on_person", "share_of_area"],
            *([*names, round(share, 4), round(area, 4)] for *names, share, area in lines),
        ]
        figures["attention-person"] = plot_shares(found)
        shown = [[n, SAID.get(w, w), f"{share:.1%}", f"{area:.1%}"] for n, w, share, area in lines]
        lines = [["run", "map", "on the person", "their area"], *shown]
        told += table(lines if several else [line[1:] for line in lines])
        told = beside(told, charts({"attention-person": (figures["attention-person"], SHARES)}))
    html.append(told)
    if not pictures.pictures:
        return Section(title, "".join(html), figures, tables)
    if several:
        names = "; ".join(f"{number}: {run.title}" for number, run in enumerate(runs, 1))
        html.append(paragraph(f"Runs: {names}."))
    laid = {"pairs": ("", "What makes two crops similar", pair_rows(runs, draw_pairs(runs[0])))}
    for number, run in enumerate(runs, 1):
        last, named = (f"-{number}", run.title) if several else ("", "")
        laid[f"maps{last}"] = named, "What assigns a crop to its cluster", map_rows(run, stages)
        laid[f"drops{last}"] = named, "Two views with dropped blocks", drop_rows(run, stages)
    for name, (run_title, heading, rows) in laid.items():
        if rows:
            sheet = sheet_html(rows, pictures)
            shut = f"<details><summary>{heading}</summary>{sheet}</details>"
            html.append(under(run_title, shut))
            figures[f"attention-{name}"] = plot_sheet(rows, pictures)
    return Section(title, "".join(html), figures, tables)


def grid(run: Evidence, named: bool) -> str:
    """Describe the resolution of a run's maps, which limits what they can show."""
    size = run.encoder.settings
    pixels = torch.zeros(1, 3, size.height, size.width, dtype=torch.uint8)
    with torch.inference_mode():
        high, wide = run.encoder.map(pixels.to(run.encoder.device)).shape[-2:]
    return (
        f"The encoder{f' of {run.title}' if named else ''} takes crops {size.height} pixels high "
        f"and {size.width} wide. Its last feature map has {high} x {wide} cells, so one cell "
        f"covers about {size.height / high:.0f} x {size.width / wide:.0f} pixels and their "
        "surroundings: warm colours next to a person may come from the person."
    )


def _stage(run: Evidence, name: str) -> str:
    """Return the name of a stage for a caption."""
    last = STAGES if len(last_stages(run.encoder)) > 1 else {"after": "last map"}
    return last.get(name, name)


def _classes(run: Evidence, count: int) -> tuple[list[Image], np.ndarray]:
    """Draw training images, with the vector that represents the class of each.

    It is the mean vector of its cluster (for noise, of the nearest one); without clusters the mean
    of its person; and if no people are known, its own vector.
    """
    learnt = run.learnt
    labels = learnt.labels or gapless(people_of(learnt.images))
    chosen = draw_images(learnt.images, count)
    rows = learnt.features[chosen]
    if labels.clusters:
        found = centres(learnt.features, labels)
        rows = found.centres[found.nearest[chosen]].astype(np.float32)
    return [learnt.images[i] for i in chosen], rows


def _cams(
    run: Evidence, pixels: Tensor, classes: np.ndarray, stages: Sequence[str]
) -> dict[str, np.ndarray]:
    stages = stages or main_stages(run.encoder)
    return {stage: class_cam(run.encoder, pixels, classes, stage) for stage in stages}


def _pixels(crops: Crops) -> Tensor:
    return next(crops.batches([np.arange(len(crops))]))[1]


ABOUT = (
    "These are class activation maps (Grad-CAM). The warmer the colour, the more a place adds to "
    "the similarity of two crops, or of a crop to the mean of its cluster. They are shown for the "
    "stages of the backbone and for the last feature map, before and after attention if the "
    "encoder has attention. The maps after the gap need no class: the weights of each attention "
    "module, and the energy (sum of squares over the channels) of a feature map. With "
    "domain-adaptive attention, energy after attention is the part that both domains share, and "
    "energy left over is the domain-specific part."
)

SHARES = "Dashed: the person's share of the area, which a uniform map would reach."
