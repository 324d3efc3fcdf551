"""The people of a town: build, skin, hair, clothes, and what they carry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.random import Generator, default_rng

from reseen.data.invented.render import (
    BLOCK,
    CHECKS,
    LOGO,
    MOTTLED,
    OPEN,
    PINSTRIPES,
    PLAIN,
    STRIPES,
    Cloth,
)

Colour = tuple[float, float, float]
Keys = tuple[int, ...]
"""From what random draws are derived: the seed and the town, then what is drawn (1 appearance, 2
likeness, 3 camera, 4 passage, 5 box and noise, 6 crowd) and for whom."""

COLOURS = {
    "black": (26, 26, 29),
    "charcoal": (50, 51, 55),
    "grey": (104, 104, 106),
    "silver": (158, 158, 158),
    "white": (222, 220, 214),
    "navy": (32, 38, 62),
    "blue": (58, 82, 130),
    "sky": (134, 160, 188),
    "denim": (56, 70, 98),
    "washed": (98, 114, 140),
    "beige": (182, 164, 134),
    "khaki": (120, 110, 84),
    "olive": (78, 80, 56),
    "brown": (84, 61, 46),
    "burgundy": (90, 33, 42),
    "red": (158, 46, 48),
    "pink": (202, 142, 150),
    "purple": (88, 70, 112),
    "green": (54, 94, 68),
    "teal": (46, 98, 106),
    "yellow": (200, 172, 78),
    "orange": (190, 104, 54),
    "cream": (212, 202, 176),
}
SKINS = ((232, 190, 164), (216, 170, 138), (186, 136, 102), (132, 92, 68), (84, 58, 46))
HAIRS = ((22, 19, 18), (38, 28, 23), (74, 50, 34), (122, 90, 56), (140, 136, 132), (104, 56, 34))

SHOES_WORN = "black black black charcoal brown brown white white silver navy beige red"
BAGS_WORN = "black black charcoal navy brown red olive blue"
HATS_WORN = "black charcoal grey beige navy red white"
LOGOS_WORN = "white white black red yellow sky"

SKIN, HAIR, TOP, SLEEVE, BOTTOM, SHOES, BAG, HAT = range(8)
"""Positions of a person's materials."""


@dataclass(frozen=True, kw_only=True)
class Wardrobe:
    """Clothes in a town: names of colours (repeated ones are more likely) and shares."""

    tops: str
    bottoms: str
    coats: float
    shorts: float
    skirts: float
    hats: float
    bags: float
    short_sleeves: float
    patterned: float


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person; lengths in metres, and for sleeves and trousers as shares of the limb."""

    stature: float
    breadth: float
    belly: float
    hips: float
    shoulders: float
    stride: float
    lean: float
    hair: str
    legs: str
    bottom_length: float
    sleeve: float
    coat: float
    hood: bool
    bag: str
    bag_side: int
    hat: str
    cloths: tuple[Cloth, ...]


@lru_cache(4096)
def make_person(keys: Keys, number: int, wardrobe: Wardrobe, look_alikes: float) -> Person:
    """Invent a person; the same keys and number give the same person.

    People are in pairs 2n-1 and 2n: with the probability `look_alikes` the second wears the same
    clothes as the first, but differs in build, in the logo or in what is carried.

    Args:
        keys, number: the person; all 0 or more.
        wardrobe: the clothes in the town.
        look_alikes: share of pairs with the same clothes, 0 to 1.
    """
    own = _draw(default_rng([*keys, 1, number]), wardrobe)
    rng = default_rng([*keys, 2, number])
    if number % 2 or rng.random() >= look_alikes:
        return own
    model = _draw(default_rng([*keys, 1, number - 1]), wardrobe)
    cloths = list(model.cloths)
    cloths[SKIN], cloths[HAIR] = own.cloths[SKIN], own.cloths[HAIR]
    if rng.random() < 0.5 and cloths[TOP].pattern in (PLAIN, LOGO):
        logo = _logo(rng) if cloths[TOP].pattern == PLAIN else {"pattern": PLAIN}
        cloths[TOP] = cloths[TOP]._replace(**logo)
    twin = replace(model, cloths=tuple(cloths), hair=own.hair)
    build = ("stature", "breadth", "belly", "hips", "shoulders", "stride", "lean")
    twin = replace(twin, **{name: getattr(own, name) for name in build})
    return replace(twin, bag=own.bag, bag_side=own.bag_side) if rng.random() < 0.5 else twin


def linear(colour: Sequence[float] | np.ndarray) -> Colour:
    """Convert picture values 0..255 to linear light 0..1."""
    r, g, b = ((c / 255) ** 2.2 for c in colour)
    return r, g, b


def _draw(rng: Generator, wardrobe: Wardrobe) -> Person:
    slender = rng.random()  # 0 broad-shouldered, 1 broad-hipped
    coat = rng.random() < wardrobe.coats
    skirt = slender > 0.5 and rng.random() < 2 * wardrobe.skirts
    shorts = not skirt and rng.random() < wardrobe.shorts
    short_sleeves = not coat and rng.random() < wardrobe.short_sleeves
    hats = "cap beanie brim" if rng.random() < wardrobe.hats else "none"
    bags = "backpack backpack shoulder hand messenger"
    bag = _pick(rng, bags if rng.random() < wardrobe.bags else "none")
    return Person(
        stature=float(np.clip(rng.normal(1.76 - 0.13 * slender, 0.065), 1.48, 2.0)),
        breadth=float(np.clip(rng.normal(1.0, 0.11), 0.8, 1.35)),
        belly=float(rng.exponential(0.12)),
        hips=0.92 + 0.16 * slender + rng.normal(0, 0.03),
        shoulders=1.06 - 0.14 * slender + rng.normal(0, 0.03),
        stride=rng.uniform(0.75, 1.15),
        lean=rng.normal(0.03, 0.03),
        hair=_pick(rng, "long tail bob bun" if slender > 0.5 else "short short short short bald"),
        legs="skirt" if skirt else "trousers",
        bottom_length=rng.uniform(0.5, 0.95) if skirt else rng.uniform(0.4, 0.6) if shorts else 2.0,
        sleeve=rng.uniform(0.45, 0.75) if short_sleeves else 2.0,
        coat=rng.uniform(0.3, 0.8) if coat and rng.random() < 0.7 else 0.0,
        hood=rng.random() < (0.1 if short_sleeves else 0.3),
        bag=bag,
        bag_side=1 if rng.random() < 0.5 else -1,
        hat=_pick(rng, hats),
        cloths=_cloths(rng, wardrobe, coat, short_sleeves),
    )


def _cloths(
    rng: Generator, wardrobe: Wardrobe, coat: bool, short_sleeves: bool
) -> tuple[Cloth, ...]:
    top, second = _colour(rng, wardrobe.tops), _colour(rng, " ".join(COLOURS))
    bottom = _colour(rng, wardrobe.bottoms)
    patterns = _pattern(rng, coat) if rng.random() < wardrobe.patterned else {}
    if not patterns and not short_sleeves and rng.random() < 0.45:
        patterns = {"pattern": OPEN, "period": rng.uniform(0.02, 0.06)}
    skin = linear(np.multiply(SKINS[rng.integers(len(SKINS))], rng.uniform(0.92, 1.06)))
    hair = linear(
        np.multiply(HAIRS[rng.choice((0, 0, 0, 1, 1, 2, 2, 3, 4, 5))], rng.uniform(0.8, 1.2))
    )
    shoes = _colour(rng, SHOES_WORN)
    bag = _colour(rng, BAGS_WORN)
    hat = _colour(rng, HATS_WORN)
    body = Cloth(top, second, folds=0.3)._replace(**patterns)
    sleeve = body._replace(pattern=PLAIN) if body.pattern in (LOGO, OPEN, BLOCK) else body
    return (
        Cloth(skin, skin, folds=0.1),
        Cloth(hair, hair, folds=0.35),
        body,
        sleeve,
        Cloth(bottom, bottom, folds=0.25),
        Cloth(shoes, shoes, folds=0.2),
        Cloth(bag, (0.6 * bag[0], 0.6 * bag[1], 0.6 * bag[2]), STRIPES, 0.22, 0.15, 0.25),
        Cloth(hat, hat, folds=0.2),
    )


def _pattern(rng: Generator, coat: bool) -> dict:
    kind = int(
        rng.choice(
            (CHECKS, PINSTRIPES, BLOCK) if coat else (STRIPES, CHECKS, BLOCK, LOGO, LOGO, MOTTLED)
        )
    )
    if kind == LOGO:
        return _logo(rng)
    if kind == BLOCK:
        return {"pattern": kind, "share": rng.uniform(1.05, 1.3)}
    period = rng.uniform(0.05, 0.14)
    return {"pattern": kind, "period": period, "share": rng.uniform(0.25, 0.6)}


def _logo(rng: Generator) -> dict:
    second = _colour(rng, LOGOS_WORN)
    size, height = rng.uniform(0.05, 0.11), rng.uniform(1.18, 1.3)
    return {"pattern": LOGO, "second": second, "period": size, "share": height}


def _colour(rng: Generator, names: str) -> Colour:
    """Return a named colour, slightly faded and shifted like real clothes."""
    colour = np.array(COLOURS[_pick(rng, names)])
    faded = colour + rng.uniform(0.05, 0.3) * (colour.mean() - colour)
    return linear((faded * rng.uniform(0.85, 1.12) * rng.uniform(0.96, 1.04, 3)).clip(8, 235))


def _pick(rng: Generator, names: str) -> str:
    words = names.split()
    return words[int(rng.integers(len(words)))]
