import shutil
from dataclasses import replace

import pytest

from reseen.records import Dataset, Image
from tests.engine.runs import grown


@pytest.fixture(scope="module")
def finished(town, tmp_path_factory):
    """A finished run, its data, and its encoder."""
    small = replace(town, train=town.train[:9])
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, small, grown(small, folder, quiet=True)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


@pytest.fixture
def pictures(town, tmp_path):
    """A few pictures of two cameras that a test may change, as a data set."""
    paths = []
    for i, image in enumerate(town.train[:6]):
        paths.append(tmp_path / "data" / f"cam{i % 2}" / f"{i}{image.path.suffix}")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, paths[-1])
    images = tuple(Image(path) for path in paths)
    return Dataset("pictures", tmp_path / "data", images)
