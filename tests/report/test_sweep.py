import PIL.Image
import pytest

from reseen.errors import SettingsError
from reseen.report import sweep


@pytest.mark.parametrize("values", [["0.1", "0.6"], ["gem", "max"]])
def test_numbers_and_words_give_a_picture(tmp_path, values):
    path = tmp_path / "new" / "curve.png"
    sweep.plot_sweep(path, "own", values, [[(0.2, 0.4), (0.3, 0.5)], [(0.5, 0.7), (0.5, 0.8)]])
    with PIL.Image.open(path) as picture:
        assert picture.format == "PNG" and len(picture.convert("L").getcolors()) > 2


def test_what_cannot_be_drawn_is_said(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=r"a \.png file"):
        sweep.check_plot(tmp_path / "curve.txt")
    monkeypatch.setattr(sweep, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs matplotlib, which is not installed"):
        sweep.check_plot(tmp_path / "curve.png")
