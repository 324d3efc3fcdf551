"""Cameras, their light, and how they change a picture."""

from dataclasses import dataclass
from math import atan2, cos, pi, sin

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image, ImageFilter

from reseen.data.invented.people import Keys
from reseen.data.invented.render import Light, Scene, cast_shadows, shade, trace
from reseen.data.invented.scenery import Site, scenery
from reseen.kernels.compile import njit

OPENS, CLOSES = 8 * 3600, 18 * 3600
"""The day of a town, in seconds."""

HOURS = np.linspace(OPENS, CLOSES, 3)
"""Times at which the background is painted; at other times it is interpolated."""

_PLATE = 4  # rows of that painting for each row of a crop


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A camera, in metres and its own axes (right, up, forward); see `make_camera`."""

    number: int
    height: float
    turn: np.ndarray
    near: float
    far: float
    spread: float
    gain: np.ndarray
    gamma: float
    haze: float
    saturation: float
    noise: float
    blur: float
    sharpness: float
    quality: int
    sky: np.ndarray
    sunshine: np.ndarray
    azimuth: float
    shady: np.ndarray
    sunny: np.ndarray

    @property
    def origin(self) -> np.ndarray:
        """The town's origin, on the ground below the camera, in the camera's coordinates."""
        return self.turn @ np.array((0.0, -self.height, 0.0))


def make_camera(keys: Keys, number: int, site: Site, gap: float, rows: int = 128) -> Camera:
    """Create a camera and paint its background.

    Args:
        keys, number: the camera; the same ones give the same camera.
        site: the ranges to draw from.
        gap: how much cameras differ in colour, light and sharpness, 0 to 1.
        rows: height of its crops, in pixels.
    """
    rng = default_rng([*keys, 3, number])
    height, middle = rng.uniform(*site.heights), rng.uniform(*site.distances)
    pitch, roll = atan2(height - 0.9, middle), rng.normal(0, 0.025)
    turn = _roll(roll) @ _pitch(pitch)
    near, far = 0.7 * middle, 1.35 * middle
    azimuth, spread = rng.uniform(-pi, pi), rng.uniform(0.58, 0.72)
    scene = scenery(rng, site, turn, height, far)
    tint = gap * rng.normal(0, 1, 3) * (0.13, 0.05, 0.16)
    exposure = np.exp(gap * rng.normal(0, 0.28))
    warm = _within(rng, site.warmth, gap)
    lights = [_light(hour, turn, azimuth, np.zeros(3), np.ones(3)) for hour in HOURS]
    shady, sunny = _paint(scene, lights, spread, _PLATE * rows)
    return Camera(
        number=number,
        height=height,
        turn=turn,
        near=near,
        far=far,
        spread=spread,
        gain=exposure * np.exp(tint) * (1 + warm, 1.0, 1 - warm),
        gamma=1 + gap * rng.normal(0, 0.12),
        haze=_within(rng, site.haze, gap),
        saturation=1 + gap * rng.normal(-0.12, 0.15),
        noise=_within(rng, site.noise, gap),
        blur=_within(rng, site.blur, gap),
        sharpness=_within(rng, site.sharpness, gap),
        quality=round(_within(rng, site.quality, gap)),
        sky=np.array((1.04, 1.08, 1.16)) * rng.uniform(0.85, 1.15),
        sunshine=np.array((1.0, 0.93, 0.8)) * _within(rng, site.sun, gap),
        azimuth=azimuth,
        shady=shady,
        sunny=sunny,
    )


def light_at(eye: Camera, time: float) -> Light:
    """Return the light in front of a camera at a time of day, in seconds."""
    day = (time - OPENS) / (CLOSES - OPENS)
    strong = 0.75 + 0.25 * sin(pi * day)
    evening = np.array((1 + 0.1 * day, 1.0, 1 - 0.12 * day))
    cloud = 0.6 + 0.4 * sin(7 * day + eye.number)  # drifts slowly through the day
    sunshine = eye.sunshine * strong * evening * cloud
    return _light(time, eye.turn, eye.azimuth, eye.sky * strong, sunshine)


def scene_at(eye: Camera, time: float, light: Light, us: np.ndarray, vs: np.ndarray) -> np.ndarray:
    """Return the background that the camera sees, (h, w, 3), linear light.

    Args:
        eye, time, light: the camera, the seconds of the day, and `light_at` of them.
        us, vs: (w,) and (h,), the rays.
    """
    hour = np.clip(np.interp(time, HOURS, np.arange(len(HOURS))), 0, len(HOURS) - 1.001)
    first, share = int(hour), hour % 1
    sun = (1 - share) * light.sun_power, share * light.sun_power
    return _sample(
        eye.shady, eye.sunny[first : first + 2], light.sky_power, *sun, us, vs, eye.spread
    )


def expose(eye: Camera, picture: np.ndarray, rng: Generator, size: tuple[int, int]) -> Image.Image:
    """Convert light to the picture that the camera outputs, before JPEG compression.

    Args:
        eye: the camera.
        picture: (h, w, 3), linear light, for each pixel of the sensor.
        rng: random generator for the noise.
        size: width and height of the crop.
    """
    light = picture * (eye.gain * rng.normal(1, 0.03))
    light = light / (1 + 0.18 * light)  # bright parts saturate softly
    grey = light.mean(2, keepdims=True)
    light = np.maximum(grey + eye.saturation * (light - grey), 0)
    tone = eye.haze + (1 - eye.haze) * light ** (eye.gamma / 2.2)
    pixels = Image.fromarray((255 * tone).clip(0, 255).astype(np.uint8))
    blurred = pixels.filter(ImageFilter.GaussianBlur(eye.blur * picture.shape[0] / 128))
    grain = rng.standard_normal(picture.shape, np.float32)
    grain += rng.standard_normal(picture.shape[:2], np.float32)[..., None]
    noisy = np.asarray(blurred) + np.float32(eye.noise) * grain
    sensed = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return sensed.resize(size, Image.Resampling.BICUBIC)


def _within(rng: Generator, ends: tuple[float, float], gap: float) -> float:
    """Draw between two ends; for a smaller gap between cameras, nearer to the middle."""
    return (ends[0] + ends[1]) / 2 + gap * rng.uniform(-0.5, 0.5) * (ends[1] - ends[0])


def _pitch(angle: float) -> np.ndarray:
    c, s = cos(angle), sin(angle)
    return np.array(((1, 0, 0), (0, c, s), (0, -s, c)))


def _roll(angle: float) -> np.ndarray:
    c, s = cos(angle), sin(angle)
    return np.array(((c, s, 0), (-s, c, 0), (0, 0, 1)))


def _light(
    time: float, turn: np.ndarray, azimuth: float, sky: np.ndarray, sun: np.ndarray
) -> Light:
    day = (time - OPENS) / (CLOSES - OPENS)
    rise, around = 0.45 + 0.55 * sin(pi * day), azimuth + 1.8 * (day - 0.5)
    toward = np.array((cos(rise) * sin(around), sin(rise), cos(rise) * cos(around)))
    return Light(turn @ (0.0, 1.0, 0.0), turn @ toward, sky, sun)


def _paint(
    scene: Scene, lights: list[Light], spread: float, tall: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the scene under a sky of power 1, and under each sun only: (T, W, 3), (hours, ...)."""
    wide = tall * 4 // 3
    us = np.linspace(-spread, spread, wide)
    vs = np.linspace(spread, -spread, tall) * 3 / 4
    hit, depth, _ = trace(scene, us, vs)
    horizon = np.tile(np.array((0.75, 0.82, 0.92)), (tall, wide, 1))
    overcast = lights[0]._replace(sky_power=np.ones(3), sun_power=np.zeros(3))
    shady = shade(scene, overcast, hit, depth, us, vs, horizon, 1)
    sunny = [shade(scene, light, hit, depth, us, vs, 0 * horizon, 1) for light in lights]
    for light, picture in zip(lights, sunny, strict=True):
        cast_shadows(scene, light.sun, depth, us, vs, picture)
    return shady.astype(np.float32), np.array(sunny, np.float32)


@njit(cache=True, nogil=True)
def _sample(shady, sunny, sky, sun, later_sun, us, vs, spread):
    """Interpolate three paintings, in time and between their pixels."""
    tall, wide = shady.shape[:2]
    out = np.empty((len(vs), len(us), 3))
    for i in range(len(vs)):
        y = min(max((1 - vs[i] / (spread * 3 / 4)) / 2 * (tall - 1), 0.0), tall - 1.001)
        for j in range(len(us)):
            x = min(max((1 + us[j] / spread) / 2 * (wide - 1), 0.0), wide - 1.001)
            r, c = int(y), int(x)
            fy, fx = y - r, x - c
            for k in range(3):
                total = 0.0
                for dr, dc, w in (
                    (0, 0, (1 - fy) * (1 - fx)),
                    (0, 1, (1 - fy) * fx),
                    (1, 0, fy * (1 - fx)),
                    (1, 1, fy * fx),
                ):
                    total += w * (
                        sky[k] * shady[r + dr, c + dc, k]
                        + sun[k] * sunny[0, r + dr, c + dc, k]
                        + later_sun[k] * sunny[1, r + dr, c + dc, k]
                    )
                out[i, j, k] = total
    return out
