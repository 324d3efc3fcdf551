import json
import os
import subprocess
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml

from reseen.export.contract import CONSUMERS, Contract
from reseen.methods import METHODS
from reseen.nets.encoder import save
from tests.scripts import script

TRACKERS = Path(__file__).parents[1] / "examples" / "trackers"


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
        said = script("examples/trackers/frigate.py").ask(
            f"http://127.0.0.1:{server.server_port}", picture, "secret"
        )
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
    network = script("examples/trackers/roboflow.py").backbone(str(tmp_path / "run.pt"))
    pixels = torch.randint(0, 256, (2, 3, 64, 32))
    with torch.inference_mode():
        found = network(torch.from_numpy(Contract().prepare(pixels.numpy())))
        torch.testing.assert_close(found, given_encoder(pixels), atol=1e-5, rtol=0)


CLUSTER = TRACKERS.parent / "cluster"
STAND_INS = {
    "scontrol": 'test "$1 $2 $3" = "show hostnames node[1-2]" && printf "node1\\nnode2\\n"',
    "srun": 'for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
    "torchrun": 'printf "%s|" "$@" "$OMP_NUM_THREADS"; echo',
}


def test_the_slurm_job_starts_one_torchrun_a_node(tmp_path):
    for name, does in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "12345"}
    job |= {"SLURM_GPUS_ON_NODE": "4", "SLURM_CPUS_PER_TASK": "8"}
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    words = ["house", "my crops/", "--out", "runs/a b"]
    started = subprocess.run(
        ["sh", str(CLUSTER / "train.slurm"), *words],
        env={**os.environ, **job, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    where = ["--master-addr", "node1", "--master-port", "22345", "-m", "reseen", "train"]
    for rank, line in enumerate(started):
        node = ["--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "4"]
        assert line.split("|")[:-1] == [*node, *where, *words, "2"]
    assert len(started) == 2


def test_the_pods_of_the_kubernetes_job_find_each_other_and_their_data():
    claim, service, job = yaml.safe_load_all((CLUSTER / "train.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (command,) = container["args"]
    words = command.split()
    told = {name: words[words.index(name) + 1] for name in words if name.startswith("--")}
    name = job["metadata"]["name"]
    assert (
        service["spec"]["selector"] == {"job-name": name} and service["spec"]["clusterIP"] == "None"
    )
    assert pod["subdomain"] == service["metadata"]["name"]
    assert told["--master-addr"] == f"{name}-0.{pod['subdomain']}"
    assert int(told["--nnodes"]) == spec["completions"] == spec["parallelism"]
    assert spec["completionMode"] == "Indexed" and "$JOB_COMPLETION_INDEX" in told["--node-rank"]
    assert int(told["--nproc-per-node"]) == container["resources"]["limits"]["nvidia.com/gpu"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mount = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "data")
    at = words.index("train")
    assert words[at - 2 : at] == ["-m", "reseen"] and words[at + 1] in METHODS
    assert words[at + 2].startswith(mount) and told["--out"].startswith(mount)
