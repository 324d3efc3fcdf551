import pytest

from reseen.engine.variants import Variant, pick, published
from reseen.errors import SettingsError


def test_pick_and_published():
    variant = Variant(published={"here": (1.0, 23.45)})
    assert pick({"a": variant}, "a") is variant
    assert published(variant, "here") == "1.0 / 23.4" and published(variant, "there") == ""
    with pytest.raises(SettingsError, match=r"variant is 'b'\. This method has: a"):
        pick({"a": variant}, "b")
