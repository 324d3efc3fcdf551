"""What a data set holds, and what about it will hurt."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from os import cpu_count
from pathlib import Path

import numpy as np

from reseen.data.pictures import open_picture
from reseen.records import JUNK, Dataset, Image, distinct

TINY = 32, 16
FEW = 100
SHOWN = 5
FRAMES = 16
"""The bound on frames that is suggested for long tracklets."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that will hurt, where it is, and what to do about it."""

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
    """What was found in a data set, line by line, and what will hurt."""

    found: tuple[str, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        if not self.problems:
            return "\n".join([*self.found, "Nothing that would hurt."])
        title = "1 thing will hurt:" if len(self.problems) == 1 else f"{len(self.problems)} things:"
        return "\n".join([*self.found, "", title, *(f"- {problem}" for problem in self.problems)])


@dataclass(frozen=True, slots=True)
class _Picture:
    width: int = 0
    height: int = 0
    bytes: int = 0
    content: str = ""
    wrong: str = ""


def check(
    dataset: Dataset,
    *,
    track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Report:
    """Open every picture of a data set and say what is there and what will hurt.

    Args:
        dataset: what was read.
        track: wraps the reading to show its progress.
    """
    parts = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    images = distinct(*parts.values())
    with ThreadPoolExecutor(cpu_count()) as pool:
        paths = list(dict.fromkeys(path for image in images for path in image.paths))
        pictures = dict(zip(paths, track(pool.map(_open, paths), len(paths)), strict=True))
    found = [f"{dataset.name}: {dataset.root}"]
    found += [_describe(name, part, pictures) for name, part in parts.items() if part]
    found += _cost(dataset.train)
    if dataset.cameras:
        found.append("  cameras: " + ", ".join(f"{k} = {v}" for k, v in dataset.cameras.items()))
    problems = (
        *_pictures(pictures),
        *_twice(parts, pictures),
        *_short(images),
        *_people_and_cameras(dataset),
    )
    return Report(tuple(found), problems)


def _open(path: Path) -> _Picture:
    try:
        data = path.read_bytes()
        return _Picture(*open_picture(path).size, len(data), sha256(data).hexdigest())
    except OSError as error:
        return _Picture(wrong=str(error))


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
        sizes = np.array([(p.height, p.width) for p in good])
        low, middle, high = sizes.min(0), np.median(sizes, axis=0).astype(int), sizes.max(0)
        facts.append(
            f"{middle[0]} x {middle[1]} pixels"
            if (low == high).all()
            else f"{low[0]} x {low[1]} to {high[0]} x {high[1]}, median {middle[0]} x {middle[1]}"
        )
        facts.append(f"{sum(p.bytes for p in good) / 1e6:.1f} MB")
    junk = sum(image.person == JUNK for image in part)
    return f"  {name}: " + ", ".join(facts) + (f" ({junk} junk)" if junk else "")


def _word(part: Sequence[Image]) -> str:
    return "tracklets" if any(image.frames for image in part) else "images"


def _cost(train: Sequence[Image]) -> Iterable[str]:
    """Say what the features of long tracklets take."""
    every, few = (sum(min(len(i.paths), most) for i in train) for most in (np.inf, FRAMES))
    if few < every:
        yield f"  a round takes features of {every} frames; of {few} with --frames {FRAMES}"


def _short(images: Sequence[Image]) -> Iterable[Problem]:
    short = tuple(str(image.path) for image in images if len(image.frames) == 1)
    if short:
        yield Problem(
            f"{len(short)} of {len(images)} tracklets have one frame.",
            "one bad crop is all that is known of them: bring all their frames into one folder, or "
            "take them out",
            short,
        )


def _pictures(pictures: dict[Path, _Picture]) -> Iterable[Problem]:
    broken = tuple(f"{path}: {p.wrong}" for path, p in pictures.items() if p.wrong)
    if broken:
        yield Problem(
            f"{len(broken)} pictures cannot be read.",
            "replace or remove them, or train with --skip-broken",
            broken,
        )
    good = {path: p for path, p in pictures.items() if not p.wrong}
    tiny = tuple(
        f"{path}: {p.height} x {p.width}"
        for path, p in good.items()
        if p.height < TINY[0] or p.width < TINY[1]
    )
    if tiny:
        yield Problem(
            f"{len(tiny)} pictures are smaller than {TINY[0]} x {TINY[1]} pixels.",
            "nobody can be told apart in them: take them out",
            tiny,
        )
    wide = tuple(
        f"{path}: {p.height} x {p.width}" for path, p in good.items() if p.width > p.height
    )
    if wide:
        yield Problem(
            f"{len(wide)} pictures are wider than high.",
            "they will be squeezed: crop to one standing person, or set --encoder.height and width",
            wide,
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
    # Frames of one tracklet may well be alike: somebody stood still.
    groups = [sorted(g) for g in same.values() if len({image for _, image, _ in g}) > 1]
    leaks = tuple(_group(g) for g in groups if {"train"} < {name for name, *_ in g})
    copies = tuple(_group(g) for g in groups if len({name for name, *_ in g}) == 1)
    if leaks:
        yield Problem(
            f"{len(leaks)} pictures stand in train and again in query or gallery.",
            "results will look too good: take them out of one of the two",
            leaks,
        )
    if copies:
        yield Problem(
            f"{len(copies)} pictures are there more than once, byte for byte.",
            "they make clusters of nothing but copies: keep one of each",
            copies,
        )


def _group(group: list[tuple[str, Path, Path]]) -> str:
    return " = ".join(str(path) for path in sorted({path for *_, path in group}))


def _people_and_cameras(dataset: Dataset) -> Iterable[Problem]:
    if len(dataset.train) < FEW:
        yield Problem(
            f"There are only {len(dataset.train)} training {_word(dataset.train)}.",
            "clusters need several pictures of many people: a few thousand images are a start",
        )
    cameras = {image.camera for image in dataset.train}
    if cameras <= {None}:
        yield Problem(
            "No camera is known.",
            "training works; with cameras it can look for other views first: one sub-folder a "
            "camera, a manifest, or --pattern '{camera}_{_}.jpg'",
        )
    elif len(cameras) == 1:
        yield Problem(
            f"All {_word(dataset.train)} are from one camera.",
            f"what is learnt may not hold in another camera: add {_word(dataset.train)} of a "
            "second one",
        )
    lonely = tuple(str(image.path) for image in unmatched(dataset))
    if lonely:
        yield Problem(
            f"{len(lonely)} of {len(dataset.query)} queries have no match in another camera.",
            "they are left out of every mean: add their matches to the gallery, or drop them",
            lonely,
        )


def unmatched(dataset: Dataset) -> Iterable[Image]:
    """Give the queries that no search can answer: nobody of the gallery is known to be them.

    A match is another picture of the person, by another camera where both cameras are known.
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
