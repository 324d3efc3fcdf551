"""DukeMTMC-VideoReID.

Wu et al., Exploit the Unknown Gradually: One-Shot Video-Based Person Re-Identification by Stepwise
Learning, CVPR 2018. 1,404 people and 408 distractors, 8 cameras, 4,832 tracklets.

It is made from DukeMTMC, which its authors withdrew in 2019, because the people in it had not
consented. This reader is for those who may still use a copy that they have; the data is not
shipped, linked or downloaded.
"""

import re
from pathlib import Path

from reseen.data.listing import folders_in, is_picture
from reseen.data.market_like import nearby, refuse_names
from reseen.errors import DataError
from reseen.records import Dataset, Image

PARTS = ("train", "query", "gallery")
_NAME = re.compile(r"\d+_?C(?P<camera>\d{1,9})_?F(?P<frame>\d{1,9})_?X(?P<time>\d{1,9})")


def recognises(root: Path) -> bool:
    """Return whether a folder has this layout, with names as in this data set."""
    if not all((root / part).is_dir() for part in PARTS):
        return False
    first = next((root / "train").glob("*/*/*.jpg"), None)
    return first is not None and _NAME.match(first.name) is not None


def read(root: Path) -> Dataset:
    """Read folders train, query and gallery of `PERSON/TRACKLET/0001_C6_F0099_X30823.jpg`.

    F is the frame number in the tracklet, X that in the camera's video; the time of a tracklet is X
    of its first frame. Names without underscores, as in the first edition, are read too.

    Args:
        root: the folder with these three.

    Raises:
        DataError: a folder is missing or empty, or a file name does not match.
    """
    absent = [part for part in PARTS if not (root / part).is_dir()]
    if absent:
        raise DataError(
            f"{root / absent[0]} is not a folder. DukeMTMC-VideoReID has {', '.join(PARTS)}. Give "
            f"the folder with these.{nearby(root, recognises)}"
        )
    train, query, gallery = (_part(root / part) for part in PARTS)
    return Dataset(root.resolve().name, root, train, query, gallery)


def _part(folder: Path) -> tuple[Image, ...]:
    places = [place for person in folders_in(folder) for place in folders_in(person)]
    tracklets = tuple(tracklet for place in places for tracklet in _tracklet(place))
    if not tracklets:
        raise DataError(
            f"{folder} contains no tracklets. Their layout is PERSON/TRACKLET/FRAME.jpg. Unpack "
            "the data set again."
        )
    return tracklets


def _tracklet(place: Path) -> list[Image]:
    """Read the frames of one folder; a folder without frames is no tracklet."""
    paths = sorted(path for path in place.iterdir() if is_picture(path))
    known = re.fullmatch(r"\d{1,18}", place.parent.name)
    matches = [_NAME.match(path.name) for path in paths]
    refuse_names(
        (path for path, match in zip(paths, matches, strict=True) if not (known and match)),
        "0001/0003/0001_C6_F0099_X30823.jpg",
    )
    frames = sorted((m for m in matches if m), key=lambda match: int(match["frame"]))
    if not frames:
        return []
    first = frames[0]
    names = tuple(match.string for match in frames)
    person, camera, time = int(place.parent.name), int(first["camera"]), float(first["time"])
    return [Image(place / names[0], person, camera, time, names)]
