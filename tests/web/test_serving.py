import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from reseen.errors import SettingsError
from reseen.web.guard import SHORTEST
from reseen.web.serving import address, draw_token, is_loopback, listen, run


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.evil.example", False),
    ],
)
def test_only_this_machine_reaches_its_loopback(host, inside):
    assert is_loopback(host) == inside


def test_a_port_is_opened_once():
    with listen("127.0.0.1", 0) as place:
        host, port = place.getsockname()
        assert address(place, None) == f"http://127.0.0.1:{port}/"
        assert address(place, Path("x.pem")) == f"https://127.0.0.1:{port}/"
        with pytest.raises(SettingsError, match=f"--host {host} --port {port} cannot be used"):
            listen(host, port)


def test_places_that_are_none_are_told_in_a_sentence():
    with pytest.raises(SettingsError, match=r"--host nowhere\.invalid --port 0 cannot be used"):
        listen("nowhere.invalid", 0)
    with pytest.raises(SettingsError, match="--port is 99999"):
        listen("127.0.0.1", 99999)


def test_a_certificate_that_is_none_is_told_in_a_sentence(tmp_path):
    (tmp_path / "x.pem").write_text("nothing")
    with listen("127.0.0.1", 0) as place:
        for file in (tmp_path / "x.pem", tmp_path / "y.pem"):
            with pytest.raises(SettingsError, match=f"--certificate {file} cannot be used"):
                run(None, place, file)


def test_tokens_are_long_and_each_another():
    assert len(draw_token()) >= SHORTEST and draw_token() != draw_token()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_until_it_is_stopped(made, number, code):
    words = ["serve", made, "--port", "0", "--host", "0.0.0.0", "--no-audit"]
    words += ["--device.name", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "reseen", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "RESEEN_TOKEN"},
        # tests that run in the background ignore it, and so would their children
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        token = process.stderr.readline().removeprefix("token: ").strip()
        line = process.stdout.readline()
        port = re.search(r":(\d+)/", line)[1]
        request = Request(
            f"http://127.0.0.1:{port}/v1/health", headers={"Authorization": f"Bearer {token}"}
        )
        with urlopen(request) as answer:
            assert json.load(answer)["crops"] == 72
            assert "server" not in {name.lower() for name in answer.headers}
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code and err == "reseen: stopped.\n"
    assert not (made / "audit.jsonl").exists()
