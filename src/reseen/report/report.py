"""The report of runs: one page, and a folder of figures and numbers beside it."""

from collections.abc import Callable, Sequence
from functools import partial
from os.path import commonpath
from pathlib import Path
from typing import Any

from reseen.data.loading import Loading
from reseen.engine.cam import check_stages
from reseen.engine.device import Device
from reseen.engine.extract import statistics_for
from reseen.engine.files import check_out, refuse_inside
from reseen.engine.folder import damaged_metrics, read_paths
from reseen.engine.progress import Screen
from reseen.errors import CheckpointError, SettingsError, counted
from reseen.nets.backbones import TINY
from reseen.records import Dataset
from reseen.report.attention import show_attention
from reseen.report.clusters import show_clusters
from reseen.report.curves import show_run
from reseen.report.errors import show_errors
from reseen.report.evidence import Evidence, titles
from reseen.report.maps import POINTS, check_map, show_map
from reseen.report.page import check_page, figures_folder, write_files, write_page
from reseen.report.ranked import show_ranked
from reseen.report.section import Section
from reseen.report.sweep import show_sweep
from reseen.report.threshold import RATE, check_rate, show_threshold
from reseen.report.thumbnails import Thumbnails
from reseen.report.verdict import show_verdict
from reseen.training import is_shipped

SECTIONS: dict[str, Callable[[Sequence[Evidence], Thumbnails], Section]] = {
    "verdict": show_verdict,
    "run": show_run,
    "sweep": show_sweep,
    "map": show_map,
    "clusters": show_clusters,
    "ranked": show_ranked,
    "errors": show_errors,
    "threshold": show_threshold,
    "attention": show_attention,
}
"""The parts of a report, in their order."""

OF_RUNS = ("verdict", "run", "sweep", "clusters")
"""Parts that need a run, not only an encoder."""


def write_report(
    runs: Sequence[Path | str],
    path: Path | str,
    *,
    data: Dataset | None = None,
    only: Sequence[str] = (),
    blur: bool = False,
    pictures: bool = True,
    map: str = "tsne",
    points: int = POINTS,
    stages: Sequence[str] = (),
    false_match_rate: float = RATE,
    centring: str = "off",
    device: Device | None = None,
    loading: Loading | None = None,
    quiet: bool = False,
) -> list[Section]:
    """Write a report about runs, as a page and as files beside it.

    A run does not have to be finished: the page shows its rounds so far, and its last encoder.

    Args:
        runs: their folders, or `reseen-tiny`; several are compared, each once.
        path: the .html file to write; PNG, SVG and CSV are written to NAME.reseen beside it. Only
            files of a report are replaced.
        data: the training data. Without it there are no queries, and the cameras and people of the
            training images are unknown.
        only: names of SECTIONS to write; by default all, and `sweep` if there are several runs.
        blur: whether to blur the upper quarter of every crop.
        pictures: whether to include crops.
        map: tsne, pca or umap.
        points: number of images on the maps.
        stages: parts of the backbone whose class activation maps are shown; by default the main
            ones.
        false_match_rate: share of the pairs of different people that may match at the threshold.
        centring: mean, deviation or off, as in `training.extract`.
        device: where to compute.
        loading: how pictures are read.
        quiet: whether to print nothing.

    Returns:
        The sections, whose figures a notebook can show.

    Raises:
        SettingsError: a name or number is invalid, or the page cannot be written there.
        CheckpointError: a folder holds no run.
        DataError: pictures are missing, or cannot be read.
    """
    path = Path(path)
    screen = Screen(quiet)
    check_out(path, ".html", screen)
    check_page(path)
    unknown = [name for name in only if name not in SECTIONS]
    if unknown or not runs or points < 2:
        raise SettingsError(
            f"only is {', '.join(only) or 'nothing'}, there are {len(runs)} runs and points is "
            f"{points}. Use some of {', '.join(SECTIONS)}; 1 run or more; 2 points or more."
        )
    check_map(map)
    check_rate(false_match_rate)
    folders = list({Path(run).resolve(): Path(run) for run in runs}.values())
    for folder in folders:
        if not (folder.exists() or is_shipped(folder)):
            raise CheckpointError(
                f"{folder} does not exist. Give the folder of a run, or {TINY} and crops."
            )
    roots = {data.root} if data else set()
    for root in roots.union(*({p.parent for p in read_paths(folder)} for folder in folders)):
        refuse_inside(path, root)
    reading: Any = dict(device=device, loading=loading, screen=screen)
    evidence = [
        Evidence(folder, data, title=title, centring=centring, **reading)
        for folder, title in zip(folders, titles(folders), strict=True)
    ]
    for run in evidence:
        if run.trained:
            statistics_for(run.encoder, centring)
        if stages and run.trained:
            check_stages(run.encoder, stages)
    kept = Thumbnails(blur=blur, pictures=pictures)
    shows = SECTIONS | {
        "attention": partial(show_attention, stages=stages),
        "threshold": partial(show_threshold, rate=false_match_rate),
        "map": partial(show_map, kind=map, most=points),
    }
    learnt = [run for run in evidence if not run.shipped]
    every = [name for name in SECTIONS if name != "sweep" or len(learnt) > 1]
    names = [n for n in SECTIONS if n in (only or every) and (learnt or n not in OF_RUNS)]
    if not names:
        raise SettingsError(
            f"only is {', '.join(only)}, but these parts need a run, and {folders[0]} is not one. "
            "Give other parts, or leave out only."
        )
    sections = []
    for number, name in enumerate(names, 1):
        screen.say(f"report: {name}, part {number} of {len(names)}")
        sections.append(shows[name](learnt if name in OF_RUNS else evidence, kept))
    screen.say("report: writing figures")
    said = notes(evidence, figures_folder(path))
    if write_files(figures_folder(path), sections, screen.track("writing figures")):
        said.append(REPLACED)
        screen.say(REPLACED)
    screen.say("report: writing the page")
    write_page(path, page_title(evidence), sections, kept, said)
    return sections


def page_title(runs: Sequence[Evidence]) -> str:
    """Name a page after the data of its runs, and after the runs.

    Without data it is named after the folder that contains all training images.
    """
    names = []
    for run in runs:
        above = {str(image.parent.resolve()) for image in read_paths(run.folder)}
        root = Path(commonpath(above)).name if above else ""
        names.append(run.data.name if run.data else root)
    data = ", ".join(filter(None, dict.fromkeys(names)))
    named = ", ".join(run.title for run in runs)
    return (f"{data} ({named})" if data else named).encode(errors="replace").decode()


def notes(runs: Sequence[Evidence], folder: Path) -> list[str]:
    """Return notes on what a page cannot show without data, and on the files beside it."""
    said = []
    if runs[0].data is None:
        said.append(
            "No data was given with the runs, so cameras and people are unknown and there was no "
            "evaluation (--data DATA)."
        )
    if any(run.first_frames for run in runs):
        said.append("Only the first frame of each tracklet is known, and represents the tracklet.")
    if runs[0].centring != "off":
        said.append(
            f"Features are centred by camera ({runs[0].centring}), using the camera statistics of "
            "each run, except in the curves of the runs."
        )
    said += [
        f"{counted(run.left_out, 'training image')} of {run.title} cannot be read and "
        f"{'is' if run.left_out == 1 else 'are'} left out."
        for run in runs
        if run.left_out
    ]
    said += [
        f"{counted(damaged, 'damaged line')} in metrics.jsonl of {run.title} "
        f"{'is' if damaged == 1 else 'are'} left out."
        for run in runs
        if (damaged := damaged_metrics(run.folder))
    ]
    said.append(f"Figures (PNG, SVG) and numbers (CSV) are next to this page in {folder.name}/.")
    return said


REPLACED = (
    "No font on this machine has some characters that occur in names, so PNG figures show their "
    "code points, such as \\u5165. The page, SVG and CSV files contain the characters themselves."
)
