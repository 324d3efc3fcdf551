"""Every layout of images this package understands, behind one `read`."""

from collections.abc import Callable
from pathlib import Path

from reseen.data import cuhk03, dukemtmc, folder, market1501, market_like, msmt17, personx
from reseen.errors import DataError
from reseen.records import Dataset

READERS: dict[str, Callable[[Path], Dataset]] = {
    "market1501": market1501.read,
    "dukemtmc": dukemtmc.read,
    "msmt17": msmt17.read,
    "personx": personx.read,
    "cuhk03": cuhk03.read,
    "folder": folder.read,
}


def read(root: Path | str, *, format: str = "auto", pattern: str | None = None) -> Dataset:
    """Read a data set from its folder.

    Args:
        root: a benchmark's folder, a folder of crops, or a manifest (see `data.folder.read`).
        format: one of READERS, or `auto`: list files are MSMT17's, bounding_box_train is a
            Market-1501-like set, everything else is a plain folder.
        pattern: how file names of a plain folder are made.

    Raises:
        DataError: nothing is there, or it is not what `format` says.
        SettingsError: no such format.
    """
    root = Path(root)
    if format != "auto" and format not in READERS:
        raise DataError(f"format is {format!r}. Use auto or one of: {', '.join(READERS)}.")
    if not root.exists():
        raise DataError(f"{root} does not exist. Give a folder of pictures or a manifest.")
    if pattern is not None or format == "folder":
        return folder.read(root, pattern=pattern)
    if format != "auto":
        return READERS[format](root)
    if msmt17.has_lists(root):
        return msmt17.read(root)
    if (root / market_like.PARTS[0]).is_dir():
        return market_like.read(root, "A Market-1501-like set", train_only=True)
    return folder.read(root)
