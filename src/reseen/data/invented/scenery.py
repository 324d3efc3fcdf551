"""The background of a camera, and obstacles in front of people."""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from numpy.random import Generator

from reseen.data.invented.people import COLOURS, linear
from reseen.data.invented.render import (
    BALL,
    BOX,
    BRICKS,
    CONE,
    MOTTLED,
    PLAIN,
    PLANKS,
    RING,
    ROUGH,
    TILES,
    WINDOWS,
    Cloth,
    Scene,
    Solid,
    place,
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the cameras of a town have in common: ranges from which each camera is drawn."""

    grounds: tuple[str, ...]
    walls: tuple[str, ...]
    things: tuple[str, ...]
    heights: tuple[float, float]
    distances: tuple[float, float]
    sun: tuple[float, float]
    warmth: tuple[float, float]
    haze: tuple[float, float]
    noise: tuple[float, float]
    blur: tuple[float, float]
    sharpness: tuple[float, float]
    quality: tuple[int, int]


GROUNDS = {
    "asphalt": ((92, 92, 94), (112, 111, 110), ROUGH, 0.6, 0.0, 0.25),
    "paving": ((142, 138, 130), (104, 100, 95), TILES, 0.6, 0.04, 0.2),
    "slabs": ((124, 122, 120), (92, 90, 88), TILES, 1.1, 0.03, 0.2),
    "cobbles": ((112, 106, 100), (74, 70, 66), BRICKS, 0.2, 0.14, 0.3),
    "grass": ((78, 96, 52), (104, 112, 66), ROUGH, 0.5, 0.0, 0.6),
    "sand": ((160, 148, 124), (142, 130, 108), ROUGH, 0.9, 0.0, 0.25),
    "lino": ((150, 146, 138), (126, 122, 116), TILES, 0.5, 0.02, 0.06),
    "carpet": ((82, 84, 98), (70, 72, 88), MOTTLED, 0.3, 0.0, 0.15),
}
WALLS = {
    "brick": ((132, 84, 68), (150, 138, 126), BRICKS, 0.12, 0.14, 0.2),
    "concrete": ((140, 138, 134), (118, 116, 112), ROUGH, 1.6, 0.0, 0.12),
    "plaster": ((190, 180, 158), (172, 162, 142), ROUGH, 2.0, 0.0, 0.08),
    "panels": ((150, 158, 164), (104, 110, 116), TILES, 1.4, 0.02, 0.06),
    "windows": ((156, 150, 140), (46, 56, 66), WINDOWS, 1.8, 0.16, 0.08),
    "planks": ((112, 88, 66), (70, 56, 44), PLANKS, 0.16, 0.08, 0.25),
    "hedge": ((48, 70, 38), (86, 104, 56), ROUGH, 0.35, 0.0, 0.8),
    "shutters": ((126, 130, 134), (94, 98, 102), PLANKS, 0.3, 0.2, 0.06),
}


def yaw(angle: float) -> np.ndarray:
    """Return the (3, 3) rotation about the vertical; at 0 a person faces away from the camera."""
    c, s = cos(angle), sin(angle)
    return np.array(((c, 0, s), (0, 1, 0), (-s, 0, c)))


def _cloth(rng: Generator, colour, second, *pattern) -> Cloth:
    tint = rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, 3)
    return Cloth(linear(colour * tint), linear(second * tint), *pattern)


def scenery(rng: Generator, site: Site, turn: np.ndarray, height: float, far: float) -> Scene:
    """Create the scene: ground, strips, a wall with doors, and things along it, slightly rotated.

    Its origin is on the ground at the wall, behind everybody; z points away from the camera.
    """
    solids: list[Solid] = []
    cloths: list[Cloth] = []

    def add(cloth: Cloth, *new: Solid) -> None:
        solids.extend(s._replace(cloth=len(cloths)) for s in new)
        cloths.append(cloth)

    def box(x: float, y: float, z: float, wide: float, tall: float, deep: float) -> Solid:
        return Solid(BOX, (x, y, z), (x, y + tall, z), wide / 2, deep / 2, 0)

    names = rng.permutation(site.grounds)
    add(_cloth(rng, *GROUNDS[names[0]]), box(0, -1, 0, 160, 1, 160))
    for name in names[1 : 1 + rng.integers(1, 3)]:
        z, deep = rng.uniform(-12, -1), rng.uniform(1.5, 5)
        rise = rng.choice((0.008, 0.1))
        add(_cloth(rng, *GROUNDS[name]), box(0, 0, z, 160, rise, deep))
        add(
            _cloth(rng, (170, 168, 160), (150, 148, 140), ROUGH, 0.7, 0, 0.2),
            box(0, 0, z - deep / 2, 160, rise + 0.01, 0.14),
        )
    if rng.random() < 0.5:
        lines = [box(x, 0, rng.uniform(-9, -4), 0.12, 0.011, 30) for x in rng.uniform(-8, 8, 2)]
        add(_cloth(rng, (196, 190, 170), (160, 156, 146), ROUGH, 0.3, 0, 0.3), *lines)
    wall = WALLS[str(rng.choice(site.walls))]
    tall = rng.uniform(0.8, 1.6) if rng.random() < 0.25 else rng.uniform(3.5, 9)
    add(_cloth(rng, *wall), box(0, 0, 1.5, 160, tall, 2))
    add(_cloth(rng, (70, 70, 72), (60, 60, 62), PLAIN), box(0, 0, 0.5, 160, 0.3, 0.1))
    if tall < 2:
        add(_cloth(rng, *WALLS["windows"]), box(0, 0, 30, 160, 20, 2))
        leaves = _cloth(rng, *WALLS["hedge"])
        add(
            leaves,
            *(Solid(BALL, (x, 1, 9), (x, 7, 9), 2.6, 2.6, 0) for x in rng.uniform(-18, 18, 6)),
        )
    elif rng.random() < 0.8:
        doors = [box(x, 0, 0.5, 1.1, 2.2, 0.12) for x in rng.uniform(-10, 10, 4)]
        add(
            _cloth(
                rng, rng.uniform(45, 110) + rng.uniform(-15, 15, 3), (30, 30, 32), TILES, 0.9, 0.05
            ),
            *doors,
        )
    for name in rng.choice(site.things, 7):
        for cloth, new in _thing(rng, str(name)):
            add(cloth, *new)
    shift = turn @ (0.0, -height, far + 3.5)
    return place(solids, cloths, turn @ yaw(rng.uniform(-0.45, 0.45)), shift, 0)


def _thing(rng: Generator, name: str) -> list[tuple[Cloth, list[Solid]]]:
    """Create one of the things that stand along a wall."""
    x, z = rng.uniform(-9, 9), rng.uniform(-1.6, -0.4)

    def box(dx: float, y: float, wide: float, tall: float, deep: float) -> Solid:
        return Solid(BOX, (x + dx, y, z), (x + dx, y + tall, z), wide / 2, deep / 2, 0)

    def post(dx: float, tall: float, thick: float) -> Solid:
        return Solid(CONE, (x + dx, 0, z), (x + dx, tall, z), thick, thick, 0)

    dark = _cloth(rng, (44, 45, 48), (60, 60, 62), ROUGH, 0.3)
    paint = _cloth(rng, rng.uniform(45, 170) + rng.uniform(-18, 18, 3), (90, 90, 90), PLAIN)
    leaves = _cloth(rng, *WALLS["hedge"])
    if name == "car":
        wheels = [
            Solid(CONE, (x + dx, 0.32, z - 0.9), (x + dx, 0.32, z + 0.9), 0.32, 0.32, 0)
            for dx in (-1.3, 1.3)
        ]
        return [
            (paint, [box(0, 0.3, 4.2, 0.6, 1.7), box(0, 1.34, 2.0, 0.06, 1.4)]),
            (dark, [box(0, 0.9, 2.3, 0.45, 1.5), *wheels]),
        ]
    if name == "tree":
        crown = [
            Solid(BALL, (x + dx, 2.2, z), (x + dx, 4.4, z), 1.2, 1.2, 0)
            for dx in rng.uniform(-0.8, 0.8, 3)
        ]
        trunk = _cloth(rng, (88, 74, 60), (60, 50, 42), ROUGH, 0.2)
        return [(trunk, [post(0, 3, 0.14)]), (leaves, crown)]
    if name == "bushes":
        return [
            (
                leaves,
                [
                    Solid(BALL, (x + dx, -0.4, z), (x + dx, tall, z), 0.8, 0.6, 0)
                    for dx, tall in rng.uniform((-2, 0.6), (2, 1.3), (4, 2))
                ],
            )
        ]
    if name == "bench":
        wood = _cloth(rng, *WALLS["planks"])
        return [
            (wood, [box(0, 0.4, 1.8, 0.06, 0.5), box(0, 0.5, 1.8, 0.4, 0.06)]),
            (dark, [box(dx, 0, 0.08, 0.42, 0.45) for dx in (-0.8, 0.8)]),
        ]
    if name == "bikes":
        wheels = [
            Solid(RING, (x + dx, 0.34, z), (x + dx, 0.34, z + 0.03), 0.33, 0.33, 0, 0.87)
            for dx in (0, 1.0, 1.5, 2.5)
        ]
        frames = [box(dx, y, 0.6, 0.04, 0.04) for dx in (0.5, 2.0) for y in (0.4, 0.75)]
        poles = [box(dx, 0.35, 0.04, 0.6, 0.04) for dx in (0.3, 0.85, 1.8, 2.35)]
        return [(dark, wheels), (paint, [*frames, *poles])]
    if name == "poster":
        print_ = _cloth(rng, rng.uniform(80, 190, 3), rng.uniform(80, 190, 3), MOTTLED, 0.25)
        return [(print_, [box(0, 0.9, 1.0, 1.3, 0.06)]), (dark, [box(0, 0.85, 1.1, 1.4, 0.04)])]
    if name == "pillar":
        return [(_cloth(rng, *WALLS["concrete"]), [post(0, 5, 0.25)])]
    if name == "machine":
        return [(paint, [box(0, 0, 0.9, 1.8, 0.7)]), (dark, [box(0, 0.9, 0.6, 0.7, 0.74)])]
    return [(dark, [post(0, 0.9, 0.25)]), (paint, [post(2, 4.5, 0.06)])]


def obstacle(rng: Generator) -> tuple[list[Solid], list[Cloth]]:
    """Create an obstacle in front of people: a post, a bin, a bush, a bicycle, a wall."""
    names = ("charcoal", "grey", "silver", "green", "blue", "beige", "brown")
    colour = linear(np.multiply(COLOURS[names[rng.integers(len(names))]], rng.uniform(0.7, 1.1)))
    leaf = linear((48, 66, 38))
    cloths = [
        Cloth(colour, colour, ROUGH, 0.3, 0, 0.15),
        Cloth(leaf, linear((92, 106, 60)), ROUGH, 0.3, 0, 0.8),
        Cloth(linear((40, 40, 42)), linear((60, 60, 62)), MOTTLED),
    ]
    kind = rng.integers(5)
    if kind == 0:
        return [Solid(CONE, (0, 0, 0), (0, 4, 0), 0.06, 0.06, 0)], cloths
    if kind == 1:
        return [
            Solid(CONE, (0, 0, 0), (0, 0.9, 0), 0.24, 0.24, 0, 1.1),
            Solid(CONE, (0, 0.9, 0), (0, 0.95, 0), 0.28, 0.28, 2),
        ], cloths
    if kind == 2:
        spots = rng.uniform((-0.5, 0.5, -0.3), (0.5, 1.0, 0.3), (4, 3))
        return [Solid(BALL, (x, -0.3, z), (x, y, z), 0.45, 0.45, 1) for x, y, z in spots], cloths
    if kind == 3:
        wheels = [
            Solid(RING, (x, 0.34, 0), (x, 0.34, 0.03), 0.33, 0.33, 2, 0.87) for x in (-0.5, 0.5)
        ]
        bars = [
            ((-0.5, 0.36, 0), (-0.15, 0.85, 0)),
            ((-0.15, 0.75, 0), (0.4, 0.8, 0)),
            ((0.5, 0.36, 0), (0.4, 0.98, 0)),
            ((-0.1, 0.36, 0), (0.4, 0.75, 0)),
        ]
        return [*wheels, *(Solid(CONE, a, b, 0.022, 0.022, 0) for a, b in bars)], cloths
    wide = rng.uniform(0.5, 1.2)
    return [Solid(BOX, (0, 0, 0), (0, rng.uniform(0.5, 0.9), 0), wide, 0.15, 0)], cloths
