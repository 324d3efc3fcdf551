"""Every supported layout of images and tracklets, behind one `read`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from reseen.data import (
    by_person,
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
    veri776,
)
from reseen.errors import DataError, SettingsError
from reseen.records import Dataset


class Reader(Protocol):
    """A module that reads one layout."""

    @property
    def recognises(self) -> Callable[[Path], bool]:
        """Return whether a folder has this layout."""
        ...

    @property
    def read(self) -> Callable[..., Dataset]:
        """Read the folder; the readers in PLAIN accept pattern and folders too."""
        ...


PLAIN = ("folder", "tracklets")
"""Formats of a user's own pictures."""

READERS: dict[str, Reader] = {
    "msmt17": msmt17,
    "market_like": market_like,
    "veri776": veri776,
    "by_person": by_person,
    "mars": mars,
    "dukevideo": dukevideo,
    "market1501": market1501,
    "dukemtmc": dukemtmc,
    "personx": personx,
    "cuhk03": cuhk03,
    "tracklets": tracklets,
    "folder": folder,
}
"""All readers by the name of their format: `auto` uses the first that recognises a folder. The four
that share the layout of `market_like` are used only if they are named."""


def read(
    root: Path | str, *, format: str = "auto", pattern: str | None = None, folders: str = "auto"
) -> Dataset:
    """Read a data set.

    Args:
        root: folder of a benchmark, a folder of crops, one image, or a manifest (see
            `data.folder.read`).
        format: one of READERS, or `auto`, which recognises the format: list files are MSMT17,
            bounding_box_train or bounding_box_test is a data set like Market-1501, image_train or
            image_test is VeRi-776, train_all, query and gallery are a data set like Market-1501
            with one folder per person, bbox_train or info is MARS, train, query and gallery are
            DukeMTMC-VideoReID, a manifest of `reseen video` is tracklets, and everything else is a
            plain folder of crops.
        pattern: pattern of the file names in a plain folder.
        folders: what the sub-folders of a plain folder stand for: `camera`, `person` or `auto`.

    Returns:
        The data set; its `format` is the name of the reader.

    Raises:
        DataError: the folder does not exist or does not have this format, or test images would be
            used for training.
        SettingsError: the format is unknown, or contradicts `pattern` or `folders`.
    """
    root = Path(root)
    if format != "auto" and format not in READERS:
        raise SettingsError(f"format is {format!r}. Use auto or one of: {', '.join(READERS)}.")
    given = (("pattern", pattern, None), ("folders", folders, "auto"))
    told = {name: value for name, value, default in given if value != default}
    for name, value in told.items():
        if format not in ("auto", *PLAIN):
            raise SettingsError(
                f"{name} is {value!r}, but the file names of format {format!r} are fixed. Leave "
                f"out {name}, or use the format folder or tracklets."
            )
    _demand(root)
    notes = ()
    if format == "auto":
        format, notes = ("folder", ()) if told else _recognise(root)
    data = READERS[format].read(root, **told)
    return replace(data, format=format, notes=data.notes + notes)


def read_pictures(paths: Sequence[Path | str]) -> Dataset:
    """Read several pictures, folders of pictures and manifests as one plain data set.

    Args:
        paths: one or more; the camera and person of a picture that is given itself are unknown.

    Raises:
        DataError: something does not exist, or cannot be parsed (see `data.folder.read`).
    """
    roots = [Path(path) for path in paths]
    if not roots:
        raise DataError("No picture is given. Give pictures, or folders of pictures.")
    for root in roots:
        _demand(root)
    return replace(folder.read_together(roots), format="folder")


def _demand(root: Path) -> None:
    if not root.exists():
        raise DataError(
            f"{root} does not exist. Give a folder of pictures, a picture or a manifest."
        )


def _recognise(root: Path) -> tuple[str, tuple[str, ...]]:
    """Return the format of a folder, and notes on what is not read."""
    format, manifest = recognised(root), folder.find_manifest(root)
    if format in PLAIN and not manifest:
        _refuse_parent(root)
    if format in PLAIN or not manifest or folder.is_invented(manifest):
        return format, ()
    note = f"{manifest} is not read, as the folders define the format (--format folder reads it)."
    return format, (note,)


def recognised(root: Path) -> str:
    """Return the name of the format of a path, as in `read`."""
    _demand(root)
    return next(name for name, reader in READERS.items() if reader.recognises(root))


def _refuse_parent(root: Path) -> None:
    """Refuse a folder above a benchmark: as plain crops, its test images would be trained on."""
    meant = market_like.nearby(root, _is_benchmark)
    if meant:
        raise DataError(
            f"{root} holds a benchmark in a subfolder.{meant} Give that folder, or read everything "
            "below as training crops (--format folder)."
        )


def _is_benchmark(root: Path) -> bool:
    return recognised(root) not in PLAIN or folder.has_parts(root)
