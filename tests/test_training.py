"""Where a training run may lie, and what stays of one that does not begin."""

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
