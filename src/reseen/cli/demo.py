"""`reseen demo`: a first look at everything, on people who do not exist."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reseen.cli.output import AsJson, Out, Quiet, give
from reseen.cli.serve import serve
from reseen.data.invented import invent
from reseen.data.reading import read
from reseen.engine.files import check_out
from reseen.engine.folder import read_metrics
from reseen.engine.progress import Screen, duration
from reseen.errors import SettingsError
from reseen.gallery.folder import FACTS
from reseen.gallery.gallery import Gallery
from reseen.presets import method
from reseen.records import Dataset, distinct
from reseen.report.report import write_report
from reseen.training import train

TOWN: Mapping[str, Any] = dict(people=100, cameras=6, views=4, seed=1)
"""The town: people to learn from, and as many others to judge by."""

SETTINGS: Mapping[str, Any] = {
    "encoder.backbone": "reseen-tiny",
    "encoder.height": 48,
    "encoder.width": 24,
    "encoder.ghost_group": 0,
    "augment.pad": 4,
    "epochs": 6,
    "iterations": 60,
    "views": 2,
    "rate": 3.5e-4,
    "k1": 20,
    "eps": 0.5,
}
"""Settings of `house` for some minutes on a CPU: small pictures, few rounds."""

NAMES = ("Ada", "Ben", "Cleo")
"""What the first people in the gallery are called."""


def demo(
    *,
    out: Out = Path("reseen-demo"),
    no_serve: bool = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw a data set of invented people, train on it without labels, and look at the result.

    The demo takes a few minutes without a GPU and needs neither data nor a network connection. It
    leaves four things in the folder: the data set (town), the training run, a report on the run
    (report.html), and a gallery of people who are not in the training data. At the end it serves
    the gallery as a web page if the extra `web` is installed and the demo runs in a terminal. Run
    the same command again to resume an interrupted demo, or to serve the gallery again.

    Parameters
    ----------
    out
        Folder of the demo.
    no_serve
        Do not serve the gallery; only print the command for it.
    """
    screen = Screen(quiet)
    check_out(out, screen=screen)
    town, run, page, gallery = (out / name for name in ("town", "run", "report.html", "gallery"))
    if not town.exists():
        screen.say("1 of 4: drawing a town of invented people")
        invent(town, **TOWN, track=screen.track("drawing"))
    data = read(town / "manifest.csv")
    screen.say("2 of 4: training the method house on its crops, without labels")
    train(method("house", **SETTINGS), data, run, seed=0, evaluate_every=0, quiet=quiet)
    if not page.exists():
        screen.say("3 of 4: writing the report")
        write_report([run], page, data=data, quiet=quiet)
    screen.say("4 of 4: filling a gallery with people who are not in the training data")
    crops = _fill(gallery, run, data, quiet)

    before, *_, after = rows = read_metrics(run)
    parts = ("round_seconds", "searching_seconds")  # of all calls, if it was stopped in between
    seconds = sum(row.get(part, 0) for row in rows for part in parts)
    numbers = {
        "before": before["mAP"],
        "after": after["mAP"],
        "seconds": seconds,
        "run": run,
        "report": page.resolve(),
        "gallery": gallery,
        "crops": crops,
    }
    gain = f"before {before['mAP']:.1%}, after {after['mAP']:.1%}"
    give(
        numbers,
        f"mAP without any label: {gain}, in {duration(seconds)} of training",
        f"{page.resolve()}: open this report on the run in a browser",
        f"{gallery}: a gallery of {crops:,} crops of people who are not in the training data. "
        f"{_told(out)}",
        as_json=as_json,
    )
    someone = sys.stdin.isatty() and sys.stdout.isatty() and not (no_serve or quiet or as_json)
    if someone and not _missing():
        serve(gallery, port=0)


def _fill(folder: Path, run: Path, data: Dataset, quiet: bool) -> int:
    """Fill the gallery where that is not done yet, and give the number of crops in it."""
    there = (folder / FACTS).is_file()
    opened = Gallery.open(folder) if there else Gallery.create(folder, run, onnx=False)
    with opened:
        if not opened.people():  # names come last: with them all is there
            opened.add(distinct(data.query, data.gallery), quiet=quiet)
            opened.calibrate()
            people = list(dict.fromkeys(image.person for image in data.query))
            for name, person in zip(NAMES, people, strict=False):
                opened.enrol(name, next(image for image in data.query if image.person == person))
        return opened.store.count()


def _told(out: Path) -> str:
    """Say how to look at the gallery as a page, and what to do there."""
    return (
        f"To open it as a web page: reseen serve {out / 'gallery'}. {_missing()}On the page, click "
        f"a crop to see where else that person was seen, look at {NAMES[0]} under People, and name "
        "people under Unknown people."
    )


def _missing() -> str:
    """Say what a page needs that is not installed, or nothing."""
    try:
        import reseen.web  # noqa: F401
    except SettingsError as error:
        return f"{error} "
    return ""
