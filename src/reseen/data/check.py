"""Describe a data set, and find the problems it will cause."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from os import cpu_count
from pathlib import Path

import numpy as np
import PIL.Image

from reseen.data.pictures import BrokenPictureError, broken_said, scaled
from reseen.data.reading import PLAIN
from reseen.errors import counted
from reseen.records import JUNK, Dataset, Image, distinct

TINY = 16, 32
"""Width and height below which nobody can be recognised."""
FEW = 100
HUNDREDS = 1000
"""Number of images below which the published settings, made for thousands, are likely to fail."""
SHOWN = 5
NEAR = 3, 4.0
"""Largest difference of near-duplicates: bits of a hash, and mean of the grey levels 0 to 255."""
WINDOW = 8
"""Neighbours in a sorted list of hashes that are compared."""
FRAMES = 16
"""The limit of frames that is suggested for long tracklets."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with a data set, where it is, and how to fix it."""

    what: str
    fix: str
    where: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [self.what, *(f"    {place}" for place in self.where[:SHOWN])]
        if len(self.where) > SHOWN:
            lines.append(f"    ... and {len(self.where) - SHOWN} more")
        return "\n".join([*lines, f"    -> {self.fix}"])


@dataclass(frozen=True, slots=True)
class Report:
    """Description of a data set, line by line, and its problems."""

    found: tuple[str, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        if not self.problems:
            return "\n".join([*self.found, "No problems were found."])
        count = len(self.problems)
        title = "1 problem:" if count == 1 else f"{count} problems:"
        return "\n".join([*self.found, "", title, *(f"- {problem}" for problem in self.problems)])


@dataclass(frozen=True, slots=True)
class _Picture:
    width: int = 0
    height: int = 0
    length: int = 0
    content: str = ""
    small: bytes = b""
    """Grey values, 8 rows of 9."""
    flat: bool = False
    """Whether it has a single colour."""
    white: float | None = None
    """The value of white, if values were scaled to bytes."""
    wrong: str = ""


def check(
    dataset: Dataset,
    *,
    track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Report:
    """Open every picture of a data set; report what it holds and which problems it will cause.

    Args:
        dataset: what was read.
        track: wraps the reading to show its progress.

    Raises:
        OSError: the system is at fault, for example because too many files are open.
    """
    parts = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    images = distinct(*parts.values())
    with ThreadPoolExecutor(cpu_count()) as pool:
        paths = list(dict.fromkeys(path for image in images for path in image.paths))
        pictures = dict(zip(paths, track(pool.map(_open, paths), len(paths)), strict=True))
    found = [f"{dataset.root}" + f" ({dataset.name})" * (dataset.root.name != dataset.name)]
    found += [_describe(name, part, pictures) for name, part in parts.items() if part]
    found += _cost(dataset.train)
    if dataset.cameras:
        found.append("  cameras: " + ", ".join(f"{k} = {v}" for k, v in dataset.cameras.items()))
    elif all(image.camera is None for image in images):
        found.append(f"  no camera is known: {NO_CAMERA}")
    found += _scaled(pictures)
    found += (f"  note: {note}" for note in dataset.notes)
    problems = (
        *_pictures(pictures),
        *_twice(parts, pictures),
        *_alike(dataset, pictures),
        *_short(images),
        *_people_and_cameras(dataset),
    )
    return Report(tuple(found), problems)


NO_CAMERA = (
    "training works without cameras. If they are known, training mixes views of different cameras, "
    "and evaluation leaves out the camera of the query. To tell them, use one sub-folder per "
    "camera, a manifest, or --pattern '{camera}_{_}.jpg'."
)


def _open(path: Path) -> _Picture:
    try:
        with broken_said():
            data = path.read_bytes()
            picture, white = scaled(BytesIO(data))
    except BrokenPictureError as error:
        return _Picture(wrong=str(error))
    small = picture.convert("L").resize((9, 8), PIL.Image.Resampling.BOX).tobytes()
    extremes = picture.getextrema()
    flat = all(low == high for low, high in extremes)  # pyright: ignore[reportGeneralTypeIssues]
    return _Picture(*picture.size, len(data), sha256(data).hexdigest(), small, flat, white)


def _scaled(pictures: Mapping[Path, _Picture]) -> Iterator[str]:
    """Report pictures whose values are not bytes."""
    first: dict[float, Path] = {}
    for path, picture in pictures.items():
        if picture.white is not None:
            first.setdefault(picture.white, path)
    counts = Counter(picture.white for picture in pictures.values())
    for white, path in sorted(first.items()):
        yield (
            f"  {counted(counts[white], 'picture')} with more than 8 bits or floats, scaled from "
            f"0 to {white:g} as black to white (the first is {path})"
        )


def _describe(name: str, part: Sequence[Image], pictures: dict[Path, _Picture]) -> str:
    good = [pictures[path] for image in part for path in image.paths if not pictures[path].wrong]
    people = {image.person for image in part} - {None, JUNK}
    cameras = {image.camera for image in part} - {None}
    facts = [f"{len(part)} {_word(part)}"]
    if any(image.frames for image in part):
        counts = [len(image.paths) for image in part]
        facts[0] += f" of {min(counts)} to {max(counts)} frames, {sum(counts)} in all"
    facts.append(f"{len(people) or 'unknown'} people")
    facts.append(f"{len(cameras) or 'unknown'} cameras")
    if good:
        sizes = np.array([(p.width, p.height) for p in good])
        low, middle, high = sizes.min(0), np.median(sizes, axis=0).astype(int), sizes.max(0)
        facts.append(
            f"{middle[0]} x {middle[1]} pixels (width x height)"
            if (low == high).all()
            else f"{low[0]} x {low[1]} to {high[0]} x {high[1]}, median {middle[0]} x {middle[1]} "
            "pixels (width x height)"
        )
        facts.append(f"{sum(p.length for p in good) / 1e6:.1f} MB")
    junk = sum(image.person == JUNK for image in part)
    return f"  {name}: " + ", ".join(facts) + (f" ({junk} junk)" if junk else "")


def _word(part: Sequence[Image]) -> str:
    return "tracklets" if any(image.frames for image in part) else "images"


def _cost(train: Sequence[Image]) -> Iterable[str]:
    """Report the cost of extracting features of long tracklets."""
    every, few = (sum(min(len(i.paths), most) for i in train) for most in (np.inf, FRAMES))
    if few < every:
        yield f"  a round extracts features of {every} frames, or {few} with --frames {FRAMES}"


def _short(images: Sequence[Image]) -> Iterable[Problem]:
    short = tuple(str(image.path) for image in images if len(image.frames) == 1)
    if short:
        yield Problem(
            f"{len(short)} of {counted(len(images), 'tracklet')} with only one frame.",
            "their features depend on a single crop: put all frames of a tracklet into one folder, "
            "or remove these tracklets",
            short,
        )


def _pictures(pictures: dict[Path, _Picture]) -> Iterable[Problem]:
    broken = tuple(f"{path}: {p.wrong}" for path, p in pictures.items() if p.wrong)
    if broken:
        yield Problem(
            f"{counted(len(broken), 'picture')} cannot be read.",
            "replace or remove them, or train with --skip-broken",
            broken,
        )
    good = {path: p for path, p in pictures.items() if not p.wrong}
    tiny = tuple(
        f"{path}: {p.width} x {p.height}"
        for path, p in good.items()
        if p.width < TINY[0] or p.height < TINY[1]
    )
    if tiny:
        yield Problem(
            f"{counted(len(tiny), 'picture')} smaller than {TINY[0]} x {TINY[1]} pixels "
            "(width x height).",
            "they are too small to recognise anybody: remove them",
            tiny,
        )
    wide = tuple(
        f"{path}: {p.width} x {p.height}" for path, p in good.items() if p.width > p.height
    )
    if wide:
        yield Problem(
            f"{counted(len(wide), 'picture')} wider than high.",
            "they will be distorted: crop them to one standing person, or set --encoder.height and "
            "--encoder.width",
            wide,
        )
    flat = tuple(str(path) for path, p in good.items() if p.flat)
    if flat:
        yield Problem(
            f"{counted(len(flat), 'picture')} of a single colour.",
            "they contain no information: remove them, or check the program that wrote them",
            flat,
        )


def _twice(
    parts: Mapping[str, Sequence[Image]], pictures: dict[Path, _Picture]
) -> Iterable[Problem]:
    same: dict[str, set[tuple[str, Path, Path]]] = defaultdict(set)
    for name, part in parts.items():
        for image in part:
            for path in image.paths:
                if not pictures[path].wrong:
                    same[pictures[path].content].add((name, image.path, path))
    # Frames of one tracklet may be identical: somebody stood still.
    groups = [sorted(g) for g in same.values() if len({image for _, image, _ in g}) > 1]
    leaks = tuple(_group(g) for g in groups if {"train"} < {name for name, *_ in g})
    copies = tuple(_group(g) for g in groups if len({name for name, *_ in g}) == 1)
    if leaks:
        yield Problem(
            f"{counted(len(leaks), 'picture')} both in train and in query or gallery.",
            "results will look too good: remove them from one of the two",
            leaks,
        )
    if copies:
        yield Problem(
            f"{counted(len(copies), 'picture')} more than once, byte for byte.",
            "copies form clusters of their own: keep one of each",
            copies,
        )


def _group(group: list[tuple[str, Path, Path]]) -> str:
    return " = ".join(str(path) for path in sorted({path for *_, path in group}))


def _alike(dataset: Dataset, pictures: Mapping[Path, _Picture]) -> Iterable[Problem]:
    """Find gallery pictures that nearly equal a query, if a search does not leave them out."""

    def sound(images: Iterable[Image]) -> list[Image]:
        return [i for i in images if not (pictures[i.path].wrong or pictures[i.path].flat)]

    query, gallery = sound(dataset.query), sound(dataset.gallery)
    if not query or not gallery:
        return
    small = np.stack(
        [np.frombuffer(pictures[i.path].small, np.uint8).reshape(8, 9) for i in query + gallery]
    ).astype(np.int16)
    found = dict[Path, Path]()
    for a, b in _near(small):
        if a < len(query) <= b:
            one, other = query[a], gallery[b - len(query)]
            same = one.person == other.person and one.camera == other.camera
            left_out = other.person == JUNK or (same and one.camera is not None)
            if one.path != other.path and not left_out:
                found.setdefault(one.path, other.path)
    if found:
        yield Problem(
            f"{counted(len(found), 'query', 'queries')} nearly identical to a gallery picture that "
            "the search does not leave out.",
            "results will look too good, or identities are wrong: keep one picture of each moment",
            tuple(f"{one} ~ {other}" for one, other in found.items()),
        )


def _near(small: np.ndarray) -> Iterator[tuple[int, int]]:
    """Find pairs of nearly equal pictures by difference hashes (64 bits), in N log N time.

    Pictures that differ in at most 3 bits have at least one identical quarter: if they are sorted
    by each quarter in turn, they are near each other at least once.

    Args:
        small: (N, 8, 9) grey values.

    Returns:
        Pairs of positions, the smaller first, some more than once.
    """
    bits = small[:, :, 1:] > small[:, :, :-1]
    hashes = np.packbits(bits.reshape(-1, 64), axis=1)
    for quarter in range(4):
        order = np.lexsort(np.roll(hashes, -2 * quarter, axis=1).T[::-1])
        for step in range(1, min(WINDOW, len(order) - 1) + 1):
            a, b = order[:-step], order[step:]
            close = np.bitwise_count(hashes[a] ^ hashes[b]).sum(1) <= NEAR[0]
            a, b = a[close], b[close]
            like = np.abs(small[a] - small[b]).mean((1, 2)) <= NEAR[1]
            pairs = np.sort(np.stack([a[like], b[like]], 1), axis=1)
            yield from map(tuple, pairs.tolist())


def _people_and_cameras(dataset: Dataset) -> Iterable[Problem]:
    if len(dataset.train) < FEW:
        yield Problem(
            f"There are only {len(dataset.train)} training {_word(dataset.train)}.",
            "clustering needs several pictures of many people: start with a few thousand images",
        )
    elif len(dataset.train) < HUNDREDS and dataset.format and dataset.format not in PLAIN:
        yield Problem(
            f"{len(dataset.train)} training {_word(dataset.train)} are few for the published "
            "settings, which are for thousands.",
            "train with --preset cpu or --preset gpu, which adapt the settings to the data: with "
            "k1 30, pictures of different people would be put into one cluster",
        )
    cameras = {image.camera for image in dataset.train}
    if len(cameras) == 1 and None not in cameras:
        yield Problem(
            f"All {_word(dataset.train)} are from one camera.",
            f"the encoder may not work for other cameras: add {_word(dataset.train)} of a second "
            "one",
        )
    for name, part in (("train", dataset.train), ("test", dataset.query + dataset.gallery)):
        if apart := _apart(part):
            yield Problem(
                f"{counted(len(apart), 'camera')} without a person that another one saw ({name}).",
                "it cannot be measured how well people are found across cameras: check that people "
                "and cameras are read from the right part of the names, and are numbered "
                "consistently",
                tuple(f"camera {dataset.cameras.get(camera, camera)}" for camera in apart),
            )
    lonely = tuple(str(image.path) for image in unmatched(dataset))
    if lonely:
        yield Problem(
            f"{len(lonely)} of {len(dataset.query)} queries have no match in another camera.",
            "they are left out of the evaluation: add their matches to the gallery, or remove them",
            lonely,
        )


def _apart(part: Iterable[Image]) -> list[int]:
    """Return the cameras, if there are at least two, whose known people no other camera saw."""
    seen: dict[int, set[int]] = defaultdict(set)
    by: dict[int, set[int]] = defaultdict(set)
    for image in part:
        if image.person not in (None, JUNK) and image.camera is not None:
            seen[image.camera].add(image.person)
            by[image.person].add(image.camera)
    alone = (c for c, people in seen.items() if all(len(by[person]) == 1 for person in people))
    return sorted(alone) if len(seen) > 1 else []


def unmatched(dataset: Dataset) -> Iterable[Image]:
    """Yield the queries that no search can answer, because they have no match in the gallery.

    A match is another picture of the person, from another camera if both cameras are known.
    """
    seen: dict[int | None, list[Image]] = defaultdict(list)
    for image in dataset.gallery:
        seen[image.person].append(image)
    for query in dataset.query:
        matches = (
            image
            for image in seen[query.person]
            if image.path != query.path and (query.camera is None or image.camera != query.camera)
        )
        if query.person in (None, JUNK) or next(matches, None) is None:
            yield query
