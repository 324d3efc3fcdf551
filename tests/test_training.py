"""Where a training run may lie, and what stays of one that does not begin."""

from types import SimpleNamespace

import pytest

from reseen.errors import DataError, SettingsError
from reseen.training import train


class Fails:
    """A method that fails before the first round."""

    needs_source = False

    def fit(self, images, run, *beside):
        (run.folder / "images.txt").write_text("a.jpg")
        raise DataError("nothing can be read")


def test_a_run_does_not_lie_among_its_pictures(town_folder, town, tmp_path):
    crops = town_folder / "query"
    for folder in (crops / "run", crops):
        with pytest.raises(SettingsError, match="query, a folder of pictures"):
            train(Fails(), crops, folder, quiet=True)
    assert not (crops / "run").exists() and not (crops / "run.json").exists()
    method = Fails()
    method.needs_source = True
    with pytest.raises(SettingsError, match="query, a folder of pictures"):
        train(method, town, crops / "run", source=crops, quiet=True)


def test_a_run_that_fails_before_it_learns_leaves_no_folder(town_folder, tmp_path):
    with pytest.raises(DataError, match="nothing can be read"):
        train(Fails(), town_folder / "query", tmp_path / "runs" / "a", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [SimpleNamespace(), 3, Fails, SimpleNamespace(fit="now")])
def test_what_has_no_fit_is_refused_before_a_folder_is_made(method, town, tmp_path):
    with pytest.raises(SettingsError, match=r"cannot be trained.*fit\(images, run\)"):
        train(method, town, tmp_path / "run", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_returns_no_encoder_is_refused(town, tmp_path):
    method = SimpleNamespace(fit=lambda images, run: 3)
    with pytest.raises(SettingsError, match=r"returned 3\. Return the encoder"):
        train(method, town, tmp_path / "run", quiet=True)
