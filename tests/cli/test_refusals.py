import errno
import os
import signal

import numpy as np
import pytest
import torch

from reseen import cli
from reseen.cli.refusals import refusal
from reseen.cli.use import _features
from reseen.engine import processes
from reseen.errors import DataError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/last.pt"),
            "device: /a/last.pt. Free",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "denied: /a. Change its"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/f/r"), "a folder should be"),
        (OSError(errno.EMFILE, "Too many open files", "/a"), "ulimit -n"),
        (OSError("odd"), "odd"),
        (MemoryError(), "not enough memory"),
        (np._core._exceptions._ArrayMemoryError((9,) * 9, np.dtype("f8")), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "not enough memory",
        ),
        (RuntimeError("size mismatch"), None),
        (KeyError("a"), None),
    ],
)
def test_what_the_system_refuses_is_a_sentence(error, says, monkeypatch, capsys):
    said = refusal(error)
    assert (says is None and said is None) or (says in said and "\n" not in said)

    def fail(_words, **_options):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit if said else type(error)) as stop:
        cli.main([])
    if said:
        assert stop.value.code == 1 and capsys.readouterr().err == f"reseen: {said}\n"


def test_a_tensor_that_is_too_large_is_a_lack_of_memory():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**55)
    assert "not enough memory" in refusal(error.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_stop_with_the_same_sentence(number, monkeypatch, capsys):
    def work(_words, **_options):
        os.kill(os.getpid(), number)
        raise AssertionError("went on")

    monkeypatch.setattr(cli, "app", work)
    before = signal.getsignal(signal.SIGTERM)
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    signal.signal(signal.SIGINT, ignored)
    assert stop.value.code == 128 + number and signal.getsignal(signal.SIGTERM) == before
    assert capsys.readouterr().err.startswith("reseen: stopped. Run the same command again")


def test_the_round_that_is_kept_is_said(monkeypatch, capsys):
    def stop(_words, **_options):
        raise KeyboardInterrupt("stopped after round 3. Run the same command again to resume.")

    monkeypatch.setattr(cli, "app", stop)
    with pytest.raises(SystemExit, match="130"):
        cli.main([])
    said = "reseen: stopped after round 3. Run the same command again to resume.\n"
    assert capsys.readouterr().err == said


SPOILT = {
    "cut": lambda p: p.write_bytes(b"PK\x03\x04" + bytes(50)),
    "empty": lambda p: p.write_bytes(b""),
    "array": lambda p: np.save(p.open("wb"), np.ones((3, 2))),
    "objects": lambda p: np.savez(p, features=np.array([{}], dtype=object)),
    "other names": lambda p: np.savez(p, a=np.ones((3, 2))),
    "whole numbers": lambda p: np.savez(p, features=np.ones((3, 2), np.int64)),
    "a row": lambda p: np.savez(p, features=np.ones(3)),
    "not a number": lambda p: np.savez(p, features=np.full((3, 2), np.nan)),
    "gone": lambda p: None,
    "folder": lambda p: p.mkdir(),
}


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
@pytest.mark.parametrize("kind", SPOILT)
def test_a_file_without_features_is_one_sentence(tmp_path, kind):
    path = tmp_path / "f.npz"
    SPOILT[kind](path)
    with pytest.raises(DataError, match=r"f\.npz is .* that `reseen extract` wrote") as error:
        _features(path)
    assert "pickle" not in str(error.value) and "Error" not in str(error.value)


def test_a_seed_that_is_not_whole_is_not_rounded(tmp_path, capsys):
    words = ["train", "cluster-contrast", str(tmp_path), "--out", str(tmp_path), "--seed", "1.5"]
    with pytest.raises(SystemExit, match="1"):
        cli.main(words)
    assert capsys.readouterr().err == "reseen: seed is 1.5. Use a whole number of 0 or more.\n"


def test_a_process_that_lost_another_says_so(monkeypatch):
    gone = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")
    assert refusal(gone) is None  # one alone has lost nobody
    monkeypatch.setattr(processes, "started", lambda: True)
    assert "another process of this run has died" in refusal(gone)
    assert refusal(RuntimeError("something else")) is None


@pytest.mark.parametrize("rank", [0, 1])
def test_several_processes_of_what_one_does_are_refused_by_one_voice(monkeypatch, capsys, rank):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "runs/site"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert ("2 processes of `reseen report`" in said) if rank == 0 else not said
