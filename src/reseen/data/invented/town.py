"""A town as files: who is seen by which camera, and the folders that contain the crops."""

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import chain, product
from pathlib import Path
from warnings import catch_warnings

import numpy as np
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

from reseen.data.invented.cameras import Camera, make_camera
from reseen.data.invented.crop import PASSAGE, VIEW, Crop, Shot, take
from reseen.data.invented.presets import Difficulty, Town, find_town
from reseen.errors import DataError, SettingsError

COLUMNS = ("path", "camera", "time", "person", "split", "viewpoint", "occlusion")
DISTRACTORS, JUNK = 0.1, 0.05
"""Distractors and junk boxes in the gallery, as shares of its pictures."""

MARK = "drawing.reseen"
"""The file that marks a folder as an unfinished drawing, so that user files are never removed."""

_THINNING = 3
"""Key of the random draws of how many crops each person keeps."""

_BATCH = 32
"""Number of crops that a worker draws at a time; small towns are not worth starting workers."""


def invent(
    out: Path | str,
    *,
    people: int = 200,
    cameras: int = 6,
    views: int = 4,
    kept: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    height: int = 128,
    width: int = 64,
    town: str | Town = "town-a",
    difficulty: Difficulty | None = None,
    tracklets: int = 0,
    workers: int | None = None,
    track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> None:
    """Draw an invented town as a data set in the layout of Market-1501.

    It has `bounding_box_train`, `query` and `bounding_box_test`, with names such as
    `0001_c1s1_000000_00.jpg`: person, camera, frame; `masks`, the same names as PNG, 255 where the
    person is visible; `manifest.csv`; and optionally `tracklets/CAMERA/PERSON` and `tracklets.csv`,
    which is a manifest too.
    For each person in the test half, the first view of each camera is a query and the others are in
    the gallery, which also contains distractors (person 0000) and junk (person -1). The same
    arguments give the same bytes, whatever the number of workers. The town is drawn in a temporary
    folder beside `out`, which is renamed at the end.

    Args:
        out: the folder to fill, created if it does not exist.
        people: number of people in the training half; the test half has as many other people.
        cameras: number of cameras, each of which sees everybody.
        views: number of pictures of each person from each camera, four in a passage.
        kept: smallest and largest share of the training pictures of a person that are kept, at
            least one picture; the shares of the people are evenly spaced in between. Cameras are
            kept balanced, and the pictures that are kept have the same bytes and names as without
            this option.
        seed: of the people, the cameras and every picture, 0 or more.
        height, width: of the pictures, in pixels.
        town: `town-a`, a sunny campus, `town-b`, a winter station, or a town of your own.
        difficulty: replaces that of the town.
        tracklets: number of frames of each first passage to write in addition, 0 to 24.
        workers: number of processes; chosen by the number of processors if None.
        track: wraps the drawing to show its progress.

    Raises:
        DataError: `out` is a file, or a folder that is not empty.
        SettingsError: the town does not exist, tracklets is too large, or a number is too small.
    """
    least = dict(people=(people, 1), cameras=(cameras, 1), views=(views, 1), seed=(seed, 0))
    least |= dict(height=(height, 24), width=(width, 12))
    for name, (value, low) in least.items():
        if value < low:
            raise SettingsError(f"{name} is {value}. Give {low} or more.")
    if not 0 <= kept[0] <= kept[1] <= 1:
        raise SettingsError(
            f"kept is {kept[0]} to {kept[1]}. Give the smallest and largest share, such as 0.1 0.9."
        )
    town = find_town(town)
    town = replace(town, difficulty=difficulty or town.difficulty)
    if not 0 <= tracklets <= PASSAGE:
        raise SettingsError(f"tracklets is {tracklets}. Use {PASSAGE} frames or fewer.")
    whole = Path(out)
    _demand_empty(whole)
    out = whole.with_name(f".{whole.name}.drawing")
    if out.exists():  # from a drawing that was killed
        if not (out / MARK).is_file():
            raise DataError(f"{out} exists and was not made by this command. Rename it.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()
    try:
        _fill(
            out,
            town,
            seed,
            (width, height),
            (people, cameras, views, tracklets),
            kept,
            workers,
            track,
        )
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    (out / MARK).unlink()
    if whole.exists():
        whole.rmdir()
    out.replace(whole)  # so that an incomplete town is never used


def _fill(
    out: Path,
    town: Town,
    seed: int,
    size: tuple[int, int],
    counts: tuple[int, int, int, int],
    kept: tuple[float, float],
    workers: int | None,
    track: Callable[[Iterable, int], Iterable],
) -> None:
    people, cameras, views, tracklets = counts
    crops = _thinned(list(_shots(people, cameras, views)), kept, seed)
    frames = list(_frames(people, cameras, tracklets))
    for folder in {(out / shot.path).parent for shot in crops + frames}:
        folder.mkdir(parents=True)
        (out / "masks" / folder.relative_to(out)).mkdir(parents=True)
    shots = sorted(crops + frames, key=lambda shot: shot.camera)  # so that workers paint few scenes
    batches = [shots[i : i + _BATCH] for i in range(0, len(shots), _BATCH)]
    pool = Parallel(workers or min(cpu_count(), 1 + len(batches) // 16), return_as="generator")
    drawn = pool(delayed(_draw)(out, town, seed, size, batch) for batch in batches)
    try:
        rows = {row["path"]: row for row in track(chain.from_iterable(drawn), len(shots))}  # pyright: ignore[reportArgumentType]
        if pool.n_jobs != 1:  # otherwise its idle processes leak if this one is killed later
            get_reusable_executor(reuse=True).terminate(kill_workers=True)  # pyright: ignore
    finally:
        with catch_warnings(action="ignore"):  # after an interruption, about unused results
            drawn.close()  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    _tabulate(out / "manifest.csv", (rows[shot.path] for shot in crops))
    if frames:
        _tabulate(out / "tracklets.csv", (rows[shot.path] for shot in frames))


def _tabulate(path: Path, rows: Iterable[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _draw(out: Path, town: Town, seed: int, size: tuple[int, int], shots: list[Shot]) -> list[dict]:
    rows = []
    for shot in shots:
        eye = _eye(town, seed, size[1], shot.camera)
        crop = take(town, eye, shot, seed, size)
        crop.picture.save(out / shot.path, quality=eye.quality)
        crop.mask.save((out / "masks" / shot.path).with_suffix(".png"), compress_level=1)
        rows.append(_row(shot, crop))
    return rows


@lru_cache(1)
def _eye(town: Town, seed: int, height: int, number: int) -> Camera:
    return make_camera((seed, town.key), number, town.site, town.difficulty.camera_gap, height)


def _row(shot: Shot, crop: Crop) -> dict:
    return {
        "path": shot.path,
        "camera": shot.camera,
        "time": f"{crop.time:.2f}",
        "person": shot.person,
        "split": shot.split,
        "viewpoint": crop.viewpoint,
        "occlusion": f"{crop.occlusion:.3f}",
    }


def _demand_empty(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file, not a folder. Give a new or an empty folder.")
    found = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if found:
        raise DataError(
            f"{out} is not empty: it contains {', '.join(found[:3])}{' ...' if found[3:] else ''}. "
            "Give a new or an empty folder, or remove these files."
        )


def _passers(people: int, cameras: int) -> Iterator[tuple[int, int]]:
    return product(range(1, 2 * people + 1), range(1, cameras + 1))


def _split(who: int, people: int, view: int) -> str:
    return "train" if who <= people else "gallery" if view else "query"


def _shots(people: int, cameras: int, views: int) -> Iterator[Shot]:
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    frame = 0

    def shot(split: str, person: int, who: int, eye: int, step: int, wild: float = 1.0) -> Shot:
        nonlocal frame
        name = f"{person:04d}" if person >= 0 else "-1"
        path = f"{folders[split]}/{name}_c{eye}s1_{frame:06d}_00.jpg"
        frame += 1
        return Shot(path, split, person, who, eye, step, wild)

    for who, eye in _passers(people, cameras):
        for view in range(views):
            yield shot(_split(who, people, view), who, who, eye, VIEW * view)
    gallery, stranger = people * cameras * max(views - 1, 1), 2 * people + 1
    distractors, junk = max(4, round(DISTRACTORS * gallery)), max(3, round(JUNK * gallery))
    for i in range(distractors):
        yield shot("gallery", 0, stranger + i, i % cameras + 1, 0)
    for i in range(junk):
        yield shot("gallery", -1, stranger + distractors + i, i % cameras + 1, 0, 4.0)


def _thinned(shots: list[Shot], kept: tuple[float, float], seed: int) -> list[Shot]:
    """Keep a different share of the training crops of each person (ADTC, SI.3)."""
    rng = np.random.default_rng([seed, _THINNING])
    stay = {shot.path for shot in shots if shot.split != "train"}
    groups: dict[int, list[Shot]] = {}
    for shot in shots:
        if shot.split == "train":
            groups.setdefault(shot.person, []).append(shot)
    shares = rng.permutation(np.linspace(*kept, len(groups)))
    for own, share in zip(groups.values(), shares, strict=True):
        seen, turns = Counter(), []  # how often its camera occurred before: other cameras first
        for shot in (own[i] for i in rng.permutation(len(own))):
            seen[shot.camera] += 1
            turns.append((seen[shot.camera], shot.path))
        turns.sort(key=lambda turn: turn[0])
        stay |= {path for _, path in turns[: max(1, round(share * len(own)))]}
    return [shot for shot in shots if shot.path in stay]


def _frames(people: int, cameras: int, tracklets: int) -> Iterator[Shot]:
    for who, eye in _passers(people, cameras):
        for step in range(tracklets):
            path = f"tracklets/{eye}/{who:04d}/{step:04d}.jpg"
            yield Shot(path, _split(who, people, step), who, who, eye, step)
