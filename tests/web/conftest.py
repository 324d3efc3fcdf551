"""A service on a gallery of a few invented people, asked without a network."""

import json
from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient

from reseen.web.app import create_app
from tests.gallery.conftest import gallery as gallery
from tests.gallery.conftest import made as made
from tests.gallery.conftest import small_encoder as small_encoder


@pytest.fixture
def serve(gallery):
    """Give a client of a service with these settings."""

    def make(base_url="http://127.0.0.1:8470", **settings) -> TestClient:
        return TestClient(
            create_app(gallery, **settings), base_url=base_url, raise_server_exceptions=False
        )

    return make


@pytest.fixture
def client(serve):
    """Give a client of a service as it is by default."""
    return serve()


@pytest.fixture
def ids(gallery):
    """The ids of all crops, ordered by file name, so that those of one person are together."""
    crops = sorted(gallery.crops(limit=None), key=lambda crop: crop.source)
    return [crop.id for crop in crops]


@pytest.fixture
def verdicts(gallery):
    """Set cut-offs."""

    def set_to(same, maybe):
        told = dict(same=same, maybe=maybe, source="Measured on 7 pairs.", floor=None, numbers={})
        gallery.store.set_value("cutoffs", json.dumps(told))

    return set_to


@pytest.fixture
def log(gallery):
    """Read the lines of the audit log."""

    def lines():
        path = gallery.folder / "audit.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    return lines


def photo(seed: int = 0, size=(24, 48), kind: str = "PNG") -> bytes:
    """Make a file that no other seed makes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    file = BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def sent(*contents: bytes, field: str = "pictures"):
    """Give files as a form sends them."""
    return [(field, (f"{place}.png", content)) for place, content in enumerate(contents)]
