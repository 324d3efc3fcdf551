"""torchrun starts real processes: on one machine, on two, killed in the middle, and again."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from reseen.cli import main
from reseen.engine import shards
from reseen.engine.folder import last_round, read_facts
from tests.flow.test_kill import ROUNDS, SMALL

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torchrun")]  # one whole run


def start(town, out, *options):
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "reseen", "train"]
    return subprocess.Popen(
        [*command, "cluster-contrast", str(town), "--out", str(out), *SMALL.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finish(process):
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    return text


def children(process):
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def encoder_of(out):
    return torch.load(out / "checkpoints" / "last.pt", weights_only=True)["encoder"]


def bit_equal(out, whole):
    one, other = encoder_of(out), encoder_of(whole)
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(town_folder, tmp_path_factory):
    """A run of two processes that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    text = finish(start(town_folder, out, "--nproc-per-node", "2"))
    assert text.count(f"round 1/{ROUNDS}: ") == 1  # one process speaks
    assert read_facts(out)["processes"] == 2
    return out


def test_two_machines_learn_what_two_processes_of_one_do(town_folder, whole, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = "--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1"
    outs = tmp_path / "first", tmp_path / "second"  # a machine may not see the folder of the other
    both = [
        start(town_folder, out, *where, "--master-port", port, "--node-rank", str(number))
        for number, out in enumerate(outs)
    ]
    texts = [finish(process) for process in both]
    assert "round 1/" in texts[0] and "round 1/" not in texts[1]
    assert bit_equal(outs[0], whole) and not outs[1].exists()


@pytest.mark.parametrize("kill", ["a process", "all"])
def test_killed_and_resumed_is_bit_identical(town_folder, whole, tmp_path, kill):
    out = tmp_path / "killed"
    process = start(town_folder, out, "--nproc-per-node", "2")
    while not (out / "labels" / "0002.npy").exists():  # in the middle of the second round
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    if kill == "all":
        process.send_signal(signal.SIGINT)
    else:
        os.kill(children(process)[-1], signal.SIGKILL)
    text, _ = process.communicate(timeout=120)
    said = [line for line in text.splitlines() if line.startswith("reseen: ")]
    assert process.returncode and len(said) == 1
    assert said[0].endswith("Run the same command again to resume.")
    assert last_round(out) >= 1
    assert "resuming after round" in finish(start(town_folder, out, "--nproc-per-node", "2"))
    assert bit_equal(out, whole)


SLOWLY = """
import time
from reseen.cli import main
from reseen.engine import shards

def extract(*of, made=shards.extract):
    time.sleep(1)
    return made(*of)

shards.SHARD, shards.extract = 16, extract
main()
"""


def test_an_extraction_is_killed_and_resumed_by_one_process(
    town_folder, whole, tmp_path, monkeypatch
):
    script = tmp_path / "slowly.py"
    script.write_text(SLOWLY)
    words = ["extract", str(whole), str(town_folder), "--out"]
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    out, alone = tmp_path / "features.npz", tmp_path / "alone.npz"
    process = subprocess.Popen([*two, str(script), *words, str(out)])
    parts = shards.parts_of(out)
    while len(list(parts.glob("*.npz"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    for one in (process.pid, *children(process)):
        os.kill(one, signal.SIGKILL)
    process.wait()
    kept = list(parts.glob("*.npz"))
    assert not out.exists() and kept

    monkeypatch.setattr(shards, "SHARD", 16)
    made = []
    monkeypatch.setattr(shards, "extract", lambda *of, f=shards.extract: made.append(1) or f(*of))
    for path in (out, alone):
        with pytest.raises(SystemExit) as end:
            main([*words, str(path)])
        assert not end.value.code
    count = len(np.load(alone)["paths"])
    assert len(made) == 2 * -(-count // 16) - len(kept)
    for name in ("features", "paths"):
        np.testing.assert_array_equal(np.load(out)[name], np.load(alone)[name])
