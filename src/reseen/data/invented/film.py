"""Short invented videos: invented people walk past a camera, with known identities and boxes."""

from collections.abc import Iterator
from math import atan2, pi
from typing import NamedTuple

import numpy as np
from numpy.random import default_rng

from reseen.data.invented.body import pose
from reseen.data.invented.cameras import CLOSES, OPENS, expose, make_camera
from reseen.data.invented.crop import draw, stand
from reseen.data.invented.people import make_person
from reseen.data.invented.presets import Town, find_town
from reseen.data.invented.render import bounds, join, trace
from reseen.errors import SettingsError


class FilmFrame(NamedTuple):
    """One frame of an invented video, and its ground truth."""

    pixels: np.ndarray
    """(H, W, 3) uint8, RGB."""
    people: np.ndarray
    """(n,) int64, the visible people: their numbers in the town, the same at other cameras."""
    boxes: np.ndarray
    """(n, 4) left, top, right, bottom in pixels, of the whole person within the frame."""
    hidden: np.ndarray
    """(n,) share of each person, within the frame, that others occlude, 0 to 1."""


class _Way(NamedTuple):
    """A person's path: from, to (x, z in metres), when it begins, and its speed."""

    who: int
    first: np.ndarray
    last: np.ndarray
    begin: float
    speed: float
    phase: float


def film(
    *,
    people: tuple[int, ...] = (1, 2, 3),
    camera: int = 1,
    seconds: float = 6.0,
    rate: float = 5.0,
    height: int = 144,
    width: int = 192,
    seed: int = 0,
    town: str | Town = "town-a",
) -> Iterator[FilmFrame]:
    """Draw a video frame by frame; people cross the scene, and each other, once.

    Args:
        people: the people, by their numbers in the town; the same number is the same person at
            every camera.
        camera: number of the camera in the town.
        seconds: duration.
        rate: frames per second.
        height, width: of the frames, in pixels; the camera's aspect ratio is 4 to 3.
        seed: of the town, as in `invent`.
        town: as in `invent`.

    Raises:
        SettingsError: there are no people, or the town does not exist.
    """
    if not people or seconds <= 0 or rate <= 0:
        raise SettingsError("People, seconds and rate must all be above 0.")
    town = find_town(town)
    keys = seed, town.key
    eye = make_camera(keys, camera, town.site, town.difficulty.camera_gap, height // 3)
    rng = default_rng([*keys, 7, camera, *people])
    start = rng.uniform(OPENS, CLOSES)
    wide = 0.35 * eye.spread  # narrower than the painting, so that people are larger
    box = -wide, -wide * height / width, wide, wide * height / width
    ways = _ways(rng, people, eye.near, eye.far, 1.15 * wide, seconds)
    walkers = {way.who: make_person(keys, way.who, town.wardrobe, 0) for way in ways}
    for number in range(max(1, round(seconds * rate))):
        time = number / rate
        actors = []
        for place, way in enumerate(ways, 1):
            gone = way.speed * (time - way.begin)
            if 0 <= gone <= np.linalg.norm(way.last - way.first):
                step = (way.last - way.first) / np.linalg.norm(way.last - way.first)
                solids = pose(walkers[way.who], way.phase + 2 * pi * 0.95 * time)
                heading = atan2(step[0], step[1])
                where = way.first + gone * step
                cloths = walkers[way.who].cloths
                actors.append((way.who, stand(eye, solids, cloths, where, heading, place)))
        picture, _, _ = draw(eye, start + time, [a for _, a in actors], box, (width, height))
        pixels = np.asarray(expose(eye, picture, default_rng([seed, 8, number]), (width, height)))
        yield FilmFrame(pixels, *_truth(actors, box, height, width))


def _ways(rng, people, near: float, far: float, edge: float, seconds: float) -> list[_Way]:
    """Let people cross from side to side at different depths, all in the middle of the video."""
    ways = []
    for place, who in enumerate(people):
        side = 1 if place % 2 else -1
        z = rng.uniform(0.85 * near, 0.5 * near + 0.5 * far, 2)
        first, last = np.array((side * edge * z[0], z[0])), np.array((-side * edge * z[1], z[1]))
        speed = float(np.linalg.norm(last - first) / (0.8 * seconds))
        begin = seconds * (0.05 + 0.1 * rng.random())
        ways.append(_Way(who, first, last, begin, speed, rng.uniform(0, 2 * pi)))
    return ways


def _truth(actors, box, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return who is visible, in which boxes, and how far they are occluded."""
    us = box[0] + (np.arange(width) + 0.5) / width * (box[2] - box[0])
    vs = box[3] + (np.arange(height) + 0.5) / height * (box[1] - box[3])
    owners = np.empty((height, width), np.int64)
    if actors:
        scene = join([actor for _, actor in actors])
        hit, _, _ = trace(scene, us, vs)
        owners = np.where(hit >= 0, scene.owner[hit], 0)
    people, boxes, hidden = [], [], []
    for who, actor in actors:
        own = trace(actor, us, vs)[0] >= 0
        if not own.any():
            continue
        flat = bounds(actor)
        x0, x1 = ((flat[:, [0, 2]] - box[0]) / (box[2] - box[0]) * width).T
        y0, y1 = ((box[3] - flat[:, [3, 1]]) / (box[3] - box[1]) * height).T
        corners = np.array((x0.min(), y0.min(), x1.max(), y1.max()))
        people.append(who)
        boxes.append(corners.clip(0, (width, height, width, height)))
        hidden.append(1 - (own & (owners == actor.owner[0])).sum() / own.sum())
    return np.array(people, np.int64), np.array(boxes).reshape(-1, 4), np.array(hidden)
