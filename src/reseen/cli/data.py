"""`reseen data ...`."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from reseen.cli.output import AsJson, Out, Quiet, Seed, give
from reseen.data import check as checks
from reseen.data import invented
from reseen.data.listing import is_picture
from reseen.data.reading import read
from reseen.engine.files import check_out, refuse_inside
from reseen.engine.progress import Screen
from reseen.errors import counted


def check(
    folder: Path,
    /,
    *,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say what a data set holds and what will hurt, with the fix for each.

    The exit code is 0 where nothing will hurt, 2 where something will, and 1 where the data cannot
    be read at all.

    Parameters
    ----------
    folder
        Folder or manifest of crops.
    format
        auto, folder, tracklets, or a benchmark: market1501, dukemtmc, msmt17, personx, cuhk03,
        market_like, veri776, by_person, mars or dukevideo.
    pattern
        How file names are made, for a plain folder: {camera}_{person}_{_}.jpg.
    folders
        What each sub-folder of a plain folder is: person, camera, or auto, which guesses.
    """
    dataset = read(folder, format=format, pattern=pattern, folders=folders)
    report = checks.check(dataset, track=Screen(quiet).track("reading"))
    give(asdict(report), str(report), as_json=as_json)
    if report.problems:
        sys.exit(2)


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """The knobs of `Difficulty`; the town's own where nothing is given."""

    camera_gap: float | None = None
    """How far cameras differ in colour, light, noise and sharpness, 0 to 1."""
    look_alikes: float | None = None
    """Share of pairs of people who are dressed alike, 0 to 1."""
    occlusion: float | None = None
    """How often somebody or something stands in front, 0 to 1."""
    box_error: float | None = None
    """How far the detector's boxes are off, 0 to 1."""


def invent(
    *,
    out: Out,
    people: int = 200,
    cameras: int = 6,
    views: int = 4,
    kept: tuple[float, float] = (1.0, 1.0),
    seed: Seed = 0,
    height: int = 128,
    width: int = 64,
    town: str = "town-a",
    tracklets: int = 0,
    quiet: Quiet = False,
    difficulty: Knobs = Knobs(),
) -> None:
    """Draw people who do not exist, as the cameras of a town see them.

    Parameters
    ----------
    out
        Folder to fill, new or empty.
    people
        People to learn from; as many others are there to judge by.
    cameras
        Cameras, each of which sees everybody.
    views
        Pictures of each person by each camera.
    kept
        Least and most share of these that stays of a person to learn from: 0.1 0.9 makes a town in
        which some people have many pictures and others few. Cameras stay as even as they can.
    seed
        Chooses the people, the cameras and every picture.
    height
        Height of the pictures, in pixels.
    width
        Width of the pictures, in pixels.
    town
        town-a, a sunny campus, or town-b, a winter station.
    tracklets
        Frames of each passage to write besides, for video; 0 for none, 24 at most.
    """
    check_out(out, screen=Screen())
    above = out.parent if out.parent.exists() else out.parent.parent
    files = [path for path in above.glob("*") if path.is_file()]
    if 2 * sum(map(is_picture, files)) > len(files):
        refuse_inside(out, above)
    given = {name: value for name, value in asdict(difficulty).items() if value is not None}
    sizes = dict(people=people, cameras=cameras, views=views, height=height, width=width)
    invented.invent(
        out,
        **sizes,
        kept=kept,
        seed=seed,
        town=town,
        difficulty=replace(invented.find_town(town).difficulty, **given),
        tracklets=tracklets,
        track=Screen(quiet).track("drawing"),
    )
    found = read(out)
    frames = f", {2 * people * cameras * tracklets} frames of tracklets" if tracklets else ""
    print(
        f"{counted(len(found.train), 'crop')} of {counted(people, 'person', 'people')} to learn "
        f"from, {counted(len(found.query), 'query', 'queries')}, "
        f"{len(found.gallery)} in the gallery{frames}; masks and manifest.csv: {out}"
    )
