"""Solids as a camera sees them: the nearest one in each pixel, and the light it reflects.

A solid fills the cube -1..1 in its own coordinates: a ball, a cone (a cylinder if its taper is 1),
a box, or a flat ring (its taper is the hole). Rays start at the camera at 0 along (u, v, 1) in its
axes right, up and forward, so that converting a ray to a solid's coordinates is one small product
and does not change its parameter t, the depth.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reseen.kernels.compile import njit

BALL, CONE, BOX, RING = range(4)
PLAIN, STRIPES, PINSTRIPES, CHECKS, LOGO, OPEN, BLOCK, MOTTLED = range(8)
TILES, BRICKS, WINDOWS, ROUGH, PLANKS = range(8, 13)
TARGET = 1
"""Owner of the solids of the person whom the crop shows."""

OVERSAMPLE = 2
"""Rays per pixel in each direction."""

Point = tuple[float, float, float]


class Solid(NamedTuple):
    """A solid: its axis, its half width and half depth across the axis, and its material."""

    kind: int
    foot: Point
    head: Point
    wide: float
    deep: float
    cloth: int
    taper: float = 1.0
    lower: int = -1
    cut: float = -2.0


class Cloth(NamedTuple):
    """A material: two colours, how they alternate, and how large the pattern is, in metres."""

    colour: Point
    second: Point
    pattern: int = PLAIN
    period: float = 0.1
    share: float = 0.5
    folds: float = 0.3


class Scene(NamedTuple):
    """Solids in the camera's coordinates, for the kernels; row i of each array is one solid."""

    kind: np.ndarray
    inverse: np.ndarray
    origin: np.ndarray
    size: np.ndarray
    taper: np.ndarray
    cloth: np.ndarray
    cut: np.ndarray
    along: np.ndarray
    owner: np.ndarray
    corners: np.ndarray
    cloths: np.ndarray


class Light(NamedTuple):
    """Directions of up and of the sun for the camera, and the powers of sky and sun (RGB)."""

    up: np.ndarray
    sun: np.ndarray
    sky_power: np.ndarray
    sun_power: np.ndarray


def place(
    solids: Sequence[Solid],
    cloths: Sequence[Cloth],
    turn: np.ndarray,
    shift: np.ndarray,
    owner: int,
) -> Scene:
    """Convert an actor's solids to the camera's coordinates.

    Args:
        solids: in the actor's coordinates: x to its right, y up, z to its front, in metres.
        cloths: its materials, which the solids refer to by position; colours in 0..1, linear.
        turn: (3, 3) from the actor's axes to the camera's.
        shift: (3,) the actor's origin in the camera's coordinates, in metres.
        owner: number of the actor, or TARGET.
    """
    foot = np.array([s.foot for s in solids])
    head = np.array([s.head for s in solids])
    half = (head - foot) / 2
    length = np.sqrt((half * half).sum(1, keepdims=True))
    axis = half / length
    right = np.array((1.0, 0, 0)) - axis[:, :1] * axis
    steep = np.abs(axis[:, 0]) > 0.95  # along x: use z for its right instead
    right[steep] = np.array((0, 0, 1.0)) - axis[steep, 2:] * axis[steep]
    right /= np.sqrt((right * right).sum(1, keepdims=True))
    front = np.stack(
        [
            right[:, 1] * axis[:, 2] - right[:, 2] * axis[:, 1],
            right[:, 2] * axis[:, 0] - right[:, 0] * axis[:, 2],
            right[:, 0] * axis[:, 1] - right[:, 1] * axis[:, 0],
        ],
        1,
    )
    axes = np.stack([right, axis, front], 1) @ turn.T  # (n, which axis, camera's frame)
    table = np.array([(s.kind, s.wide, s.deep, s.taper, s.cloth, s.lower, s.cut) for s in solids])
    size = np.stack([table[:, 1], length[:, 0], table[:, 2]], 1)
    centre = (foot + head) / 2 @ turn.T + shift
    inverse = axes / size[:, :, None]
    reach = axes * size[:, :, None]
    cloth = table[:, 4:6].astype(np.int64)
    cloth[:, 1] = np.where(cloth[:, 1] < 0, cloth[:, 0], cloth[:, 1])
    return Scene(
        table[:, 0].astype(np.int64),
        inverse,
        -np.einsum("nij,nj->ni", inverse, centre),
        size,
        table[:, 3].copy(),
        cloth,
        table[:, 6].copy(),
        (foot[:, 1] + head[:, 1]) / 2,
        np.full(len(solids), owner),
        centre[:, None] + _CORNERS @ reach,
        np.array([(*c.colour, *c.second, *c[2:]) for c in cloths]),
    )


_CORNERS = np.array([(x, y, z) for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])


def join(scenes: Sequence[Scene]) -> Scene:
    """Join several actors to one scene."""
    first = np.cumsum([0, *(len(s.cloths) for s in scenes)])
    moved = [s._replace(cloth=s.cloth + n) for s, n in zip(scenes, first, strict=False)]
    return Scene(*(np.concatenate(parts) for parts in zip(*moved, strict=True)))


def bounds(scene: Scene) -> np.ndarray:
    """Return for each solid its bounding box (left, bottom, right, top) on the image plane."""
    depth = np.maximum(scene.corners[..., 2:], 0.05)
    flat = scene.corners[..., :2] / depth
    return np.concatenate([flat.min(1), flat.max(1)], 1)


def trace(
    scene: Scene, us: np.ndarray, vs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the first solid on each ray.

    Args:
        scene: the solids.
        us, vs: (w,) and (h,), increasing to the right and decreasing upwards: rays are (u, v, 1).

    Returns:
        hit (h, w), the nearest solid or -1; depth (h, w), inf if there is none; and whole (h, w),
        whether the ray would hit the TARGET if nothing were in front.
    """
    box = bounds(scene)
    columns = np.searchsorted(us, box[:, [0, 2]])
    rows = np.searchsorted(-vs, -box[:, [3, 1]])
    return _trace(*scene[:3], scene.taper, scene.owner, columns, rows, us, vs)


@njit(cache=True, nogil=True, error_model="numpy")
def _meet(kind, ox, oy, oz, dx, dy, dz, taper):
    """Return t where the ray o + t d enters the solid, or -1."""
    if kind == BALL:
        a = dx * dx + dy * dy + dz * dz
        b = ox * dx + oy * dy + oz * dz
        root = b * b - a * (ox * ox + oy * oy + oz * oz - 1)
        return (-b - np.sqrt(root)) / a if root > 0 else -1.0
    if kind == CONE:
        slope, middle = (taper - 1) / 2, (taper + 1) / 2
        ro, rd = middle + slope * oy, slope * dy
        a = dx * dx + dz * dz - rd * rd
        b = ox * dx + oz * dz - ro * rd
        root = b * b - a * (ox * ox + oz * oz - ro * ro)
        if root > 0:
            t = (-b - np.sqrt(root)) / a
            if t > 0 and abs(oy + t * dy) <= 1:
                return t
        t = ((1.0 if dy < 0 else -1.0) - oy) / dy  # the lid on the side of the ray
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        radius = middle + slope * y
        return t if x * x + z * z <= radius * radius else -1.0
    if kind == RING:
        t = -oy / dy
        off = (ox + t * dx) ** 2 + (oz + t * dz) ** 2
        return t if taper * taper < off < 1 else -1.0
    near, far = -np.inf, np.inf
    for o, d in ((ox, dx), (oy, dy), (oz, dz)):
        one, two = (-1 - o) / d, (1 - o) / d
        near, far = max(near, min(one, two)), min(far, max(one, two))
    return near if near < far else -1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _trace(kind, inverse, origin, taper, owner, columns, rows, us, vs):
    h, w = len(vs), len(us)
    hit = np.full((h, w), -1, np.int32)
    depth = np.full((h, w), np.inf)
    whole = np.zeros((h, w), np.bool_)
    for s in range(len(kind)):
        m = inverse[s]
        ox, oy, oz = origin[s]
        for i in range(rows[s, 0], rows[s, 1]):
            bx = m[0, 1] * vs[i] + m[0, 2]
            by = m[1, 1] * vs[i] + m[1, 2]
            bz = m[2, 1] * vs[i] + m[2, 2]
            for j in range(columns[s, 0], columns[s, 1]):
                u = us[j]
                dx, dy, dz = bx + m[0, 0] * u, by + m[1, 0] * u, bz + m[2, 0] * u
                t = _meet(kind[s], ox, oy, oz, dx, dy, dz, taper[s])
                if t > 0.05:
                    if owner[s] == TARGET:
                        whole[i, j] = True
                    if t < depth[i, j]:
                        depth[i, j] = t
                        hit[i, j] = s
    return hit, depth, whole


@njit(cache=True, nogil=True)
def _lattice(i, j):
    n = (i * 374761393 + j * 668265263) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@njit(cache=True, nogil=True)
def noise(x, y):
    """Return smooth noise in 0..1 whose hills are about 1 wide."""
    i, j = int(np.floor(x)), int(np.floor(y))
    x, y = x - i, y - j
    x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
    low = _lattice(i, j) * (1 - x) + _lattice(i + 1, j) * x
    high = _lattice(i, j + 1) * (1 - x) + _lattice(i + 1, j + 1) * x
    return low * (1 - y) + high * y


@njit(cache=True, nogil=True)
def _second(pattern, period, share, x, y, front):
    """Return the share of the second colour of a material at x across and y up, in metres."""
    if pattern == STRIPES:
        return 1.0 if (y / period) % 1 < share else 0.0
    if pattern == PINSTRIPES:
        return 1.0 if (x / period) % 1 < share else 0.0
    if pattern == CHECKS:
        return 0.5 * ((x / period) % 1 < share) + 0.5 * ((y / period) % 1 < share)
    if pattern == LOGO:
        inside = abs(x) < period and abs(y - share) < 0.6 * period
        return 1.0 if front and inside and noise(60 * x, 60 * y) > 0.3 else 0.0
    if pattern == OPEN:
        return 1.0 if front and abs(x) < period else 0.0
    if pattern == BLOCK:
        return 1.0 if y > share else 0.0
    if pattern == MOTTLED:
        return noise(x / period, y / period)
    if pattern == TILES:
        seam = min((x / period) % 1, (y / period) % 1) < share
        tint = _lattice(int(np.floor(x / period)), int(np.floor(y / period)))
        return 1.0 if seam else 0.25 * tint
    if pattern == BRICKS:
        row = np.floor(y / period)
        across = (x / (2.5 * period) + 0.5 * (row % 2)) % 1
        tint = _lattice(int(np.floor(x / (2.5 * period) + 0.5 * (row % 2))), int(row))
        return 1.0 if (y / period) % 1 < share or across < share / 2 else 0.4 * tint
    if pattern == WINDOWS:
        inside = share < (x / period) % 1 < 1 - share and share < (y / period) % 1 < 1 - share
        return 0.75 + 0.25 * noise(x, 2 * y) if inside else 0.0
    if pattern == ROUGH:
        return 0.5 * noise(x / period, y / period) + 0.5 * noise(9 * x / period, 9 * y / period)
    if pattern == PLANKS:
        return 1.0 if (x / period) % 1 < share else 0.3 * _lattice(int(np.floor(x / period)), 7)
    return 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _surface(s, t, u, v, kind, inverse, origin, size, taper, cloth, cut, along, cloths):
    """Return the normal (camera's coordinates, length 1) and the colour of solid s at t."""
    m = inverse
    x = origin[s, 0] + t * (m[s, 0, 0] * u + m[s, 0, 1] * v + m[s, 0, 2])
    y = origin[s, 1] + t * (m[s, 1, 0] * u + m[s, 1, 1] * v + m[s, 1, 2])
    z = origin[s, 2] + t * (m[s, 2, 0] * u + m[s, 2, 1] * v + m[s, 2, 2])
    nx, ny, nz = x, y, z
    across, up = x * size[s, 0], along[s] + y * size[s, 1]
    if kind[s] == CONE:
        slope = (taper[s] - 1) / 2
        ny = -((taper[s] + 1) / 2 + slope * y) * slope
        if abs(y) > 0.9999:
            nx, ny, nz = 0.0, y, 0.0
    elif kind[s] == BOX:
        ax, ay, az = abs(x), abs(y), abs(z)
        nx, ny, nz = x * (ax > max(ay, az)), y * (ay >= max(ax, az)), z * (az > max(ax, ay))
        if nx != 0:
            across = z * size[s, 2]
        elif ny != 0:
            up = z * size[s, 2]
    elif kind[s] == RING:
        nx, ny, nz = 0.0, np.sign(origin[s, 1]), 0.0
    gx = nx * m[s, 0, 0] + ny * m[s, 1, 0] + nz * m[s, 2, 0]
    gy = nx * m[s, 0, 1] + ny * m[s, 1, 1] + nz * m[s, 2, 1]
    gz = nx * m[s, 0, 2] + ny * m[s, 1, 2] + nz * m[s, 2, 2]
    length = np.sqrt(gx * gx + gy * gy + gz * gz)
    c = cloth[s, 1] if y < cut[s] else cloth[s, 0]
    second = _second(int(cloths[c, 6]), cloths[c, 7], cloths[c, 8], across, up, z > 0)
    fold = noise(9 * across + 4 * up + 31 * s, 6 * up + 17 * c)
    fold += 0.5 * noise(23 * across + 12 * up, 17 * up - 5 * across + 5 * s)
    tone = 1 + cloths[c, 9] * (fold - 0.75)
    red = tone * (cloths[c, 0] + second * (cloths[c, 3] - cloths[c, 0]))
    green = tone * (cloths[c, 1] + second * (cloths[c, 4] - cloths[c, 1]))
    blue = tone * (cloths[c, 2] + second * (cloths[c, 5] - cloths[c, 2]))
    return gx / length, gy / length, gz / length, red, green, blue


def shade(
    scene: Scene,
    light: Light,
    hit: np.ndarray,
    depth: np.ndarray,
    us: np.ndarray,
    vs: np.ndarray,
    back: np.ndarray,
    over: int,
) -> np.ndarray:
    """Shade what the rays hit, and average `over` by `over` rays to a pixel.

    Args:
        scene, light: the solids and the light.
        hit, depth: (h, w) from `trace`.
        us, vs: (w,) and (h,), the rays.
        back: (h // over, w // over, 3), the background of pixels without a solid.
        over: rays per pixel in each direction.

    Returns:
        (h // over, w // over, 3), linear light.
    """
    solids = (*scene[:7], scene.along, scene.cloths)
    return _shade(solids, np.array(light), hit, depth, us, vs, back, over)


# A function of scalars and whole arrays: views and records would cost reference counting each time.
@njit(cache=True, nogil=True, error_model="numpy")
def _shade(solids, light, hit, depth, us, vs, back, over):
    kind, inverse, origin, size, taper, cloth, cut, along, cloths = solids
    h, w = hit.shape[0] // over, hit.shape[1] // over
    picture = np.zeros((h, w, 3))
    for row in range(h):
        for column in range(w):
            first, rays, t, u, v = hit[row * over, column * over], over * over, 0.0, 0.0, 0.0
            for i in range(row * over, row * over + over):
                for j in range(column * over, column * over + over):
                    rays -= hit[i, j] == first
                    t, u, v = t + depth[i, j], u + us[j], v + vs[i]
            step, part = (over, 1.0) if rays == 0 else (1, 1.0 / (over * over))
            for i in range(row * over, row * over + over, step):
                for j in range(column * over, column * over + over, step):
                    s = hit[i, j]
                    if s < 0:
                        for k in range(3):
                            picture[row, column, k] += part * back[row, column, k]
                        continue
                    if step == 1:
                        t, u, v = depth[i, j], us[j], vs[i]
                    else:  # a single surface is evaluated once, in the middle
                        t, u, v = t / over**2, u / over**2, v / over**2
                    nx, ny, nz, red, green, blue = _surface(
                        s, t, u, v, kind, inverse, origin, size, taper, cloth, cut, along, cloths
                    )
                    rise = nx * light[0, 0] + ny * light[0, 1] + nz * light[0, 2]
                    lit = max(0.0, nx * light[1, 0] + ny * light[1, 1] + nz * light[1, 2])
                    toward = -(nx * u + ny * v + nz) / np.sqrt(1 + u * u + v * v)
                    rim = (0.62 + 0.38 * rise) * (0.72 + 0.28 * max(0.0, toward))
                    sky, sun = light[2], light[3]
                    picture[row, column, 0] += part * red * (sky[0] * rim + sun[0] * lit)
                    picture[row, column, 1] += part * green * (sky[1] * rim + sun[1] * lit)
                    picture[row, column, 2] += part * blue * (sky[2] * rim + sun[2] * lit)
    return picture


def cast_shadows(
    scene: Scene,
    sun: np.ndarray,
    depth: np.ndarray,
    us: np.ndarray,
    vs: np.ndarray,
    lit: np.ndarray,
) -> None:
    """Remove the light of the sun where a solid is between the sun and what the rays hit.

    Args:
        scene: the solids.
        sun: (3,) direction of the sun, in the camera's coordinates.
        depth: (h, w) from `trace`.
        us, vs: (w,) and (h,), the rays.
        lit: (h, w, 3), the light of the sun only; changed in place.
    """
    turned = scene.inverse @ sun
    solids = scene.kind, scene.inverse, turned, scene.origin, scene.taper
    _cast_shadows(*solids, depth, us, vs, lit)


@njit(cache=True, nogil=True, error_model="numpy")
def _cast_shadows(kind, inverse, sun, origin, taper, depth, us, vs, lit):
    m, last = inverse, 0
    for i in range(len(vs)):
        for j in range(len(us)):
            if max(lit[i, j, 0], lit[i, j, 1], lit[i, j, 2]) <= 0:
                continue
            for turn in range(len(kind)):  # first the solid that shaded the previous pixel
                s = (last + turn) % len(kind)
                x, y, z = depth[i, j] * us[j], depth[i, j] * vs[i], depth[i, j]
                ox = m[s, 0, 0] * x + m[s, 0, 1] * y + m[s, 0, 2] * z + origin[s, 0]
                oy = m[s, 1, 0] * x + m[s, 1, 1] * y + m[s, 1, 2] * z + origin[s, 1]
                oz = m[s, 2, 0] * x + m[s, 2, 1] * y + m[s, 2, 2] * z + origin[s, 2]
                if _meet(kind[s], ox, oy, oz, sun[s, 0], sun[s, 1], sun[s, 2], taper[s]) > 0.02:
                    lit[i, j, 0] = lit[i, j, 1] = lit[i, j, 2] = 0.0
                    last = s
                    break
