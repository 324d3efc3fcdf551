"""What only the embedded store must do: several processes at one file, and a kill at any moment."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from reseen.errors import StoreError
from reseen.gallery.embedded import Embedded, best
from tests.gallery.test_store import crops, rows

WRITER = """
import sys
from pathlib import Path
from reseen.gallery.embedded import Embedded
from tests.gallery.test_store import crops, rows

store, start, count = Embedded(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
for i in range(start, start + count, 5):
    with store.changing():
        store.add(crops(5, i), rows(5, seed=i), [bytes([n]) * 20_000 for n in range(5)])
    print(i, flush=True)  # acknowledged
"""


def writer(folder, start, count):
    words = [sys.executable, "-c", WRITER, str(folder), str(start), str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path):
    store = Embedded(tmp_path, new=True)
    yield store
    store.close()


def test_two_processes_add_at_once_while_a_third_searches(store, tmp_path):
    both = [writer(tmp_path, 0, 200), writer(tmp_path, 1000, 200)]
    seen = [0]
    while any(process.poll() is None for process in both):
        found = store.nearest(rows(1), 1000)[0]
        assert len(found) >= seen[-1] and len(found) % 5 == 0  # whole batches only
        seen.append(len(found))
    for process in both:
        assert process.wait() == 0
        process.stdout.close()
    found = store.nearest(rows(1), 1000)[0]
    assert len(found) == store.count() == 400 and store.check() == []
    scores = rows(5, seed=1000) @ rows(1)[0]
    by_id = {crop.id: score for crop, score in found}
    assert np.allclose([by_id[crop.id] for crop in crops(5, 1000)], scores, atol=1e-5)


def test_what_was_acknowledged_survives_a_kill(store, tmp_path):
    process = writer(tmp_path, 0, 100_000)
    done = [int(process.stdout.readline()) for _ in range(10)]
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    done += [int(line) for line in process.stdout]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    again = Embedded(tmp_path)
    kept = again.known(crop.id for crop in crops(done[-1] + 5))
    assert len(kept) == done[-1] + 5
    assert again.count() % 5 == 0 and again.check() == []  # the last one is whole or not there
    with again.changing():
        again.add(crops(5, 200_000), rows(5), [b"x"] * 5)
    again.close()


def test_a_file_that_misses_vectors_is_refused_by_a_search(store):
    with store.changing():
        store.add(crops(5), rows(5), [b"x"] * 5)
        store._rows("DELETE FROM vectors WHERE seq = 2")
    with pytest.raises(StoreError, match="5 crops have 4 features"):
        store.nearest(rows(1), 1)


def test_a_deleted_file_is_not_made_anew(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        Embedded(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_something_else_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "gallery.sqlite")) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(StoreError, match="holds no gallery"):
        Embedded(tmp_path)


def test_the_best_are_those_of_a_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, 100).astype(np.float32)
    scores[::7] = -np.inf
    order = np.argsort(-scores, kind="stable")
    for top in (1, 3, 85, 99, 200):
        found = best(scores, top)
        expected = [i for i in order if scores[i] > -np.inf][:top]
        assert np.array_equal(scores[found], scores[expected]) and len(set(found)) == len(found)
