"""`reseen video FILM... --out CROPS`: from a camera's films to tracklets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from reseen.cli.output import AsJson, Out, Quiet, give
from reseen.engine.files import check_out
from reseen.engine.progress import Screen
from reseen.errors import SettingsError
from reseen.records import Image
from reseen.video import CropSettings, TrackSettings, find_films, load_detector, make_tracklets
from reseen.video.films import moment_of, read_area
from reseen.video.pipeline import Look


def video(
    *films: str,
    out: Out,
    rate: float = 5.0,
    watch: bool = False,
    settle: float = 10.0,
    detector: str | None = None,
    detector_weights: Path | None = None,
    appearance: str | None = None,
    gallery: Path | None = None,
    camera: str | None = None,
    start: str | None = None,
    pattern: str | None = None,
    cameras: Path | None = None,
    ignore_area: tuple[str, ...] = (),
    quiet: Quiet = False,
    as_json: AsJson = False,
    crops: Annotated[CropSettings, Parameter(name="*")] = CropSettings(),  # noqa: B008 (frozen)
    tracks: Annotated[TrackSettings, Parameter(name="*")] = TrackSettings(),  # noqa: B008 (frozen)
) -> None:
    """Find the people in films, and write each as a tracklet: crops that belong together.

    The folder can be given to every other command. The same command goes on where it was stopped,
    and reads films that have come since.

    Parameters
    ----------
    films
        Films, folders of films, or the address of a camera's stream (rtsp://...).
    out
        Folder for the crops, as CAMERA/TRACKLET/FRAME.jpg with a manifest.csv.
    rate
        Frames to look at a second; 0 looks at all.
    watch
        Go on with films that come later, as a recorder writes them, until Ctrl-C.
    settle
        Seconds for which a film must not have changed before --watch reads it.
    detector
        Who finds people: an .xml (OpenVINO) or .onnx file, or one of torchvision's detectors by
        name; by default the small one that ships.
    detector_weights
        Weights of a detector of torchvision, which fetches nothing.
    appearance
        Run, or reseen-tiny, by whose features people are found again who were hidden.
    gallery
        Gallery to which each tracklet is added as it closes (reseen gallery create).
    camera
        Name of the camera of all films; by default folders or names say it.
    start
        When the first film begins, such as 2026-01-31T18:05, where neither its name nor its
        metadata say it.
    pattern
        How paths below the folder are made, such as {camera}/{time}.mp4 or
        {year}-{month}-{day}/{hour}/{camera}/{minute}.{second}.mp4; {_} is anything.
    cameras
        A .yaml or .toml file that says films, start and areas to ignore of each camera.
    ignore_area
        A polygon where nobody counts, by where they stand: "0,0 0.3,0 0.3,1 0,1", as shares of
        width and height or in pixels. May be given more than once.
    """
    if not films:
        raise SettingsError("FILMS is missing: give a film, a folder of films or a stream.")
    screen = Screen(quiet)
    check_out(out, screen=screen)
    areas = tuple(map(read_area, ignore_area))
    begin = None if start is None else moment_of(start, "--start")
    detect = load_detector(detector, detector_weights)
    with _opened(gallery) as added:
        summary = make_tracklets(
            lambda: find_films(
                films, camera=camera, start=begin, pattern=pattern, cameras=cameras, areas=areas
            ),
            out,
            rate=rate,
            crops=crops,
            tracks=tracks,
            detector=detect,
            look=_look(appearance) if appearance else None,
            facts=dict(detector=detector, appearance=appearance, areas=list(ignore_area)),
            gallery=added,
            watch=watch,
            settle=settle,
            screen=screen,
        )
    give(asdict(summary), str(summary), f"crops and manifest.csv: {out}", as_json=as_json)


@contextmanager
def _opened(
    folder: Path | None,
) -> Iterator[tuple[str, Callable[[list[Image]], Any]] | None]:
    """Open a gallery, and give its name and how tracklets are added to it."""
    if folder is None:
        yield None
        return
    from reseen.gallery.gallery import Gallery

    with Gallery.open(folder) as gallery:
        yield str(folder.resolve()), gallery.add


def _look(run: str) -> Look:
    from reseen.training import load
    from reseen.video.looks import looks

    return looks(load(run, quiet=True))
