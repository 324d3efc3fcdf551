"""MARS.

Zheng et al., MARS: A Video Benchmark for Large-Scale Person Re-identification, ECCV 2016. 1,261
people, 6 cameras, 20,478 tracklets found by a detector and a tracker.
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from reseen.data.listing import read_text
from reseen.data.market_like import nearby
from reseen.errors import DataError
from reseen.records import JUNK, Dataset, Image

_INFO = {
    "train_name.txt": "",
    "test_name.txt": "",
    "tracks_train_info.mat": "track_train_info",
    "tracks_test_info.mat": "track_test_info",
    "query_IDX.mat": "query_IDX",
}
"""The files in info, and the matrix in each .mat."""


def recognises(root: Path) -> bool:
    """Return whether a folder has this layout."""
    return (root / "bbox_train").is_dir() or (root / "info" / "tracks_train_info.mat").is_file()


def read(root: Path) -> Dataset:
    """Read folders bbox_train and bbox_test of frames, and info, which defines the tracklets.

    A row of tracks_*_info.mat is a tracklet: its first and last line in *_name.txt, counted from
    1, its person and its camera. Person -1 is junk, 0 a distractor. Queries are rows of the test
    half, given by query_IDX.mat, counted from 1. As in the authors' evaluation, every test tracklet
    is in the gallery, including the queries: the only match of some queries is a query of another
    camera.

    Args:
        root: contains bbox_train, bbox_test and info (train_name.txt, test_name.txt,
            tracks_train_info.mat, tracks_test_info.mat, query_IDX.mat).

    Raises:
        DataError: a folder or file is missing, or has impossible content.
    """
    for name in ("bbox_train", "bbox_test", "info"):
        if not (root / name).is_dir():
            raise DataError(
                f"{root / name} is not a folder. MARS has bbox_train, bbox_test and info. Give the "
                f"folder with these.{nearby(root, recognises)}"
            )
    absent = [name for name in _INFO if not (root / "info" / name).is_file()]
    if absent:
        raise DataError(
            f"{root / 'info'} lacks {', '.join(absent)}. The five files of info are in its "
            "authors' evaluation code (MARS-evaluation). Put them there."
        )
    train = _tracklets(root, "train")
    test = _tracklets(root, "test")
    query = _matrix(root / "info" / "query_IDX.mat").ravel()
    if query.min(initial=1) < 1 or query.max(initial=1) > len(test):
        raise DataError(
            f"{root / 'info' / 'query_IDX.mat'} names rows {query.min()} to {query.max()} of "
            f"{len(test)} test tracklets. Take all files of info from the same edition."
        )
    known = tuple(tracklet for tracklet in train if tracklet.person != JUNK)
    return Dataset(root.resolve().name, root, known, tuple(test[i - 1] for i in query), test)


def _tracklets(root: Path, half: str) -> tuple[Image, ...]:
    names = read_text(root / "info" / f"{half}_name.txt").split()
    table = root / "info" / f"tracks_{half}_info.mat"
    rows = _matrix(table)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise DataError(
            f"{table} has {' x '.join(map(str, rows.shape))} numbers. It should have a row for "
            "each tracklet: first line, last line, person, camera."
        )
    tracklets = []
    for number, (first, last, person, camera) in enumerate(rows.tolist(), 1):
        frames = tuple(names[first - 1 : last]) if 1 <= first <= last <= len(names) else ()
        if not all(_shows(name, person, camera) for name in frames) or not frames:
            raise DataError(
                f"{table}, row {number}: lines {first} to {last} of {half}_name.txt, which has "
                f"{len(names)}, should be frames of person {person} by camera {camera}. Take all "
                "files of info from the same edition."
            )
        path = root / f"bbox_{half}" / frames[0][:4] / frames[0]
        tracklets.append(Image(path, person, camera, frames=frames))
    return tuple(tracklets)


def _shows(name: str, person: int, camera: int) -> bool:
    """Check a name such as 0065C1T0002F016.jpg: person, camera, tracklet, frame."""
    return name.startswith(f"{'00-1' if person == JUNK else f'{person:04d}'}C{camera}")


def _matrix(path: Path) -> np.ndarray:
    key = _INFO[path.name]
    try:
        return loadmat(path)[key].astype(np.int64)
    except Exception as error:  # a damaged file can raise nearly any error, also IndexError
        raise DataError(
            f"{path} has no matrix {key} ({type(error).__name__}: {error}). Copy it again from "
            "its authors' evaluation code (MARS-evaluation)."
        ) from error
