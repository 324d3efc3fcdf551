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
    """Write an HTML report on one run, or on several runs side by side, also during training.

    The page is self-contained. Its figures (PNG, SVG) and numbers (CSV) are also written to a
    folder next to it: report.reseen for report.html. A report only ever overwrites files that a
    report has written.

    Parameters
    ----------
    runs
        Folders of runs, or reseen-tiny, the encoder that comes with reseen. The data may be given
        as the last argument.
    out
        The .html file to write.
    data
        Data set of the runs, for the parts that need images, cameras, people, queries or a gallery.
    only
        Parts to write: verdict, run, sweep, map, clusters, ranked, errors, threshold, attention. By
        default all are written; verdict, run and sweep take only seconds, as they need no features.
    blur
        Blur the upper quarter of every crop, where the face usually is.
    no_pictures
        Show no crops.
    map
        Method for the map of features: tsne, pca, or umap (requires umap-learn).
    points
        Number of images on the maps.
    stages
        Parts of the backbone whose class activation maps are shown, such as layer2.0. By default
        the main stages are shown.
    false_match_rate
        Share of the pairs of different people that may match at the threshold.
    centring
        How to centre the features of each camera, using the camera statistics of each run: mean
        (subtract the mean), deviation (also divide by the standard deviation) or off.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
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
    print(
        f"{out.resolve()}: open it in a browser; figures and numbers are in {figures_folder(out)}"
    )
