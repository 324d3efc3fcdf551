"""A real process is killed in the middle and started again; nothing may be lost or changed."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

ROUNDS = 5  # enough that it cannot end before a busy machine gets to kill it
SMALL = (
    "--encoder.backbone squeezenet1_1 --encoder.weights none --encoder.height 48 "
    "--encoder.width 24 --encoder.last-stride 2 --people 4 --views 4 --k1 8 --k2 2 --eps 0.7 "
    f"--min-samples 2 --iterations 6 --epochs {ROUNDS} --device.name cpu --device.precision float32"
)


def words(town, out):
    return ["train", "cluster-contrast", str(town), "--out", str(out), *SMALL.split()]


def start(town, out):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "reseen", *words(town, out)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # a shell that starts the tests in the background has them ignore Ctrl-C


def finish(town, out):
    """Give the same command in a new process, which other tests have not touched."""
    process = start(town, out)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def encoder_of(out):
    return torch.load(out / "checkpoints" / "last.pt", weights_only=True)


@pytest.fixture(scope="module")
def whole_run(town_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("never-killed") / "run"
    finish(town_folder, out)
    return out


@pytest.mark.parametrize(
    "kill", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_killed_and_resumed_is_bit_identical(town_folder, whole_run, tmp_path, kill):
    process = start(town_folder, tmp_path / "killed")
    rounds = tmp_path / "killed" / "labels"
    while not (rounds / "0002.npy").exists():  # in the middle of the second round
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(kill)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if kill == signal.SIGKILL else 130), text
    assert "Traceback" not in text
    assert encoder_of(tmp_path / "killed")["round"] == 1

    assert "resuming after round 1" in finish(town_folder, tmp_path / "killed")
    whole, killed = encoder_of(whole_run), encoder_of(tmp_path / "killed")
    assert whole["round"] == killed["round"] == ROUNDS
    assert whole["encoder"].keys() == killed["encoder"].keys()
    assert all(torch.equal(whole["encoder"][k], killed["encoder"][k]) for k in whole["encoder"])
    states = whole["optimizer"]["state"], killed["optimizer"]["state"]
    for key in states[0]:
        for name in states[0][key]:
            assert torch.equal(states[0][key][name], states[1][key][name])
