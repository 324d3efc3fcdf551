"""`reseen search RUN PICTURE... --in CROPS`: who looks like this, and where."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from reseen import training
from reseen.cli.output import Quiet, give
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine.device import Device
from reseen.engine.files import check_out, refuse_inside
from reseen.engine.progress import Screen
from reseen.errors import SettingsError
from reseen.records import JUNK, Hit
from reseen.report.hits import write_hits
from reseen.report.page import check_page, warning
from reseen.report.thumbnails import Thumbnails


def search(
    run: Path,
    /,
    *pictures: Path,
    gallery: Annotated[Path, Parameter(name="--in")],
    top: int = 10,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    blur: bool = False,
    centring: str = "off",
    centring_from: Path | None = None,
    camera: str | None = None,
    best: bool = False,
    adapt_norm: Path | None = None,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print each hit as one line of JSON.")
    ] = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Print the crops that look most like each of the given pictures, the most similar first.

    Similarity is not proof of identity: some crop always comes first, even if the person is not
    there at all. If a picture is one of the crops itself, it is left out of its own hits.

    Parameters
    ----------
    run
        Folder of a run, one of its checkpoints, a file written by `reseen export`, or reseen-tiny,
        the encoder that comes with reseen.
    pictures
        Pictures of whom to look for: crops of one person each, or folders of such crops.
    gallery
        Folder or manifest of the crops to search.
    top
        Number of hits for each picture.
    out
        Also write the pictures and their hits to this .html file.
    blur
        Blur the upper quarter of every crop on the page, where the face usually is.
    centring
        How to centre the features of each camera, using the camera statistics of the run: mean
        (subtract the mean), deviation (also divide by the standard deviation) or off.
    centring_from
        Compute the camera statistics from the training crops of this folder instead.
    camera
        Camera to assume, for centring, if a picture does not tell its camera. By default it is
        treated as taken by an average camera.
    best
        Use the checkpoint that was best on the test set instead of the one of the last round.
    adapt_norm
        Images on which the batch-norm statistics of the encoder are recomputed first. Useful for an
        encoder that was not trained on images of this site.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    if not pictures:
        raise SettingsError("PICTURE is missing: give one or more pictures to look for.")
    if out is not None:
        check_out(out, ".html", Screen(quiet))
        check_page(out)
        for folder in filter(Path.is_dir, (gallery, *pictures)):
            refuse_inside(out, folder)
    dataset = read(gallery, format=format, pattern=pattern, folders=folders)
    encoder = training.embedder(
        run, best=best, adapt_norm=adapt_norm, device=device, loading=loading, quiet=quiet
    )
    if centring_from is not None:
        site = read(centring_from, format=format, pattern=pattern, folders=folders)
        training.learn_cameras(encoder, site, loading=loading, quiet=quiet)
    how: Any = dict(centring=centring, camera=camera, loading=loading, quiet=quiet)
    hits = training.search(encoder, pictures, dataset, top, **how)
    if out is not None:
        title = f"Search in {dataset.name} by {run.resolve().name}"
        write_hits(out, hits, dataset.cameras, title=title, blur=blur)
    if as_json:
        for hit in hits:
            give({"query": hit.query.path, **_told(hit, dataset.cameras)}, as_json=True)
        return
    page = [] if out is None else [f"{out.resolve()}: open it in a browser"]
    give(None, *_tables(hits, dataset.cameras), *warning(Thumbnails()), *page, as_json=False)


def _told(hit: Hit, cameras: Mapping[int, str]) -> dict[str, Any]:
    camera, person = hit.image.camera, hit.image.person
    return {
        "rank": hit.rank,
        "similarity": round(hit.similarity, 4),
        "camera": camera if camera is None else cameras.get(camera, camera),
        "person": None if person == JUNK else person,
        "path": hit.image.path,
    }


def _tables(hits: list[Hit], cameras: Mapping[int, str]) -> Iterator[Table]:
    for query, found in groupby(hits, key=lambda hit: hit.query):
        rows = [_told(hit, cameras) for hit in found]
        names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
        table = Table(title=str(query.path), title_justify="left", box=None)
        for name in names:
            table.add_column(name, justify="left" if name == "path" else "right")
        for row in rows:
            words = {**row, "similarity": f"{row['similarity']:.3f}"}
            table.add_row(*("" if words[n] is None else str(words[n]) for n in names))
        yield table
