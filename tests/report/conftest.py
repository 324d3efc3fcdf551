"""Small runs to report on."""

import shutil
from pathlib import Path

import pytest

from reseen.engine.device import Device
from reseen.engine.settings import varied
from reseen.methods import ClusterContrast
from reseen.records import Dataset
from reseen.report import closer, ranked
from reseen.report.evidence import Evidence
from reseen.training import train
from tests.conftest import TINY

SMALL = dict(encoder=TINY, epochs=3, iterations=2, people=4, views=4)
SMALL |= dict(k1=8, k2=2, eps=0.7, min_samples=2)


@pytest.fixture(scope="session")
def run(town: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rounds on a town whose people are known."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(
        varied(ClusterContrast(), SMALL),
        town,
        folder,
        device=Device(name="cpu"),
        evaluate_every=2,
        quiet=True,
    )
    return folder


@pytest.fixture(scope="session")
def blind_run(town_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds on crops of which nothing is known."""
    root = tmp_path_factory.mktemp("blind")
    (root / "crops").mkdir()
    for number, path in enumerate(sorted((town_folder / "bounding_box_train").iterdir())):
        shutil.copy(path, root / "crops" / f"{number}{path.suffix}")  # names that tell nothing
    method = varied(ClusterContrast(), SMALL | {"epochs": 2, "eps": 0.6})
    train(method, root / "crops", root / "run", device=Device(name="cpu"), quiet=True)
    return root / "run"


@pytest.fixture
def evidence(run: Path, town: Dataset) -> Evidence:
    """What the run on the town left behind."""
    return Evidence(run, town)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets are small in tests: they are drawn and written in the time of one of full size."""
    monkeypatch.setattr(ranked, "WORST", 2)
    monkeypatch.setattr(ranked, "DRAWN", 2)
    monkeypatch.setattr(closer, "SHOWN", 2)
