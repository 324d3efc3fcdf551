"""`reseen report RUN... [DATA] --out report.html`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reseen.cli.output import Out, Quiet
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine.device import Device
from reseen.engine.progress import Screen
from reseen.report.maps import POINTS
from reseen.report.page import figures_folder
from reseen.report.report import write_report
from reseen.report.threshold import RATE


def report(
    *runs: Path,
    out: Out = Path("report.html"),
    data: Path | None = None,
    only: tuple[str, ...] = (),
    blur: bool = False,
    no_pictures: bool = False,
    map: str = "tsne",
    points: int = POINTS,
    stages: tuple[str, ...] = (),
    false_match_rate: float = RATE,
    centring: str = "off",
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Write a page on one run, or on several side by side; also during training.

    The page needs nothing but itself. Figures (PNG, SVG) and numbers (CSV) go into a folder beside
    it: report.reseen for report.html. Nothing that a report did not make is replaced.

    Parameters
    ----------
    runs
        Folders of runs, or reseen-tiny (ships, is used untrained); the data may follow as the last
        one.
    out
        The .html file to write.
    data
        The data of the runs, for cameras, people, queries and gallery where it has them.
    only
        Parts to write: verdict, run, sweep, map, clusters, ranked, errors, threshold, attention.
        All where none is named; verdict, run and sweep take seconds, as they need no features.
    blur
        Blur the upper quarter of every crop, where faces are.
    no_pictures
        Leave out every crop.
    map
        tsne, pca, or umap (needs umap-learn).
    points
        Images on the maps.
    stages
        Parts of the backbone whose class activation maps are shown, such as layer2.0; the main ones
        where none is named.
    false_match_rate
        Share of the pairs of different people that may match at the threshold.
    centring
        mean, deviation or off: what is taken out of the features of each camera, by what each run
        has learnt of its cameras.
    format
        auto, folder, tracklets, or a benchmark: market1501, dukemtmc, msmt17, personx, cuhk03,
        market_like, veri776, by_person, mars or dukevideo.
    pattern
        How file names are made, for a plain folder: {camera}_{person}_{_}.jpg.
    folders
        What each sub-folder of a plain folder is: person, camera, or auto, which guesses.
    """
    if data is None and len(runs) > 1 and not (runs[-1] / "run.json").is_file():
        runs, data = runs[:-1], runs[-1]
    dataset = None if data is None else read(data, format=format, pattern=pattern, folders=folders)
    for note in dataset.notes if dataset else ():
        Screen().say(note)
    write_report(
        runs,
        out,
        data=dataset,
        only=only,
        blur=blur,
        pictures=not no_pictures,
        map=map,
        points=points,
        stages=stages,
        false_match_rate=false_match_rate,
        centring=centring,
        device=device,
        loading=loading,
        quiet=quiet,
    )
    print(f"{out.resolve()}: open it in a browser; figures and numbers: {figures_folder(out)}")
