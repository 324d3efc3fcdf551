"""Tracklets that lie one a folder, with or without a manifest of their frames."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from reseen.data import folder
from reseen.errors import DataError
from reseen.records import Dataset, Image


def recognises(root: Path) -> bool:
    """Say whether it has the manifest of `reseen video`; else folders of crops look the same."""
    return folder.is_of_tracklets(root)


def read(root: Path, *, pattern: str | None = None, folders: str = "auto") -> Dataset:
    """Read a folder of `CAMERA/TRACKLET/*.jpg`, or a manifest of frames: a folder, a tracklet.

    Of a manifest or pattern, a tracklet is whatever frames lie in the same folder; it is in every
    part (train, query, gallery) that one of them is in. Everything else is as in `folder.read`.

    Args:
        root: the folder, or a .csv or .jsonl manifest, such as an invented town's tracklets.csv.
        pattern: how paths below the folder are made, such as `{camera}/{person}_{_}/{_}.jpg`.
        folders: what the first folder is, `camera`, `person`, or `auto`: as in `folder.read`.

    Raises:
        DataError: nothing is there, a picture lies in no folder of its own tracklet, or the frames
            of one folder are of several people, cameras, or of train and test.
    """
    data = folder.read(root, pattern=pattern, folders=folders)
    parts = {"train": data.train, "query": data.query, "gallery": data.gallery}
    if not pattern and not folder.find_manifest(root):
        _demand_depth(root, data.train)
    _refuse_mixed(parts)
    frames: dict[Path, dict[Path, Image]] = defaultdict(dict)
    for part in parts.values():
        for image in part:
            frames[image.path.parent][image.path] = image
    tracklets = {place: join(list(found.values())) for place, found in frames.items()}
    joined = {
        name: tuple(tracklets[place] for place in dict.fromkeys(i.path.parent for i in part))
        for name, part in parts.items()
    }
    return replace(data, **joined)


def join(frames: list[Image]) -> Image:
    """Make one tracklet of frames in one folder, in the natural order of their names.

    Raises:
        DataError: they are of several people or cameras.
    """
    frames = sorted(frames, key=lambda image: folder.natural(image.path.name))
    first = frames[0]
    for word, known in (
        ("people", {image.person for image in frames}),
        ("cameras", {image.camera for image in frames}),
    ):
        if len(known) > 1:
            raise DataError(
                f"The frames in {first.path.parent} are of {len(known)} {word}. A tracklet shows "
                "one person by one camera, so use one folder for each."
            )
    names = tuple(image.path.name for image in frames)
    return Image(first.path, first.person, first.camera, first.time, names)


def _demand_depth(root: Path, images: tuple[Image, ...]) -> None:
    wrong = [i.path for i in images if len(i.path.relative_to(root).parts) < 3]
    if wrong:
        raise DataError(
            f"{len(wrong)} pictures are not in the folder of a tracklet, the first is {wrong[0]}. "
            "The layout is CAMERA/TRACKLET/FRAME.jpg. Move the pictures, write a manifest, or read "
            "them as single crops (--format folder)."
        )


def _refuse_mixed(parts: dict[str, tuple[Image, ...]]) -> None:
    """Frames of a tracklet drawn apart into train and test would be known before they are asked."""
    train = {image.path for image in parts["train"]}
    test = {image.path for name in ("query", "gallery") for image in parts[name]}
    mixed = sorted({p.parent for p in train - test} & {p.parent for p in test - train})
    if mixed:
        raise DataError(
            f"{len(mixed)} tracklets have frames both in train and in query or gallery, the first "
            f"is {mixed[0]}. Put all frames of a tracklet into one split."
        )
