import importlib.util
import json
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml

from reseen.export.contract import CONSUMERS, Contract
from reseen.nets.encoder import save

TRACKERS = Path(__file__).parents[1] / "examples" / "trackers"


def script(name):
    """Load an example as a module."""
    spec = importlib.util.spec_from_file_location(name, TRACKERS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Service(BaseHTTPRequestHandler):
    """Answers as the gallery's service does, and keeps what it was asked."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        self.server.asked = (
            self.path,
            self.headers,
            message_from_bytes(head + self.rfile.read(length)),
        )
        crop = {"id": "ab", "camera": "gate", "person": "Ada"}
        match = {"crop": crop, "similarity": 0.91234, "verdict": self.server.verdict, "rank": 1}
        told = {"results": [{"query": "snapshot.jpg", "matches": [match]}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.parametrize(("verdict", "person"), [("same", "Ada"), ("unknown", None)])
def test_a_snapshot_of_frigate_is_asked_of_the_service(verdict, person):
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        server.verdict = verdict
        Thread(target=server.handle_request, daemon=True).start()
        picture = b"\xff\xd8 a picture"
        said = script("frigate").ask(f"http://127.0.0.1:{server.server_port}", picture, "secret")
    path, headers, form = server.asked
    assert path == "/v1/search" and headers["Authorization"] == "Bearer secret"
    parts = {p.get_param("name", header="content-disposition"): p for p in form.get_payload()}
    assert parts["pictures"].get_payload(decode=True) == picture
    assert parts["pictures"].get_filename() == "snapshot.jpg"
    assert parts["top"].get_payload() == "1"
    assert said["verdict"] == verdict and said["person"] == person and said["similarity"] == 0.912


def test_settings_for_trackers_are_those_of_the_contracts():
    told = yaml.safe_load((TRACKERS / "ultralytics.yaml").read_text())
    assert told["with_reid"] and told["model"].endswith(".onnx")
    assert 2 * told["appearance_thresh"] - 1 == pytest.approx(0.6)  # as a cosine
    block = yaml.safe_load((TRACKERS / "deepstream.yml").read_text())["ReID"]
    assert (block["inputOrder"], block["colorFormat"], block["keepAspc"]) == (0, 0, 0)
    assert block["offsets"] == [0, 0, 0] and block["netScaleFactor"] == 1
    assert CONSUMERS["deepstream"] == Contract(scale="pixel")


def test_roboflow_gets_a_network(given_encoder, tmp_path):
    torch.save(save(given_encoder), tmp_path / "run.pt")
    network = script("roboflow").backbone(str(tmp_path / "run.pt"))
    pixels = torch.randint(0, 256, (2, 3, 64, 32))
    with torch.inference_mode():
        found = network(torch.from_numpy(Contract().prepare(pixels.numpy())))
        torch.testing.assert_close(found, given_encoder(pixels), atol=1e-5, rtol=0)
