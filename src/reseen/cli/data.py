"""`reseen data ...`."""

from pathlib import Path

from reseen.data import check as checks
from reseen.data.reading import read
from reseen.engine.progress import Screen


def check(folder: Path, *, format: str = "auto", pattern: str | None = None) -> None:
    """Say what a data set holds and what will hurt, with the fix for each.

    Parameters
    ----------
    folder
        Folder or manifest of crops.
    format
        auto, market1501, dukemtmc, msmt17, personx, cuhk03 or folder.
    pattern
        How file names are made, for a plain folder: {camera}_{person}_{_}.jpg.
    """
    dataset = read(folder, format=format, pattern=pattern)
    print(checks.check(dataset, track=Screen().track("reading")))
