"""Invented people for every test that needs pictures, and small settings that learn in seconds."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; one thread each is
# quickest, and so it is in the processes that they start

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reseen.data.invented import Difficulty, invent
from reseen.data.reading import read
from reseen.engine import device
from reseen.engine.settings import flat, varied
from reseen.export import export
from reseen.kernels.centring import CameraStatistics
from reseen.methods import METHODS
from reseen.nets.encoder import Encoder, EncoderSettings, build
from reseen.records import Dataset

torch.set_num_threads(1)
device._has_bfloat16 = lambda _: False  # no run tries for a second which precision is faster

TINY = EncoderSettings(
    backbone="squeezenet1_1", weights="none", height=48, width=24, last_stride=2, pooling="mean"
)
"""An encoder that a test can train."""


SMALL: dict[str, dict] = {
    "adtc": dict(rounds=3, epochs=2, iterations=2, clusters=12, p=6, width=16),
    "ssl": dict(first=1, rounds=2, epochs=1, batch=8, k=2, parts=2),
    "buc": dict(first=1, merge_rate=0.25, epochs=1, batch=8, stop=0.0),
    "daal": dict(pretrain=0, epochs=1, rounds=3, people=2, rate=0.01, head_rate=0.01),
    "conslearn": dict(projected=32, mean_momentum=0.9),
    "mmt": dict(mean_momentum=0.9),
    "house": dict(
        eps=0.5,
        prototypes=2,
        refined_weight=1.0,
        agreement_weight=1.0,
        instance_weight=1.0,
        instances=3,
    ),
}
"""What a test needs of a method beside the settings that all share."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--all`: run the slow tests too, as CI does."""
    parser.addoption("--all", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked slow, unless it is asked for."""
    if not config.getoption("--all"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


@pytest.fixture(scope="session")
def town_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Market-1501-like folder of a few invented people."""
    folder = tmp_path_factory.mktemp("town")
    invent(folder, people=8, cameras=3, views=3, seed=1, height=48, width=24)
    return folder


@pytest.fixture(scope="session")
def easy_town(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Thirty-two people, as alike cameras with exact boxes see them: a test can learn them."""
    folder = tmp_path_factory.mktemp("easy")
    easy = Difficulty(camera_gap=0, look_alikes=0, occlusion=0, box_error=0)
    sizes = dict(people=32, cameras=3, views=4, height=32, width=16)
    invent(folder, **sizes, seed=1, difficulty=easy)
    return read(folder)


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of other invented people, of another town."""
    folder = tmp_path_factory.mktemp("other")
    sizes = dict(people=6, cameras=2, views=2, height=48, width=24)
    invent(folder, **sizes, seed=2, town="town-b")
    return folder


@pytest.fixture(scope="session")
def other_town(other_folder: Path) -> Dataset:
    """The records of `other_folder`: a labelled source for methods that need one."""
    return read(other_folder)


def sources(name: str, labelled: Dataset) -> dict[str, Dataset]:
    """Give what `train` needs for a method beside its data."""
    return {"source": labelled} if getattr(METHODS[name], "needs_source", False) else {}


@pytest.fixture
def given(name, other_town):
    """Give what `train` needs for a method beside its data."""
    return sources(name, other_town)


@pytest.fixture(scope="session")
def town(town_folder: Path) -> Dataset:
    """The records of `town_folder`."""
    return read(town_folder)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Tracklets of four frames of a few invented people."""
    folder = tmp_path_factory.mktemp("video")
    sizes = dict(people=8, cameras=3, views=1, height=48, width=24)
    invent(folder, **sizes, seed=1, tracklets=4)
    return read(folder / "tracklets.csv", format="tracklets")


def settings_of(name: str) -> SimpleNamespace:
    """Give the defaults of a method by their flat names, and its parts."""
    method = METHODS[name]()
    return SimpleNamespace(**(flat(method) | vars(method)))


def small(name: str = "cluster-contrast", **changes):
    """Make a method with settings small enough for a test."""
    shared = dict(encoder=TINY, epochs=3, iterations=4, people=4, views=4)
    shared |= dict(k1=8, k2=2, eps=0.7, min_samples=2)
    known = flat(METHODS[name]())
    shared = {key: value for key, value in shared.items() if key in known}
    return varied(METHODS[name](), shared | SMALL.get(name, {}) | changes)


@pytest.fixture
def quick():
    """Give `small`."""
    return small


@pytest.fixture(scope="session")
def given_encoder() -> Encoder:
    """A small encoder in float32 that knows two cameras, to be given away; leave it as it is."""
    torch.manual_seed(0)
    options = {"layers": "(1, 1, 1, 1)", "channels": "(8, 8, 16, 16)", "zero_init_last": "False"}
    settings = EncoderSettings(
        **dict(backbone="resnet18", weights="none", height=64, width=32, options=options),
        **dict(std=(0.5,) * 3, ghost_group=8, whitening=0.25, stripes=2, mirrored=True),
    )
    encoder = build(settings)
    for _ in range(20):  # moves the running statistics
        encoder(torch.rand(16, 3, 64, 32) * torch.rand(16, 3, 1, 1) * 255)
    seen = torch.rand(64, 3, 64, 32) * torch.rand(64, 3, 1, 1) * 255
    with torch.no_grad():
        encoder.whiten(encoder.eval()(seen).numpy())
    moments = 0.05 * np.random.default_rng(0).random((3, 2, encoder.dimensions), np.float32)
    encoder.camera_statistics = CameraStatistics(("1", "2"), moments)
    return encoder.eval()


@pytest.fixture(scope="session")
def given_file(given_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of `given_encoder`, as BoxMOT takes it; leave it as it is."""
    path = tmp_path_factory.mktemp("given") / "small.onnx"
    threshold = {"similarity": 0.6, "source": "invented"}
    export(given_encoder, path, "boxmot", run="runs/small", data="Noise.", threshold=threshold)
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures, where there is one."""
    if "RESEEN_DATA" not in os.environ:
        pytest.skip("RESEEN_DATA names no folder of real pictures")
    return Path(os.environ["RESEEN_DATA"])
