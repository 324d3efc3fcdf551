from types import SimpleNamespace

import pytest

from reseen.checks import above_zero, at_least, below_one, one_of, settled, shares
from reseen.errors import SettingsError


@pytest.mark.parametrize(
    ("check", "right", "wrong", "says"),
    [
        (
            lambda s: at_least(s, 1, "a"),
            (1, 7, "auto"),
            (0, float("inf")),
            "Use 1 or",
        ),
        (lambda s: above_zero(s, "a"), (1e-9, "auto"), (0, -1, float("inf")), "a number above 0"),
        (lambda s: below_one(s, "a"), (0, 0.99, "auto"), (1, -0.1, float("nan")), "0 to below 1"),
        (lambda s: shares(s, "a"), (0, 1, "auto"), (1.1, -0.1), "Use 0 to 1"),
        (lambda s: one_of(s, ("x", "y"), "a"), ("x", "y"), ("z", "auto"), "Use one of: x, y"),
        (lambda s: at_least(s, 1, "a"), (), ("many",), "a is 'many'. Use a number, or auto"),
    ],
)
def test_what_is_right_passes_and_what_is_wrong_is_named(check, right, wrong, says):
    for value in right:
        check(SimpleNamespace(a=value))
    for value in wrong:
        with pytest.raises(SettingsError, match=r"^a is ") as error:
            check(SimpleNamespace(a=value))
        assert says in str(error.value)


def test_settled_gives_numbers_only():
    assert settled(SimpleNamespace(a=3), "a") == 3
    with pytest.raises(SettingsError, match="a is auto"):
        settled(SimpleNamespace(a="auto"), "a")
