import pytest

from reseen.engine.variants import Variant, pick, published
from reseen.errors import SettingsError


def test_pick_and_published():
    variant = Variant(published={"here": (1.0, 23.45)})
    assert pick({"a": variant}, "a") is variant
    assert published(variant, "here") == "1.0 / 23.4" and published(variant, "there") == ""
    assert published(Variant(published={"here": (31.7, None)}), "here") == "31.7 / -"
    over = published(Variant(published={"here": (3.0, 24.0)}), "here", variant)
    assert over == "3.0 / 24.0 (+2.0 / +0.6)" and published(variant, "here", variant)[-1] != ")"
    with pytest.raises(SettingsError, match=r"variant is 'b'\. This method has: a"):
        pick({"a": variant}, "b")
