"""Two processes against one: `tests.engine.together` is what both do."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from reseen.engine.folder import read_facts, read_labels, read_metrics
from reseen.methods import METHODS
from tests.conftest import sources
from tests.engine.together import HALF, UNEVEN, learn, method, stop_after


def start(warnings, **job):
    command = [sys.executable, "-m", "tests.engine.together", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": warnings}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


pytestmark = pytest.mark.xdist_group("processes")  # one pair of processes for all


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def two(place, town, town_folder, other_folder, pytestconfig):
    """What each of two processes saw, and how they ended."""
    with stop_after(1), suppress(KeyboardInterrupt):
        learn(method(encoder=dict(ghost_group=8)), town, place / "begun")
    changed = shutil.copytree(town_folder, place / "changed")
    picture = next(path for path in sorted(changed.rglob("*.*")) if "train" in str(path.parent))
    Pictures.new("RGB", (24, 48)).save(picture)
    job = dict(store=place / "store", town=town_folder, other=other_folder, changed=changed)
    job |= dict(begun=place / "begun", out=place)
    job = {k: str(v) for k, v in job.items()}
    warnings = ",".join(pytestconfig.getini("filterwarnings"))  # none with the lowest versions
    both = [start(warnings, **job, rank=rank) for rank in (0, 1)]
    ended = [process.communicate(timeout=600)[1] for process in both]
    found = [place / f"rank{rank}.pt" for rank in (0, 1)]
    assert all(path.exists() for path in found), "\n".join(ended)
    seen = [torch.load(path, weights_only=False) for path in found]
    return seen, ended, [process.returncode for process in both]


def apart(one, other):
    """The largest distance of two sets of tensors, as a share of the length of each."""
    assert list(one) == list(other)
    gaps = ((one[name] - other[name]).float().norm() / one[name].float().norm() for name in one)
    return max((float(gap) for gap in gaps if gap.isfinite()), default=0.0)


def bit_equal(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", METHODS)
def test_both_processes_hold_the_same_bits(two, name):
    first, second = (seen[name] for seen in two[0])
    assert bit_equal(first.weights, second.weights)
    assert bit_equal(first.memories, second.memories)


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_learn_as_one_with_groups_of_half_a_batch(
    two, place, town, other_town, tmp_path, name
):
    """Sums in another order are all that differs: float32, a few steps, so 1e-4 is wide."""
    learner = method(name, encoder=dict(ghost_group=HALF.get(name, 8)))
    one = learn(learner, town, tmp_path / "one", **sources(name, other_town))
    both = two[0][0][name]
    assert apart(one.weights, both.weights) < 1e-4
    assert apart(one.memories, both.memories) < 1e-4
    counts = [key for key, value in one.weights.items() if not value.is_floating_point()]
    assert all(torch.equal(one.weights[key], both.weights[key]) for key in counts)
    rows, others = read_metrics(tmp_path / "one"), read_metrics(place / name)
    assert [row["loss"] for row in rows[1:]] == pytest.approx([row["loss"] for row in others[1:]])
    for number in range(1, len(rows)):
        labels = [read_labels(folder, number) for folder in (tmp_path / "one", place / name)]
        assert (labels[0] is None and labels[1] is None) or np.array_equal(*(x.ids for x in labels))


@pytest.mark.parametrize(
    ("job", "changes"),
    [
        ("synced", dict(encoder=dict(ghost_group=0))),
        ("uneven", dict(encoder=dict(ghost_group=7), **UNEVEN)),
    ],
)
def test_other_shares_and_statistics(two, town, tmp_path, job, changes):
    """Statistics of all processes are those of the whole batch; shares need not be equal."""
    both = [seen[job] for seen in two[0]]
    assert bit_equal(both[0].weights, both[1].weights)
    one = learn(method(**changes), town, tmp_path)
    assert apart(one.weights, both[0].weights) < 1e-4
    assert apart(two[0][0]["cluster-contrast"].weights, both[0].weights) > 1e-3


def test_a_process_reads_its_rows_alone_and_learns_the_same(two):
    for seen in two[0]:
        assert bit_equal(seen["from disk"].weights, seen["cluster-contrast"].weights)


def test_statistics_taken_anew_are_those_of_one_process(two, town, tmp_path):
    one = learn(method(encoder=dict(ghost_group=8)), town, tmp_path, adapt_norm=True)
    assert apart(one.weights, two[0][0]["adapted"].weights) < 1e-4


def test_a_run_goes_on_with_another_number_of_processes(two, place, town, tmp_path):
    whole = learn(method(encoder=dict(ghost_group=8)), town, tmp_path / "whole")
    assert read_facts(place / "stopped")["processes"] == 2
    copied = shutil.copytree(place / "stopped", tmp_path / "copied")
    assert [row["round"] for row in read_metrics(copied)] == [0, 1]
    less = learn(method(encoder=dict(ghost_group=8)), town, copied)
    more = two[0][0]["resumed"]
    for run, sentence in (
        (less, "this run was started with 2 processes and is resumed with 1 process"),
        (more, "this run was started with 1 process and is resumed with 2 processes"),
    ):
        assert any(line.startswith(sentence) for line in run.said)
        assert "resuming after round 1" in run.said
        assert apart(whole.weights, run.weights) < 1e-4


def test_what_all_get_and_what_all_are_refused(two):
    assert [seen["first"] for seen in two[0]] == [0, 0]
    assert [seen["all"] for seen in two[0]] == [[0, 1], [0, 1]]
    errors, others = (seen["errors"] for seen in two[0])
    assert errors == others
    missing, seeds, pictures, alone = errors
    assert missing.startswith("DataError") and "nowhere" in missing
    assert "Process 1 was started with other settings" in seeds and "seed: 0 there, 1 now" in seeds
    assert "Process 1 reads other pictures than process 0" in pictures
    assert "different weights" in alone and "parts.step" in alone


def test_an_error_of_one_process_is_said_once_and_ends_both(two):
    _, (first, second), codes = two
    assert codes == [1, 1]
    assert second.splitlines() == ["reseen: the disk of one is full"]
    assert "72 images" in first and "reseen:" not in first and "Traceback" not in first
