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
    """Show what a data set holds, which problems it will cause, and how to fix each.

    The exit code is 0 if there are no problems, 2 if there are some, and 1 if the data cannot be
    read at all.

    Parameters
    ----------
    folder
        Folder or manifest of crops.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    dataset = read(folder, format=format, pattern=pattern, folders=folders)
    report = checks.check(dataset, track=Screen(quiet).track("reading"))
    give(asdict(report), str(report), as_json=as_json)
    if report.problems:
        sys.exit(2)


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """The settings of `Difficulty`; those that are not given are the town's own."""

    camera_gap: float | None = None
    """How much cameras differ in colour, light, noise and sharpness, 0 to 1."""
    look_alikes: float | None = None
    """Share of people who are dressed like somebody else, 0 to 1."""
    occlusion: float | None = None
    """How often a person is partly hidden by somebody or something, 0 to 1."""
    box_error: float | None = None
    """How inaccurate the bounding boxes are, 0 to 1."""


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
    """Draw a data set of invented people, as seen by the cameras of a town.

    Parameters
    ----------
    out
        Folder to write to, new or empty.
    people
        Number of people in the training split; the test split has as many other people.
    cameras
        Number of cameras. Each camera sees every person.
    views
        Number of pictures of each person by each camera.
    kept
        Smallest and largest share of the pictures of a training person that is kept: with 0.1 0.9,
        some people have many pictures and others few. The cameras stay as balanced as possible.
    seed
        Seed that determines the people, the cameras and every picture.
    height
        Height of the pictures, in pixels.
    width
        Width of the pictures, in pixels.
    town
        Style of the data set: town-a, a sunny campus, or town-b, a railway station in winter.
    tracklets
        Frames per tracklet to draw in addition, for video; 0 draws no tracklets, 24 is the maximum.
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
        f"{counted(len(found.train), 'training crop')} of {counted(people, 'person', 'people')}, "
        f"{counted(len(found.query), 'query', 'queries')}, "
        f"{len(found.gallery)} in the gallery{frames}; masks and manifest.csv are in {out}"
    )
