import shutil
from threading import Event

import pytest

from reseen.cli import serve
from reseen.gallery.gallery import Gallery
from reseen.web import serving
from tests.cli.test_cli import reseen as reseen
from tests.gallery.conftest import made as made
from tests.gallery.conftest import small_encoder as small_encoder
from tests.test_extras import hide


@pytest.fixture
def started(monkeypatch):
    """What would be served, and where."""
    found = {}

    def run(app, place, certificate, key):
        found.update(guard=app, site=app.app.state.site, host=place.getsockname()[0])

    monkeypatch.setattr(serving, "run", run)
    monkeypatch.delenv("RESEEN_TOKEN", raising=False)
    return found


def test_the_loopback_needs_no_token_and_knows_its_name(reseen, made, started):
    code, out, err = reseen("serve", made, "--port", 0)
    assert (code, err) == (0, "") and "http://127.0.0.1:" in out and "Ctrl-C stops" in out
    assert started["host"] == "127.0.0.1" and started["site"].door.token is None
    assert "localhost" in started["guard"].hosts and not started["site"].blur
    assert started["site"].audit.path == made / "audit.jsonl"


def test_another_host_demands_a_token(reseen, made, started, monkeypatch):
    code, out, err = reseen("serve", made, "--port", 0, "--host", "0.0.0.0", "--blur-faces")
    token = started["site"].door.token
    assert code == 0 and err == f"token: {token}\n" and token not in out and len(token) == 32
    assert started["guard"].hosts is None and started["site"].blur
    monkeypatch.setenv("RESEEN_TOKEN", "from the environment")
    code, out, err = reseen("serve", made, "--port", 0, "--host", "0.0.0.0", "--no-audit")
    assert (code, err) == (0, "") and started["site"].door.token == "from the environment"
    assert started["site"].audit.path is None
    reseen("serve", made, "--port", 0, "--token", "on the command line")
    assert started["site"].door.token == "on the command line"


def test_the_encoder_is_loaded_after_the_start(reseen, made, tmp_path, monkeypatch):
    loaded = Event()
    monkeypatch.setattr(serve, "WARM", 0)
    monkeypatch.setattr(Gallery, "embedder", lambda _: loaded.set())
    monkeypatch.setattr(serving, "run", lambda *_: None if loaded.wait(60) else pytest.fail())
    assert reseen("serve", made, "--port", 0)[0] == 0
    lost = shutil.copytree(made, tmp_path / "lost")
    (lost / "encoder" / "config.json").unlink()
    code, out, err = reseen("serve", lost, "--port", 0)
    assert (code, out) == (1, "") and "is not the one that computed the features" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere"),
        (["MADE", "--token", "short"], "The token has 5 characters"),
        (["MADE", "--key", "k.pem"], "--key is given without --certificate"),
        (["MADE", "--port", "99999"], "--port is 99999"),
    ],
)
def test_mistakes_are_told_in_one_line(reseen, made, words, says):
    words = [made if word == "MADE" else word for word in words]
    code, out, err = reseen("serve", *words)
    assert code == 1 and out == "" and says in err and err.count("\n") == 1


def test_what_is_not_installed_is_named_with_its_extra(reseen, made, monkeypatch):
    hide(monkeypatch, "uvicorn")
    code, _, err = reseen("serve", made)
    assert code == 1 and "uvicorn" in err and "reseen[web]" in err
