"""The run itself: its settings, its measurements by round, and where the time went."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from reseen.engine.folder import worked_out
from reseen.engine.progress import duration
from reseen.engine.settings import flat as settings_of
from reseen.engine.signs import SCORE
from reseen.methods import METHODS
from reseen.report.evidence import Evidence
from reseen.report.plotting import INK, PALETTE, add_legend, colours, new_figure, shortened, styled
from reseen.report.section import (
    Rows,
    Section,
    beside,
    charts,
    paragraph,
    table,
)
from reseen.report.thumbnails import Thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = Sequence[Mapping[str, float]]
"""The lines of a run's metrics.jsonl, from `engine.folder.read_metrics`."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot over the rounds."""

    title: str
    measures: Mapping[str, str]
    """Names in metrics.jsonl, and their names in the legend."""
    percent: bool = False
    zero: bool = False
    """Whether the axis starts at 0, so that small changes look small."""
    start: str = ""
    """All other measures whose names start with this are plotted too, named by the rest."""


PANELS = {
    "accuracy": Panel("mAP and rank-1", {"mAP": "mAP", "rank1": "rank-1"}, percent=True),
    "loss": Panel("Loss", {"loss": "loss"}),
    "terms": Panel("Terms of the loss", {}, start="loss_"),
    "clusters": Panel("Clusters", {"clusters": "clusters"}),
    "noise": Panel("Images in no cluster", {"noise": "noise"}, percent=True),
    "agreement": Panel(
        "Agreement of clusters with people",
        {
            "nmi": "NMI",
            "nmi_labelled": "NMI without noise",
            "ari": "ARI",
            "pairwise_f": "pairwise F",
        },
    ),
    "stability": Panel("Agreement with the previous round's clusters", {"stability": "ARI"}),
    "score": Panel("Shared nearest neighbours", {SCORE: "share"}, percent=True),
    "rate": Panel("Learning rate", {"rate": "rate"}, zero=True),
    "gate": Panel("Gate of attention", {"gate": "gate"}, zero=True),
    "gem": Panel("Exponent of GeM pooling", {"gem_p": "p"}, zero=True),
}

FORMS = {
    "clusters": "{:.0f}",
    "nmi": "{:.3f}",
    "nmi_labelled": "{:.3f}",
    "ari": "{:.3f}",
    "pairwise_f": "{:.3f}",
    "stability": "{:.3f}",
    "loss": "{:.3f}",
}
"""Formats of numbers; all others are shares, in percent."""

RESULTS = {
    **dict(mAP="mAP", rank1="rank-1", rank5="rank-5", rank10="rank-10", mINP="mINP"),
    **dict(mAP_centred="mAP centred", rank1_centred="rank-1 centred"),
    **dict(clusters="clusters", noise="noise", nmi="NMI", nmi_labelled="NMI without noise"),
    **dict(ari="ARI", pairwise_f="pairwise F"),
    "stability": "stability",
    "loss": "loss",
    SCORE: "shared neighbours",
}

BEST = "best on test"
"""Name of the round with the highest mAP."""

WEIGHTS = "encoder.weights"
"""The setting that may be the path of a file."""

STYLES = ("-", "--", ":", "-.")


def plot_rounds(runs: Mapping[str, Numbers], panel: Panel) -> "Figure | None":
    """Plot measures over the rounds: a colour for each of several runs, else for each measure.

    Args:
        runs: title and metrics of each run.
        panel: what to plot, such as `PANELS["loss"]`.

    Returns:
        The figure, or None if no run has any of these measures.
    """
    measured = dict.fromkeys(name for rows in runs.values() for row in rows for name in row)
    shown = {name: word for name, word in panel.measures.items() if name in measured}
    if panel.start:
        parts = [name for name in measured if name.startswith(panel.start)]
        shown |= {name: name.removeprefix(panel.start).replace("_", " ") for name in parts}
    if not shown:
        return None
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    several = len(runs) > 1
    tints = colours(len(runs))
    with styled():
        figure = new_figure(4.2, 2.9)
        axes = figure.add_subplot(title=panel.title, xlabel="round")
        for run, rows in enumerate(runs.values()):
            for which, name in enumerate(shown):
                points = [(row["round"], row[name]) for row in rows if name in row]
                axes.plot(
                    *(zip(*points, strict=True) if points else ([], [])),
                    color=tints[run] if several else PALETTE[which % len(PALETTE)],
                    linestyle=STYLES[which % len(STYLES)] if several else "-",
                    marker="o" if len(points) <= 30 else "",
                )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
        axes.margins(y=0.08)
        if panel.zero:
            axes.set_ylim(0, 1.08 * axes.dataLim.y1 or 1)
        if panel.percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        names = [Line2D([], [], color=tint) for tint in tints], shortened(list(runs))
        kinds = [
            Line2D(
                [],
                [],
                color=INK if several else PALETTE[i % len(PALETTE)],
                linestyle=STYLES[i % len(STYLES)] if several else "-",
            )
            for i in range(len(shown))
        ]
        lines = [*(names[0] if several else []), *(kinds if len(shown) > 1 else [])]
        words = [*(names[1] if several else []), *(shown.values() if len(shown) > 1 else [])]
        if lines:
            add_legend(figure, 3, lines, words)
    return figure


def plot_stages(runs: Mapping[str, Numbers]) -> "Figure | None":
    """Plot the mean duration of each stage of a round, one bar per run; None without rounds."""
    stages = {title: stage_seconds(rows) for title, rows in runs.items()}
    names = list(dict.fromkeys(name for times in stages.values() for name in times))
    if not names:
        return None
    with styled():
        figure = new_figure(4.2, 1.7 + 0.35 * len(runs))
        axes = figure.add_subplot(title="Time per round", xlabel="seconds")
        left = np.zeros(len(stages))
        places = np.arange(len(stages))
        for name, colour in zip(names, colours(len(names)), strict=True):
            width = np.array([times.get(name, 0) for times in stages.values()])
            axes.barh(places, width, left=left, color=colour, label=name, height=0.6)
            left += width
        axes.set_yticks(places, shortened(list(runs), 16))
        axes.set_ylim(len(runs) - 0.4, -0.6)
        axes.grid(False, axis="y")
        add_legend(figure, 3)
    return figure


def stage_seconds(rows: Numbers) -> dict[str, float]:
    """Return the mean seconds of each stage of a round; searches count only in rounds with one.

    The time of a round outside of its stages, such as for clustering, is "the rest".
    """
    rounds = [row for row in rows if row["round"] > 0 and "round_seconds" in row]
    ends = "_seconds"
    names = dict.fromkeys(key for row in rounds for key in row if key.endswith(ends))
    total = {name: [row[name] for row in rounds if name in row] for name in names}
    inside = [name for name in names if name not in ("round_seconds", "searching_seconds")]
    stages = {name.removesuffix(ends): sum(total[name]) / len(rounds) for name in inside}
    if rounds:
        rest = sum(total["round_seconds"]) / len(rounds) - sum(stages.values())
        stages["the rest"] = max(0.0, rest)
    if "searching_seconds" in names:
        stages["searching"] = float(np.mean(total["searching_seconds"]))
    return stages


def judged(rows: Numbers) -> Numbers:
    """Return the rounds after training that searched the gallery, in their order."""
    return [row for row in rows if row["round"] > 0 and "mAP" in row]


def results(runs: Mapping[str, Numbers]) -> Rows:
    """List each run before training, its last and its best round, as text.

    The best round may be round 0, before training.
    """
    lines: list[tuple[str, str, Mapping[str, float]]] = []
    for title, rows in runs.items():
        done = [row for row in rows if row["round"] > 0]
        searched = judged(rows)
        if rows and rows[0]["round"] == 0:
            lines.append((title, "before", rows[0]))
        if done:
            lines.append((title, "last", done[-1]))
        if searched and searched[-1] is not done[-1]:  # training goes on, or searches are rare
            lines.append((title, "last searched", searched[-1]))
        if searched:
            best = max((row for row in rows if "mAP" in row), key=lambda row: row["mAP"])
            lines.append((title, BEST, best))
    names = [name for name in RESULTS if any(name in row for _, _, row in lines)]
    body = [
        [title, which, row["round"]]
        + [FORMS.get(n, "{:.1%}").format(row[n]) if n in row else "" for n in names]
        for title, which, row in lines
    ]
    return [["run", "", "round", *(RESULTS[name] for name in names)], *body]


def turned(rows: Rows) -> Rows:
    """Transpose the results of one run: a column for each of its rounds, which is narrower."""
    titles, lines = rows[0][3:], rows[1:]
    return [
        ["", *(f"{which}, round {number}" for _, which, number, *_ in lines)],
        *([title, *(line[i] for line in lines)] for i, title in enumerate(titles, 3)),
    ]


def settings(runs: Mapping[str, Mapping[str, Any]]) -> Rows:
    """List the settings in which a run differs from its method's defaults, or from another run.

    Args:
        runs: title and facts of each run, from `engine.folder.read_facts`.

    Returns:
        Setting, default (if all runs have the same method, and this package has it), and the
        value of each run.
    """
    asked = {title: flat(facts["settings"]) for title, facts in runs.items()}
    for title, facts in runs.items():
        asked[title] |= {name: f"{value} (auto)" for name, value in worked_out(facts).items()}
    for told in asked.values():
        if isinstance(file := told.get(WEIGHTS), str):
            told[WEIGHTS] = PurePath(file).name
    plain = {title: defaults(facts["method"]) for title, facts in runs.items()}
    methods = {facts["method"] for facts in runs.values()}
    names = dict.fromkeys(name for told in asked.values() for name in told)
    differing = [
        name
        for name in names
        if any(name in told and told[name] != plain[t].get(name) for t, told in asked.items())
        or differ(told.get(name) for told in asked.values())
    ]
    common = next(iter(plain.values())) if len(methods) == 1 else {}
    head = ["setting", *(["default"] if common else []), *runs]
    return [
        head,
        *(
            [name, *([common.get(name, "")] if common else [])]
            + [told.get(name, "") for told in asked.values()]
            for name in differing
        ),
    ]


def passed_on(path: str) -> str:
    """Return a relative path unchanged, and else only the name: the page may be passed on."""
    return PurePath(path).name if PurePath(path).is_absolute() else path


def defaults(method: str) -> dict[str, Any]:
    """Return the defaults of a method by dotted names; empty if this package does not have it."""
    kinds = {kind.__name__: kind for kind in METHODS.values()}
    if method not in kinds:
        return {}
    made = kinds[method]()
    return flat(json.loads(json.dumps(settings_of(made), default=str)))


def differ(values: Iterable[Any]) -> bool:
    """Return whether values, which JSON can hold, are not all equal."""
    return len({json.dumps(value) for value in values}) > 1


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Turn {"encoder": {"pooling": "gem"}} into {"encoder.pooling": "gem"}."""
    pairs: dict[str, Any] = {}
    for name, value in tree.items():
        inside = isinstance(value, Mapping) and value
        pairs |= flat(value, f"{above}{name}.") if inside else {above + name: value}
    return pairs


def about(runs: Mapping[str, Evidence]) -> Rows:
    """List the facts of each run: method, data, seed, device, and duration."""
    lines: dict[str, list[Any]] = {}
    for run in runs.values():
        facts, data = run.facts, run.facts.get("data", {})
        took = sum(row.get(f"{w}_seconds", 0) for row in run.rows for w in ("round", "searching"))
        source = facts.get("source")
        told = {
            "folder": passed_on(str(run.folder)),
            "method": facts["method"],
            "training images": data.get("images", ""),
            "source images": source["images"] if source else "",
            "starts from": passed_on(facts.get("start") or ""),
            "seed": facts["seed"],
            "device": facts.get("device", {}).get("name", ""),
            "precision": facts["precision"],
            "rounds done": int(run.rows[-1]["round"]) if run.rows else 0,
            "time of training and evaluation": duration(took),
        }
        for name, value in told.items():
            lines.setdefault(name, []).append(value)
    kept = {name: values for name, values in lines.items() if any(v != "" for v in values)}
    return [["", *runs], *([name, *values] for name, values in kept.items())]


def environments(runs: Mapping[str, Mapping[str, Any]]) -> Rows:
    """List the environment of each run: versions, machine, threads."""
    found = {title: facts.get("environment", {}) for title, facts in runs.items()}
    names = dict.fromkeys(name for told in found.values() for name in told)
    return [["", *runs], *([n, *(told.get(n, "") for told in found.values())] for n in names)]


def measured(runs: Mapping[str, Numbers]) -> Rows:
    """List all metrics of all rounds."""
    names = dict.fromkeys(name for rows in runs.values() for row in rows for name in row)
    lines = (
        [title, *(row.get(n, "") for n in names)] for title, rows in runs.items() for row in rows
    )
    return [["run", *names], *lines]


def show_run(runs: Sequence[Evidence], pictures: Thumbnails) -> Section:
    """Show the settings and metrics of the runs."""
    named = {run.title: run for run in runs}
    rows = {run.title: run.rows for run in runs}
    facts = {run.title: run.facts for run in runs}
    figures = {name: plot_rounds(rows, panel) for name, panel in PANELS.items()}
    figures["stages"] = plot_stages(rows)
    drawn = {f"run-{name}": (f, CAPTIONS[name]) for name, f in figures.items() if f is not None}
    changed = settings(facts)
    tables = {
        "run-results": results(rows),
        "run-settings": changed,
        "run-rounds": measured(rows),
        "run-environment": environments(facts),
    }
    parts = [
        paragraph(
            f"Round {number} of {run.title} failed or is not finished, so the previous round is "
            "the result."
        )
        for run in runs
        for number in run.unkept
    ]
    lines = tables["run-results"]
    if len(lines) > 1:
        told = table(turned(lines) if len(runs) == 1 else lines)
        told += paragraph(CHOSEN) if any(line[1] == BEST for line in lines) else ""
        parts += [beside(told, charts(drawn)) if len(runs) == 1 else told + charts(drawn)]
    else:
        parts += [paragraph("No round is finished yet.")]
    differs = "Settings that differ from the method's defaults" + (
        ", or between runs" if len(runs) > 1 else ""
    )
    if len(runs) == 1:  # its name is in the title of the page
        changed = [[*changed[0][:-1], "this run"], *changed[1:]]
    parts += [
        beside(
            "<h3>About</h3>" + _columns(about(named)),
            f"<h3>{differs}</h3>" + (table(changed) if len(changed) > 1 else paragraph("None.")),
            "<details><summary>Versions and machine</summary>"
            + _columns(tables["run-environment"])
            + "</details>",
        )
    ]
    return Section(
        "The run" if len(runs) == 1 else "The runs",
        "".join(parts),
        {n: f for n, (f, _) in drawn.items()},
        tables,
    )


def _columns(rows: Rows) -> str:
    """Return a table with a column for each run; a single one has no heading."""
    return table(rows) if len(rows[0]) > 2 else table(rows[1:], titled=False)


CHOSEN = (
    "The last round is the result of the run, unless the verdict names another one. The best round "
    "was chosen with the labels of the test set, as in most papers, so its numbers are too "
    "optimistic. Round 0 is the encoder before training."
)

CAPTIONS = {
    "accuracy": "Mean average precision, and share of queries whose first hit is right.",
    "loss": "Mean loss of each round. Rounds with different numbers of clusters are not "
    "comparable.",
    "terms": "Mean of each term in each round, before it is weighted.",
    "clusters": "Clusters found in each round.",
    "noise": "Share of the training images in no cluster (noise), which are not trained on.",
    "agreement": "1 is perfect. Noise images count as clusters of one; NMI without noise leaves "
    "them out (Eq. 7 of ADTC).",
    "stability": "1 means the same clusters as in the previous round, 0 unrelated ones. Needs no "
    "labels.",
    "score": "Share of its nearest neighbours that an image has in common with each of them, "
    "counting only other cameras if these are known. Usually rises with mAP, and needs no labels.",
    "rate": "Mean over the steps of a round, for the first parameter group.",
    "gate": "Mean size of the learnt weight that blends attention in; at 0 attention is off.",
    "gem": "1 is mean pooling; a large p is close to max pooling.",
    "stages": "Mean over all rounds; evaluation only counts in rounds that had one.",
}
"""The caption of each figure."""
