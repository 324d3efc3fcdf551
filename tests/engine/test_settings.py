from dataclasses import dataclass, field

import pytest

from reseen.checks import AUTO
from reseen.cluster.density import DensitySettings
from reseen.engine.settings import automatic, flat, nested, own_defaults, varied
from reseen.errors import SettingsError
from reseen.methods import METHODS


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


@dataclass(frozen=True, kw_only=True)
class Shared(Whole):
    density: DensitySettings = field(default_factory=lambda: DensitySettings(k1=20))


def test_shared_parts_do_not_show_in_names():
    changed = varied(Shared(), {"eps": 0.5, "k2": 3, "part.size": 2})
    assert changed == Shared(
        density=DensitySettings(k1=20, k2=3, eps=0.5), part=Part(size=2, colour="blue")
    )
    told = flat(changed)
    assert (told["k1"], told["eps"], told["number"]) == (20, 0.5, 3) and "density" not in told
    assert told["part"] == {"size": 2, "colour": "blue"}
    assert own_defaults(Shared()) == {"part.colour": "blue", "k1": 20}
    assert automatic(varied(Shared(), {"k1": AUTO, "part.colour": AUTO})) == ["k1"]


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(
        SettingsError, match=r"Shared has no setting 'epz'\. It has: part, number, k1"
    ):
        varied(Shared(), {"epz": 1})


def test_changes_are_made_at_once():
    """Each alone would be refused: eps 0 asks for a share."""
    assert varied(Shared(), {"eps": 0.0, "share": 0.01}).density.share == 0.01


@pytest.mark.parametrize("name", METHODS)
def test_no_two_settings_of_a_method_have_one_name(name):
    method = METHODS[name]()
    changes = {key: value for key, value in flat(method).items() if not isinstance(value, dict)}
    assert varied(method, changes) == method
