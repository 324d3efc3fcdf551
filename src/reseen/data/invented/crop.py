"""One crop: a person passes a camera, others occlude them, and a detector draws a box."""

from math import atan2, cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image

from reseen.data.invented.body import pose
from reseen.data.invented.cameras import CLOSES, OPENS, Camera, expose, light_at, scene_at
from reseen.data.invented.people import Keys, make_person
from reseen.data.invented.presets import Town
from reseen.data.invented.render import (
    OVERSAMPLE,
    TARGET,
    Light,
    Scene,
    bounds,
    join,
    place,
    shade,
    trace,
)
from reseen.data.invented.scenery import obstacle, yaw
from reseen.kernels.compile import njit

SIDES = ("back", "right", "front", "left")


class Shot(NamedTuple):
    """A crop to draw: its file in the folder, and the keys of everything drawn for it."""

    path: str
    split: str
    person: int
    who: int
    camera: int
    frame: int
    wild: float = 1.0


class Crop(NamedTuple):
    """A crop: picture and mask (PIL), seconds of the day, viewpoint and occlusion."""

    picture: Image.Image
    mask: Image.Image
    time: float
    viewpoint: str
    occlusion: float


class Passage(NamedTuple):
    """A person's path past a camera: its middle, the step per frame (x, z) in metres, and gait."""

    middle: np.ndarray
    pace: np.ndarray
    heading: float
    phase: float
    swing: float
    time: float


FRAME, PASSAGE, VIEW = 0.16, 24, 6
"""Seconds between two frames, frames of a passage, and frames between two views."""


def _passage(keys: Keys, who: int, eye: Camera, number: int) -> Passage:
    rng = default_rng([*keys, 4, who, eye.number, number])
    heading = rng.choice((0, 0.5, 1, 1.5)) * pi + rng.normal(0, 0.4)
    swing = 1.0 if rng.random() < 0.85 else rng.uniform(0.0, 0.15)
    pace = rng.uniform(0.9, 1.4) * swing * FRAME * np.array((sin(heading), cos(heading)))
    reach = PASSAGE / 2 * np.abs(pace)
    z = _between(rng.uniform(eye.near, eye.far), eye.near + reach[1], eye.far - reach[1])
    room = 0.75 * eye.spread * z - reach[0]
    x = _between(rng.uniform(-0.5, 0.5) * eye.spread * z, -room, room)
    phase, time = rng.uniform(0, 2 * pi), rng.uniform(OPENS, CLOSES)
    return Passage(np.array((x, z)), pace, heading, phase, swing, time)


def _between(value: float, low: float, high: float) -> float:
    return min(max(value, low), high) if low < high else (low + high) / 2


def take(town: Town, eye: Camera, shot: Shot, seed: int, size: tuple[int, int]) -> Crop:
    """Draw a crop, with the errors of an imperfect detector.

    Args:
        town: the town.
        eye: the camera.
        shot: the person, and the frame of their passage.
        seed: of the town.
        size: width and height of the crop.
    """
    knobs, keys = town.difficulty, (seed, town.key)
    number, frame = divmod(shot.frame, PASSAGE)
    way = _passage(keys, shot.who, eye, number)
    rng = default_rng([*keys, 5, shot.who, eye.number, shot.frame])
    heading = way.heading + 0.1 * sin(0.15 * frame + way.phase)
    where = way.middle + (frame - PASSAGE / 2) * way.pace
    phase = way.phase + 2 * pi * 0.95 * FRAME * frame
    walker = make_person(keys, shot.who, town.wardrobe, knobs.look_alikes)
    target = stand(eye, pose(walker, phase, way.swing), walker.cloths, where, heading, TARGET)
    crowd = _crowd(town, eye, keys, shot, where - frame % VIEW * way.pace)
    time = way.time + FRAME * frame
    left, bottom, right, top = _detect(target, rng, knobs.box_error * shot.wild)
    tall = max(24, round(size[1] * eye.sharpness * min(1.0, 9 / where[1]) ** 0.5))
    wide = max(12, round(tall * size[0] / size[1]))
    picture, mask, occlusion = draw(
        eye, time, [target, *crowd], (left, bottom, right, top), (wide, tall)
    )
    mask = Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)
    mask = mask.point([0] * 128 + [255] * 128)
    toward = heading - atan2(where[0], where[1])
    side = SIDES[round(toward / (pi / 2)) % 4]
    return Crop(expose(eye, picture, rng, size), mask, time, side, occlusion)


def draw(
    eye: Camera,
    time: float,
    actors: list[Scene],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw the part of a camera's view in a box.

    Args:
        eye, time: the camera, and the seconds of the day.
        actors: all people and things in front of the background.
        box: left, bottom, right and top on the image plane.
        size: width and height, in pixels.

    Returns:
        picture (h, w, 3), linear light; mask (h, w) uint8, 255 where the TARGET is visible; and the
        share of the TARGET in the box that is occluded.
    """
    light = light_at(eye, time)
    us, vs = _rays(box[0], box[2], size[0]), _rays(box[3], box[1], size[1])
    fine_us, fine_vs = (
        _rays(*ends, OVERSAMPLE * n)
        for ends, n in (((box[0], box[2]), size[0]), ((box[3], box[1]), size[1]))
    )
    back = scene_at(eye, time, light, us, vs)
    back = back * _ground_shadow(eye, actors, light, us, vs)[..., None]
    if not actors:
        return back, np.zeros(back.shape[:2], np.uint8), 0.0
    scene = join(actors)
    hit, depth, whole = trace(scene, fine_us, fine_vs)
    picture = shade(scene, light, hit, depth, fine_us, fine_vs, back, OVERSAMPLE)
    seen = (hit >= 0) & (scene.owner[hit] == TARGET)
    cover = seen.reshape(size[1], OVERSAMPLE, size[0], OVERSAMPLE).mean((1, 3))
    hidden = 1 - seen.sum() / max(whole.sum(), 1)
    return picture, np.where(cover >= 0.5, 255, 0).astype(np.uint8), float(hidden)


def _rays(first: float, last: float, n: int) -> np.ndarray:
    return first + (np.arange(n) + 0.5) / n * (last - first)


def stand(eye: Camera, solids, cloths, where, heading: float, owner: int) -> Scene:
    """Place a person on the ground of the town, at x and z from below the camera."""
    shift = eye.origin + eye.turn @ np.array((where[0], 0.0, where[1]))
    return place(solids, cloths, eye.turn @ yaw(heading), shift, owner)


def _ground_shadow(
    eye: Camera, actors: list[Scene], light: Light, us: np.ndarray, vs: np.ndarray
) -> np.ndarray:
    """Return the remaining light (h, w) around everybody's feet and in their shadows."""
    sun = light.sun @ eye.turn
    power = light.sun_power.sum() / (light.sun_power.sum() + light.sky_power.sum())
    spots = []
    for actor in actors:
        points = (actor.corners.mean(1) - eye.origin) @ eye.turn
        low, high = points[points[:, 1] < 0.12], points[points[:, 1].argmax()]
        middle = points[:, [0, 2]].mean(0)
        tip = high[[0, 2]] - sun[[0, 2]] / sun[1] * high[1]
        spots += [(*low[i, [0, 2]], *low[i, [0, 2]], 0.11, 0.35) for i in range(len(low))]
        spots += [(*middle, *middle, 0.5, 0.3), (*middle, *tip, 0.16, 0.8 * power)]
    if not spots:
        return np.ones((len(vs), len(us)))
    return _dim(us, vs, eye.turn, eye.height, eye.far + 2.5, np.array(spots))


@njit(cache=True, nogil=True)
def _dim(us, vs, turn, height, far, spots):
    left = np.ones((len(vs), len(us)))
    for i in range(len(vs)):
        for j in range(len(us)):
            x, y, z = us[j] * turn[0] + vs[i] * turn[1] + turn[2]
            if y > -1e-3 or -height / y * z > far:
                continue
            x, z = -height / y * x, -height / y * z
            for ax, az, bx, bz, radius, strength in spots:
                dx, dz = bx - ax, bz - az
                along = ((x - ax) * dx + (z - az) * dz) / (dx * dx + dz * dz + 1e-9)
                along = min(max(along, 0.0), 1.0)
                off = (x - ax - along * dx) ** 2 + (z - az - along * dz) ** 2
                left[i, j] *= 1 - strength / (1 + (off / radius**2) ** 2)
    return left


def _detect(target: Scene, rng: Generator, error: float) -> tuple[float, float, float, float]:
    """Return a box as a detector draws it: shifted, too large or too small, sometimes cut off."""
    boxes = bounds(target)
    (left, bottom), (right, top) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    tall = (top - bottom) * 1.06 * np.exp(error * rng.normal(0.02, 0.13))
    wide = max(0.42 * tall, min(1.1 * (right - left), 0.6 * tall))
    wide *= np.exp(error * rng.normal(0, 0.1))
    x, y = (left + right) / 2, (bottom + top) / 2
    x += error * rng.normal(0, 0.14) * wide
    y += error * rng.normal(0, 0.06) * tall
    low = y - tall / 2
    if rng.random() < 0.15 * error:  # the lower part is cut off
        low += tall * rng.uniform(0.1, 0.4)
    return x - wide / 2, low, x + wide / 2, y + tall / 2


def _crowd(town: Town, eye: Camera, keys: Keys, shot: Shot, where: np.ndarray) -> list[Scene]:
    """Place people behind and in front of a position, and obstacles in front, for a few frames."""
    rng = default_rng([*keys, 6, shot.who, eye.number, shot.frame // VIEW])
    actors = []
    chance = town.difficulty.occlusion
    for share, nearer in ((0.35, False), (0.4 * chance + 0.1 * (shot.wild > 1), True)):
        if rng.random() < share:
            other = make_person(keys, int(rng.integers(10**6, 2 * 10**6)), town.wardrobe, 0)
            aside = rng.choice((-1, 1)) * rng.uniform(0.25, 0.9)
            away = rng.uniform(-1.6, -0.4) if nearer else rng.uniform(0.5, 4)
            spot = where * (where[1] + away) / where[1] + (aside, 0)
            solids = pose(other, rng.uniform(0, 2 * pi), rng.uniform(0.1, 1))
            actors.append(stand(eye, solids, other.cloths, spot, rng.uniform(-pi, pi), 2))
    if rng.random() < 0.45 * chance:
        aside = rng.normal(0, 0.35)
        spot = where * (where[1] - rng.uniform(0.5, 1.5)) / where[1] + (aside, 0)
        solids, cloths = obstacle(rng)
        actors.append(stand(eye, solids, cloths, spot, rng.normal(0, 0.4), 3))
    return actors
