"""Every layout of images and tracklets this package understands, behind one `read`."""

from collections.abc import Callable
from pathlib import Path

from reseen.data import (
    cuhk03,
    dukemtmc,
    dukevideo,
    folder,
    market1501,
    market_like,
    mars,
    msmt17,
    personx,
    tracklets,
)
from reseen.errors import DataError, SettingsError
from reseen.records import Dataset

READERS: dict[str, Callable[[Path], Dataset]] = {
    "market1501": market1501.read,
    "dukemtmc": dukemtmc.read,
    "msmt17": msmt17.read,
    "personx": personx.read,
    "cuhk03": cuhk03.read,
    "mars": mars.read,
    "dukevideo": dukevideo.read,
    "folder": folder.read,
    "tracklets": tracklets.read,
}


def read(root: Path | str, *, format: str = "auto", pattern: str | None = None) -> Dataset:
    """Read a data set from its folder.

    Args:
        root: a benchmark's folder, a folder of crops, or a manifest (see `data.folder.read`).
        format: one of READERS, or `auto`: list files are MSMT17's, bounding_box_train or
            bounding_box_test is a Market-1501-like set, bbox_train or info is MARS, train, query
            and gallery are DukeMTMC-VideoReID, everything else is a plain folder of pictures.
        pattern: how file names of a plain folder are made.

    Raises:
        DataError: nothing is there, or it is not what `format` says.
        SettingsError: no such format, or one whose names have no pattern.
    """
    root = Path(root)
    if format != "auto" and format not in READERS:
        raise SettingsError(f"format is {format!r}. Use auto or one of: {', '.join(READERS)}.")
    if pattern is not None and format not in ("auto", "folder", "tracklets"):
        raise SettingsError(
            f"pattern is {pattern!r} and format is {format!r}, which names its files itself. "
            "Leave out the pattern, or use the format folder or tracklets."
        )
    if not root.exists():
        raise DataError(f"{root} does not exist. Give a folder of pictures or a manifest.")
    if format == "tracklets":
        return tracklets.read(root, pattern=pattern)
    if pattern is not None or format == "folder":
        return folder.read(root, pattern=pattern)
    if format != "auto":
        return READERS[format](root)
    if msmt17.has_lists(root):
        return msmt17.read(root)
    if any((root / f"bounding_box_{half}").is_dir() for half in ("train", "test")):
        return market_like.read(root, "A Market-1501-like set", train_only=True)
    if mars.is_mars(root):
        return mars.read(root)
    if dukevideo.is_dukevideo(root):
        return dukevideo.read(root)
    if not folder.find_manifest(root):
        _refuse_parent(root)
    return folder.read(root)


def _refuse_parent(root: Path) -> None:
    """As plain crops, the test images of a benchmark further down would train."""
    meant = market_like.nearby(root, _is_benchmark)
    if meant:
        raise DataError(
            f"{root} holds a benchmark one folder further down.{meant} Give that folder, or read "
            "everything below as training crops (--format folder)."
        )


def _is_benchmark(root: Path) -> bool:
    return msmt17.is_msmt17(root) or mars.is_mars(root) or dukevideo.is_dukevideo(root)
