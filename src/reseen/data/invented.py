"""Invented people, drawn: a small data set to try things on, without anybody's picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.random import Generator, default_rng
from PIL import ImageDraw, ImageFilter

from reseen.errors import DataError

SKINS = ((246, 214, 186), (214, 168, 128), (152, 104, 72), (92, 62, 46))
HAIRS = ((24, 20, 18), (84, 54, 30), (196, 158, 92), (150, 146, 144), (142, 62, 30))
DISTRACTORS, JUNK = 4, 3


def invent(
    out: Path,
    *,
    people: int = 16,
    cameras: int = 3,
    views: int = 4,
    seed: int = 0,
    height: int = 128,
    width: int = 64,
) -> None:
    """Draw invented people and write them the way Market-1501 lies on a disk.

    Written are `bounding_box_train`, `query` and `bounding_box_test`, with names such as
    `0001_c1s1_000000_00.jpg`: person, camera, frame. Of each person in the test half, the first
    view of each camera is a query and the others are in the gallery, which also holds
    distractors (person 0000) and junk (person -1). The same arguments give the same bytes.

    Args:
        out: the folder to fill, made if it is missing.
        people: people to learn from; as many others are there to judge by.
        cameras: cameras, each of which sees everybody.
        views: pictures of each person by each camera.
        seed: chooses the people, the cameras and every picture, 0 or more.
        height, width: of the pictures, in pixels; 48 by 24 still shows who is who.

    Raises:
        DataError: `out` is a file, or a folder that is not empty.
    """
    _demand_empty(out)
    train, query, gallery = (out / p for p in ("bounding_box_train", "query", "bounding_box_test"))
    for folder in (train, query, gallery):
        folder.mkdir(parents=True)
    shots = [
        (train if person <= people else gallery if view else query, person, person, camera, view)
        for person in range(1, 2 * people + 1)
        for camera in range(1, cameras + 1)
        for view in range(views)
    ]
    for i in range(DISTRACTORS + JUNK):  # strangers, numbered on from the last person
        person = 0 if i < DISTRACTORS else -1
        shots.append((gallery, person, 2 * people + 1 + i, i % cameras + 1, 0))
    for frame, (folder, person, who, camera, view) in enumerate(shots):
        name = f"{person:04d}" if person >= 0 else "-1"
        picture = _picture(seed, who, camera, view, (width, height), wild=5 if person < 0 else 1)
        picture.save(folder / f"{name}_c{camera}s1_{frame:06d}_00.jpg", quality=90)


def _demand_empty(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file, not a folder. Give a new or an empty folder.")
    found = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if found:
        raise DataError(
            f"{out} is not empty: it holds {', '.join(found[:3])}{' ...' if found[3:] else ''}. "
            "Give a new or an empty folder, or remove what lies there."
        )


def _picture(
    seed: int, who: int, camera: int, view: int, size: tuple[int, int], wild: float
) -> PIL.Image.Image:
    """Draw at twice the size, halve, and colour and spoil it as the camera does."""
    rng = default_rng([seed, who, camera, view])
    place = default_rng([seed, 0, camera])  # nobody is person 0: shared with no one's looks
    canvas = _background(place, rng, 2 * size[0], 2 * size[1])
    _figure(canvas, default_rng([seed, who]), rng, wild)
    picture = canvas.resize(size, PIL.Image.Resampling.BOX)
    cast, light = place.uniform(0.65, 1.25, 3), place.uniform(-25, 25)
    blurs = camera % 2 == 0  # the others are noisy
    if blurs:
        picture = picture.filter(ImageFilter.GaussianBlur(0.008 * size[1]))
    pixels = np.asarray(picture) * cast * rng.uniform(0.92, 1.08) + light
    pixels += rng.normal(0, 2 if blurs else 9, pixels.shape)
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _background(place: Generator, rng: Generator, width: int, height: int) -> PIL.Image.Image:
    """Paint the camera's gradient and its boxes, shifted a little for each picture."""
    top, bottom = place.uniform(70, 210, (2, 3))
    rows = np.linspace(top, bottom, height)[:, None].repeat(width, 1)
    canvas = PIL.Image.fromarray(rows.astype(np.uint8))
    draw, shift = ImageDraw.Draw(canvas), rng.uniform(-0.3, 0.3)
    for _ in range(4):
        x, y, w, h = place.uniform((-0.2, 0, 0.15, 0.1), (1, 0.8, 0.5, 0.4))
        box = (x + shift) * width, y * height, (x + shift + w) * width, (y + h) * height
        draw.rectangle(box, tuple(place.integers(50, 220, 3).tolist()))
    return canvas


def _figure(canvas: PIL.Image.Image, looks: Generator, rng: Generator, wild: float) -> None:
    """Draw a person: `looks` stays, `rng` moves; x is 0 in their middle, y 0 at the crown."""
    torso, accent, legs, shoes, bag = map(tuple, looks.integers(15, 240, (5, 3)).tolist())
    skin, hair = SKINS[looks.integers(len(SKINS))], HAIRS[looks.integers(len(HAIRS))]
    broad, mane, bag_side = (
        looks.uniform(0.08, 0.12),
        looks.uniform(0.08, 0.24),
        looks.choice(3) - 1,
    )
    sleeve, trousers = looks.choice([0.4, 1.0]), looks.choice([0.5, 1.0, 1.0])
    tall = canvas.height * looks.uniform(0.78, 0.92) * rng.uniform(0.95, 1.05)
    left = canvas.width * (0.5 + rng.normal(0, 0.04 * wild))
    above = (canvas.height - tall) / 2 + canvas.height * rng.normal(0, 0.015 * wild)
    stride, swing = rng.uniform(-0.1, 0.1), rng.uniform(-0.08, 0.08)
    draw = ImageDraw.Draw(canvas)

    def at(*xy: float) -> list[float]:
        return [above + v * tall if i % 2 else left + v * tall for i, v in enumerate(xy)]

    def limb(
        x: float, y: float, to_x: float, to_y: float, thick: float, share: float, cloth
    ) -> None:
        for part, colour in ((1, skin), (share, cloth)):
            end = x + part * (to_x - x), y + part * (to_y - y)
            draw.line(at(x, y, *end), colour, max(1, round(thick * tall)))

    draw.ellipse(at(-0.06, 0, 0.06, mane), hair)
    for side in (-1, 1):
        foot = side * (0.04 + stride)
        limb(side * broad / 2, 0.5, foot, 0.97, broad, trousers, legs)
        draw.ellipse(at(foot - 0.05, 0.94, foot + 0.05, 1), shoes)
        limb(side * broad, 0.19, side * (broad + 0.03) + swing, 0.53, 0.05, sleeve, torso)
    draw.rectangle(at(-broad, 0.16, broad, 0.53), torso)
    for x, y, to_x, to_y in _pattern(int(looks.choice(4))):
        draw.rectangle(at(x * broad, y, to_x * broad, to_y), accent)
    draw.ellipse(at(-0.045, 0.035, 0.045, 0.145), skin)
    if bag_side:
        hip = bag_side * broad
        draw.line(at(-hip, 0.17, hip, 0.42), bag, max(1, round(0.02 * tall)))
        draw.rectangle(at(hip - 0.05, 0.4, hip + 0.05, 0.55), bag)


def _pattern(kind: int) -> Sequence[tuple[float, float, float, float]]:
    """Give the boxes of plain, stripes, checks or logo; x from -1 to 1 across the torso."""
    rows = np.arange(0.17, 0.52, 0.09).tolist()
    stripes = [(-1.0, y, 1.0, y + 0.04) for y in rows]
    shifted = ((-1, 0), (-0.5, 0.04), (0, 0), (0.5, 0.04))
    checks = [(x, y + down, x + 0.5, y + down + 0.04) for y in rows for x, down in shifted]
    return ([], stripes, checks, [(-0.5, 0.24, 0.5, 0.34)])[kind]
