"""Every layout of images and tracklets this package understands, behind one `read`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
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


def read(
    root: Path | str, *, format: str = "auto", pattern: str | None = None, folders: str = "auto"
) -> Dataset:
    """Read a data set from its folder.

    Args:
        root: a benchmark's folder, a folder of crops, or a manifest (see `data.folder.read`).
        format: one of READERS, or `auto`: list files are MSMT17's, bounding_box_train or
            bounding_box_test is a Market-1501-like set, image_train or image_test is VeRi-776,
            train_all, query and gallery are a Market-1501-like set with a folder a person,
            bbox_train or info is MARS, train, query and gallery are DukeMTMC-VideoReID, everything
            else is a plain folder of pictures.
        pattern: how file names of a plain folder are made.
        folders: what sub-folders of a plain folder are, `camera`, `person` or `auto`.

    Raises:
        DataError: nothing is there, it is not what `format` says, or test images would train.
        SettingsError: no such format, or one that pattern or folders contradict.
    """
    root = Path(root)
    if format != "auto" and format not in READERS:
        raise SettingsError(f"format is {format!r}. Use auto or one of: {', '.join(READERS)}.")
    for name, given in (("pattern", pattern), ("folders", None if folders == "auto" else folders)):
        if given is not None and format not in ("auto", "folder", "tracklets"):
            raise SettingsError(
                f"{name} is {given!r} and format is {format!r}, which names its files itself. "
                f"Leave out {name}, or use the format folder or tracklets."
            )
    if not root.exists():
        raise DataError(f"{root} does not exist. Give a folder of pictures or a manifest.")
    if format == "tracklets":
        return tracklets.read(root, pattern=pattern, folders=folders)
    if pattern is not None or folders != "auto" or format == "folder":
        return folder.read(root, pattern=pattern, folders=folders)
    if format != "auto":
        return READERS[format](root)
    manifest = folder.find_manifest(root)
    reader = _reader(root)
    if not reader:
        if not manifest:
            _refuse_parent(root)
        return folder.read(root)
    data = reader(root)
    if not manifest or folder.is_invented(manifest):
        return data
    note = f"{manifest} is not read, as the folders say what it is; to read it: --format folder."
    return replace(data, notes=(*data.notes, note))


def format_of(root: Path, format: str = "auto") -> str:
    """Say as which format `read` would take a folder."""
    return format if format != "auto" else ("market1501" if _reader(root) else "folder")


def _reader(root: Path) -> Callable[[Path], Dataset] | None:
    """Give what reads the layout of a folder, if it is a benchmark's."""
    if msmt17.has_lists(root) or msmt17.lacks_lists(root):
        return msmt17.read
    if any((root / f"bounding_box_{half}").is_dir() for half in ("train", "test")):
        return partial(market_like.read, title="A Market-1501-like set", train_only=True)
    if any((root / f"image_{half}").is_dir() for half in ("train", "test")):
        return partial(market_like.read, title="VeRi-776", folders=market_like.VERI)
    if market_like.is_by_person(root):
        return partial(market_like.read, title="A set by person", folders=market_like.BY_PERSON)
    if mars.is_mars(root):
        return mars.read
    return dukevideo.read if dukevideo.is_dukevideo(root) else None


def _refuse_parent(root: Path) -> None:
    """As plain crops, the test images of a benchmark further down would train."""
    meant = market_like.nearby(root, _is_benchmark)
    if meant:
        raise DataError(
            f"{root} holds a benchmark further down.{meant} Give that folder, or read everything "
            "below as training crops (--format folder)."
        )


def _is_benchmark(root: Path) -> bool:
    return _reader(root) is not None or folder.has_parts(root)
