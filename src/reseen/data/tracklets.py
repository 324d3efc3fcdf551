"""Tracklets in one folder each, with or without a manifest of their frames."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from reseen.data import folder
from reseen.errors import DataError, counted
from reseen.records import Dataset, Image


def recognises(root: Path) -> bool:
    """Return whether it has the manifest of `reseen video`; otherwise it could be single crops."""
    return folder.is_of_tracklets(root)


def read(root: Path, *, pattern: str | None = None, folders: str = "auto") -> Dataset:
    """Read a folder of `CAMERA/TRACKLET/*.jpg`, or a manifest of frames; a folder is a tracklet.

    With a manifest or pattern, all frames in the same folder are a tracklet; it is in every part
    (train, query, gallery) that one of its frames is in. Everything else is as in `folder.read`.

    Args:
        root: the folder, or a .csv or .jsonl manifest, such as an invented town's tracklets.csv.
        pattern: of the paths in the folder, such as `{camera}/{person}_{_}/{_}.jpg`.
        folders: what the first folder is, `camera`, `person`, or `auto`, as in `folder.read`.

    Raises:
        DataError: there are no pictures, a picture is not in the folder of its tracklet, or the
            frames in a folder are of several people, of several cameras, or of train and test.
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
    """Join the frames in one folder to a tracklet, in the natural order of their names.

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
            f"{counted(len(wrong), 'picture')} outside of a tracklet's folder, the first is "
            f"{wrong[0]}. The layout is CAMERA/TRACKLET/FRAME.jpg. Move the pictures, write a "
            "manifest, or read them as single crops (--format folder)."
        )


def _refuse_mixed(parts: dict[str, tuple[Image, ...]]) -> None:
    """Refuse tracklets with frames in train and in test: test images would be trained on."""
    train = {image.path for image in parts["train"]}
    test = {image.path for name in ("query", "gallery") for image in parts[name]}
    mixed = sorted({p.parent for p in train - test} & {p.parent for p in test - train})
    if mixed:
        raise DataError(
            f"{counted(len(mixed), 'tracklet')} with frames both in train and in query or gallery, "
            f"the first is {mixed[0]}. Put all frames of a tracklet into one split."
        )
