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
    """Detect and track the people in videos, and write each track as a tracklet of crops.

    The output folder can be given to every other command. Run the same command again to continue
    after an interruption, or to process videos that were added since.

    Parameters
    ----------
    films
        Videos, folders of videos, or the address of a camera stream (rtsp://...).
    out
        Folder for the crops, which are written as CAMERA/TRACKLET/FRAME.jpg with a manifest.csv.
    rate
        Frames to process per second of video; 0 processes every frame.
    watch
        Keep running and process new videos as a recorder writes them, until Ctrl-C is pressed.
    settle
        Seconds for which a video must not have changed before --watch reads it.
    detector
        Person detector: an .xml (OpenVINO) or .onnx file, or the name of a torchvision detector. By
        default the small detector that comes with reseen is used.
    detector_weights
        File with the weights of a torchvision detector. Nothing is downloaded.
    appearance
        A run, or reseen-tiny, whose features are used to recognise people again after they were
        hidden.
    gallery
        Gallery to which each tracklet is added when it ends; `reseen gallery create` creates one.
    camera
        Name of the camera of all videos. By default it is taken from folder or file names.
    start
        When the first video begins, such as 2026-01-31T18:05, if neither its name nor its metadata
        tells.
    pattern
        Pattern of the paths below the folder, such as {camera}/{time}.mp4 or
        {year}-{month}-{day}/{hour}/{camera}/{minute}.{second}.mp4; {_} stands for any text.
    cameras
        A .yaml or .toml file with the videos, the start and the areas to ignore of each camera.
    ignore_area
        A polygon in which people are ignored if they stand in it: "0,0 0.3,0 0.3,1 0,1", as
        fractions of width and height or in pixels. The option can be repeated.
    """
    if not films:
        raise SettingsError("FILMS is missing: give a video, a folder of videos or a stream.")
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
    said = f"The crops and manifest.csv are in {out}."
    give(asdict(summary), str(summary), said, as_json=as_json)


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
