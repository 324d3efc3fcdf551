from dataclasses import dataclass, field

import pytest

from reseen.engine.variants import Variant, nested, own_defaults, pick, published, varied
from reseen.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Part:
    size: int = 1
    colour: str = "red"


@dataclass(frozen=True, kw_only=True)
class Whole:
    part: Part = field(default_factory=lambda: Part(colour="blue"))
    number: int = 3


def test_changes_reach_inside_and_leave_the_rest():
    whole = Whole()
    changed = varied(whole, {"number": 4, "part.size": 7})
    assert changed == Whole(number=4, part=Part(size=7, colour="blue")) and whole == Whole()


def test_nested():
    assert nested({"a": 1, "b.c": 2, "b.d.e": 3}) == {"a": 1, "b": {"c": 2, "d": {"e": 3}}}


def test_own_defaults_are_what_the_part_would_forget():
    assert own_defaults(Whole()) == {"part.colour": "blue"}
    assert varied(Whole(part=Part()), own_defaults(Whole())) == Whole()


def test_pick_and_published():
    variant = Variant(published={"here": (1.0, 23.45)})
    assert pick({"a": variant}, "a") is variant
    assert published(variant, "here") == "1.0 / 23.4" and published(variant, "there") == ""
    with pytest.raises(SettingsError, match=r"variant is 'b'\. This method has: a"):
        pick({"a": variant}, "b")
