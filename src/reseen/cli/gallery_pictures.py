"""`reseen gallery VERB G ...`: what looks at pictures, and so needs the encoder."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from reseen.cli.output import AsJson, Quiet, give
from reseen.data.given import gather
from reseen.data.reading import read
from reseen.engine.device import Device
from reseen.engine.files import check_out
from reseen.engine.progress import Screen
from reseen.errors import SettingsError, counted
from reseen.gallery.gallery import Gallery
from reseen.gallery.moments import moment, told
from reseen.gallery.records import Added, Match
from reseen.records import Image
from reseen.report.page import check_page, figures_folder, warning, write_files, write_page
from reseen.report.section import Section, paragraph
from reseen.report.sheets import Cell, Row, sheet_html
from reseen.report.thumbnails import Thumbnails

Onnx = Annotated[
    bool,
    Parameter(
        negative="--no-onnx",
        help="On a CPU, extract features with ONNX Runtime if it is installed, which is several "
        "times as fast. Preparing it takes up to a minute, once.",
    ),
]


def create(
    gallery: Path,
    /,
    *,
    run: Path,
    store: str | None = None,
    centring: str = "auto",
    onnx: Onnx = True,
    quiet: Quiet = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Create an empty gallery, which keeps a copy of the encoder.

    Parameters
    ----------
    gallery
        Folder to create.
    run
        Folder of a run, one of its checkpoints, or reseen-tiny, the encoder that comes with reseen.
    store
        Where crops and names are stored. By default everything is stored in the folder.
        postgresql://USER@HOST/DATABASE stores everything but the encoder in that database; the
        password is taken from PGPASSWORD or ~/.pgpass.
    centring
        How to centre the features of each camera, using the camera statistics of the run: mean
        (subtract the mean), deviation (also divide by the standard deviation), off, or auto, which
        is deviation if the run knows its cameras.
    """
    how: Any = dict(centring=centring, onnx=onnx, device=device, quiet=quiet)
    with Gallery.create(gallery, run, store=store, **how) as made:
        knows = made.centring != "off"
        said = f"created the empty gallery {gallery} with the encoder of {run}"
        said += f" and features centred by camera ({made.centring})" if knows else ""
    if not quiet:
        give(None, f"{said}. Add crops: reseen gallery add {gallery} CROPS", as_json=False)


def add(
    gallery: Path,
    /,
    *crops: Path,
    camera: str | None = None,
    time: str | None = None,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Add crops to a gallery. Crops that it already has are skipped, so the command can be resumed.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    crops
        Folders of crops, manifests, tracklets, or single pictures.
    camera
        Name of the camera for crops that do not tell their camera.
    time
        Time for crops that do not tell when they were taken: 2026-11-28T10:00, or 2h for two hours
        ago. Crops of two cameras with exactly the same time count as two people, so add the crops
        of one camera at a time.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    taken = moment(time, "--time")
    if not crops:
        raise SettingsError("CROPS is missing: give one or more folders, manifests or pictures.")
    data = [read(path, format=format, pattern=pattern, folders=folders) for path in crops]
    done: list[Added] = []
    with Gallery.open(gallery, device) as opened:
        for one in data:
            done.append(opened.add(one, camera=camera, time=taken, quiet=quiet))
        total = opened.store.count()
    _give_added(done, total, quiet, as_json)


def enrol(
    gallery: Path,
    /,
    *pictures: Path,
    name: Annotated[str, Parameter(name="--as")],
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Add pictures of a person to a gallery, and name them.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    pictures
        Crops of the person, or folders of such crops.
    name
        Name of the person, who may be known or new.
    """
    if not pictures:
        raise SettingsError("PICTURE is missing: give one or more pictures of the person.")
    with Gallery.open(gallery, device) as opened:
        added = opened.enrol(name, pictures, quiet=quiet)
        total = opened.store.count()
    _give_added([added], total, quiet, as_json)


def _give_added(done: Sequence[Added], total: int, quiet: bool, as_json: bool) -> None:
    new, known, broken = (
        sum(getattr(one, what) for one in done) for what in ("new", "known", "broken")
    )
    screen = Screen(quiet)
    for line in [line for one in done for line in one.lines][:20]:
        screen.say(f"  skipped because it cannot be read: {line}")
    said = f"{counted(new, 'new crop')}, {known:,} known before, {broken:,} that cannot be read"
    numbers = {"new": new, "known": known, "broken": broken, "crops": total}
    give(numbers, f"{said}; {counted(total, 'crop')} in all", as_json=as_json)


def rebuild(
    gallery: Path,
    run: Path,
    /,
    *,
    centring: str = "auto",
    onnx: Onnx = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Change the encoder of a gallery, and recompute all features from the stored pictures.

    Names and decisions are kept. The thresholds have to be calibrated again. The gallery can be
    used with the old features in the meantime. Run the same command again to continue after an
    interruption.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    run
        Folder of a run, one of its checkpoints, or reseen-tiny.
    centring
        How to centre the features of each camera, using the camera statistics of the run: mean
        (subtract the mean), deviation (also divide by the standard deviation), off, or auto, which
        is deviation if the run knows its cameras.
    """
    with Gallery.open(gallery, device) as opened:
        made = opened.rebuild(run, centring=centring, onnx=onnx, quiet=quiet)
    said = f"computed {counted(made, 'feature')} with the encoder of {run}"
    give({"vectors": made}, said, as_json=as_json)


def search(
    gallery: Path,
    /,
    *pictures: Path,
    camera: str | None = None,
    since: str | None = None,
    until: str | None = None,
    top: int = 10,
    same_camera: Annotated[bool, Parameter(negative="--no-same-camera")] = True,
    rerank: bool = False,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    blur: bool = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print each match as one line of JSON.")
    ] = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Print the crops that look most like each of the given pictures, the most similar first.

    Every match gets a verdict by the thresholds of the gallery: same, maybe or unknown. Similarity
    is not proof of identity: some crop always comes first, even if the person is not there at all.
    Ignored crops are left out, and so is the picture itself if the gallery holds it.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    pictures
        Pictures of whom to look for: crops of one person each, or folders of such crops.
    camera
        Only find crops of this camera.
    since
        Only find crops from this time on: 2026-11-28T10:00, yesterday, or 2h for the last two
        hours.
    until
        Only find crops until this time.
    top
        Number of matches for each picture.
    same_camera
        Also find crops of the camera that took the picture, if that camera is known.
    rerank
        Sort the best matches by k-reciprocal re-ranking.
    out
        Also write the pictures and their matches to this .html file.
    blur
        Blur the upper quarter of every crop on the page, where the face usually is.
    """
    if not pictures:
        raise SettingsError("PICTURE is missing: give one or more pictures to look for.")
    if out is not None:
        check_out(out, ".html", Screen(quiet))
        check_page(out)
    when = dict(since=moment(since, "--since"), until=moment(until, "--until"))
    with Gallery.open(gallery, device) as opened:
        asked = gather(pictures).images
        how: Any = dict(camera=camera, **when, top=top, same_camera=same_camera, rerank=rerank)
        found = list(zip(asked, opened.search(pictures, **how), strict=True))
        cutoffs = opened.cutoffs
        if out is not None:
            _write_page(out, found, opened, blur)
    if as_json:
        for query, matches in found:
            for match in matches:
                rows = {"query": query.path, **_told(match), "cutoffs": cutoffs.source}
                give(rows, as_json=True)
        return
    ordered = ["Sorted by k-reciprocal re-ranking."] if rerank else []
    page = [] if out is None else [f"{out.resolve()}: open it in a browser"]
    cut = f"same from {cutoffs.same:.3f} on, maybe from {cutoffs.maybe:.3f} on"
    give(
        None,
        *(_table(str(query.path), [_told(match) for match in matches]) for query, matches in found),
        *(*ordered, f"{cut}. {cutoffs.source}", *warning(Thumbnails()), *page),
        as_json=False,
    )


def seen(
    gallery: Path,
    who: str,
    /,
    *,
    since: str | None = None,
    until: str | None = None,
    gap: float = 60,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print each sighting as one line of JSON.")
    ] = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Show where and when a person was seen.

    For a name, these are the crops with this name, and the crops without a name whose verdict by
    the thresholds of the gallery is same or maybe. For a picture, they are all crops with such a
    verdict.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    who
        Name of a person, or a picture.
    since
        Only show sightings from this time on: 2026-11-28T10:00, yesterday, or 2h for the last two
        hours.
    until
        Only show sightings until this time.
    gap
        Seconds without a crop after which a new sighting at the same camera begins.
    """
    when = dict(since=moment(since, "--since"), until=moment(until, "--until"))
    with Gallery.open(gallery, device) as opened:
        found = opened.seen(who, **when, gap=gap)
        cutoffs = opened.cutoffs
    rows = [
        {
            "camera": sighting.camera,
            "begin": sighting.begin,
            "end": sighting.end,
            "crops": len(sighting.crops),
            "similarity": round(sighting.similarity, 4),
            "verdict": sighting.verdict,
        }
        for sighting in found
    ]
    if as_json:
        for row, sighting in zip(rows, found, strict=True):
            give({**row, "ids": [crop.id for crop in sighting.crops]}, as_json=True)
        return
    if not rows:
        give(None, f"{who} was not seen. {cutoffs.source}", as_json=False)
        return
    give(None, _table(who, rows), cutoffs.source, *warning(Thumbnails()), as_json=False)


def _told(match: Match) -> dict[str, Any]:
    crop = match.crop
    return {
        "rank": match.rank,
        "similarity": round(match.similarity, 4),
        "verdict": match.verdict,
        "camera": crop.camera,
        "time": crop.time,
        "person": crop.person,
        "id": crop.id,
        "source": crop.source,
    }


_TIMES = ("time", "begin", "end")
_NUMBERS = ("rank", "similarity", "crops")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    names = [name for name in (rows[0] if rows else ()) if any(r[name] is not None for r in rows)]
    for name in names:
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for row in rows:
        words = {name: told(row[name]) if name in _TIMES else row[name] for name in names}
        if "similarity" in words:
            words["similarity"] = f"{row['similarity']:.3f}"
        table.add_row(*("" if word is None else str(word) for word in words.values()))
    return table


def _write_page(
    out: Path, found: Sequence[tuple[Image, list[Match]]], gallery: Gallery, blur: bool
) -> None:
    """Write matches as a page, and as `matches.csv` in the folder beside it."""
    thumbnails, sheet = Thumbnails(blur=blur), []
    rows = [["query", *(_told(found[0][1][0]) if found and found[0][1] else ())]]
    with TemporaryDirectory() as place:
        for query, matches in found:
            cells = [Cell(query, "", "query")]
            for match in matches:
                file = Path(place) / match.crop.id
                file.write_bytes(gallery.picture(match.crop.id))
                camera = match.crop.camera or ""
                camera = f"c{camera}" if camera.isdigit() else camera
                seen = " ".join(filter(None, (match.crop.person, camera)))
                said = f"{seen} {match.similarity:.2f} {match.verdict}".strip()
                cells.append(Cell(Image(file), said))
                rows.append([query.path.as_posix(), *_told(match).values()])
            sheet.append(Row(query.path.name, "", cells))
        html = sheet_html(sheet, thumbnails)
    cutoffs = gallery.cutoffs
    about = (
        "Each row shows the picture that was searched for, framed in blue, followed by the most "
        "similar crops. The caption of a crop gives its person and camera, if they are known, its "
        f"similarity, and the verdict: same from {cutoffs.same:.3f} on, maybe from "
        f"{cutoffs.maybe:.3f} on. {cutoffs.source}"
    )
    section = Section("Most similar crops", paragraph(about) + html, tables={"matches": rows})
    write_files(figures_folder(out), [section])
    note = f"The matches are also in {figures_folder(out).name}/matches.csv."
    write_page(out, f"Search in {gallery.folder.name}", [section], thumbnails, [note])
