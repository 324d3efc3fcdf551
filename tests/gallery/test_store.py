"""What both stores must do, one and the same test for each."""

import time as clock
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from reseen.errors import SettingsError, StoreError
from reseen.gallery.folder import make_store, open_store
from reseen.gallery.records import Crop, Decision
from reseen.gallery.server import Server, without_password
from reseen.gallery.store import Filter


def rows(n: int, d: int = 8, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def crops(n: int, start: int = 0) -> list[Crop]:
    return [
        Crop(f"{i:032x}", ("a", "b", None)[i % 3], float(i) if i % 4 else None, added=100.0 + i)
        for i in range(start, start + n)
    ]


@pytest.fixture
def store(store_address, tmp_path):
    made, facts = make_store(tmp_path, store_address, 8)
    made.facts, made.folder = facts, tmp_path
    with made.changing():
        made.add(crops(12), rows(12), [bytes([i]) * 10 for i in range(12)])
    yield made
    made.close()


def again(store):
    return open_store(store.folder, store.facts)


def test_crops_come_back_as_they_went_in(store):
    full = replace(
        crops(1, 50)[0],
        **dict(tracklet="t", source="/film é.mp4", frame=7, box=(1, 2, 3, 4)),
        **dict(person="Änna", by="hand", ignored=True),
    )
    with store.changing():
        assert store.add([full, crops(1)[0]], rows(2), [b"one", b"two"]) == [full.id]
    assert store.crops([full.id, "none"]) == {full.id: full}
    assert store.picture(full.id) == b"one" and store.picture(crops(1)[0].id) == bytes(10)
    assert store.picture("none") is None
    assert store.count() == 13 and store.known([full.id, "none"]) == {full.id}
    timed = store.select()
    assert [c.time for c in timed] == [1, 2, 3, 5, 6, 7, 9, 10, 11, 50, None, None, None]
    assert store.select(Filter(person="Änna")) == [full]
    assert len(store.select(Filter(camera="a", since=3, until=9))) == 3
    assert store.select(limit=2, offset=1) == timed[1:3]
    assert store.cameras() == {None: 5, "a": 4, "b": 4}
    assert store.times() == (1.0, 50.0)


def test_vectors_come_back_in_the_order_asked(store):
    every, ids = store.vectors()
    assert ids == [c.id for c in crops(12)] and np.array_equal(every, rows(12))
    some, found = store.vectors([ids[3], "none", ids[1]])
    assert found == [ids[3], ids[1]] and np.array_equal(some, rows(12)[[3, 1]])
    assert every.dtype == some.dtype == np.float32


def test_the_nearest_are_those_of_a_plain_product(store):
    queries = rows(3, seed=1)
    scores = queries @ rows(12).T
    for row, found in zip(scores, store.nearest(queries, 5), strict=True):
        assert [c.id for c, _ in found] == [crops(12)[i].id for i in np.argsort(-row)[:5]]
        assert np.allclose([s for _, s in found], np.sort(row)[::-1][:5], atol=1e-5)
    assert len(store.nearest(queries[:1], 99)[0]) == 12


def test_what_is_filtered_or_left_out_is_not_found(store):
    queries = rows(2, seed=1)
    for where in (
        Filter(camera="a"),
        Filter(since=3, until=9),
        Filter("b", 1, 11),
        Filter(camera="nowhere"),
        Filter(person=""),
        Filter(person="Anna"),
        Filter(ignored=False),
    ):
        expected = {c.id for c in store.select(where)}
        for found in store.nearest(queries, 12, where):
            assert {c.id for c, _ in found} == expected
    one, two = store.nearest(queries, 12, without=[(crops(1)[0].id, None), (None, "a")])
    assert {c.id for c, _ in one} == {c.id for c in crops(12)[1:]}
    assert {c.camera for c, _ in two} == {"b", None} and len(two) == 8


def test_the_nearest_follow_what_others_change(store):
    query = rows(1, seed=1)
    store.nearest(query, 1)
    other = again(store)
    with other.changing():
        other.add(crops(3, 20), rows(3, seed=2), [b"x"] * 3)
        other.edit({crops(1)[0].id: ("Anna", "hand", True)})
    found = store.nearest(query, 99, Filter(ignored=False))[0]
    assert len(found) == 14 and crops(1)[0].id not in {c.id for c, _ in found}
    with other.changing():
        other.delete([c.id for c in crops(3, 1)])
    found = store.nearest(query, 99)[0]
    assert len(found) == 12
    left = [c.id for c in [*crops(1), *crops(8, 4), *crops(3, 20)]]
    assert {c.id for c, _ in found} == set(left)
    with other.changing():
        other.add(crops(2, 30), rows(2, seed=3), [b"y"] * 2)
    assert len(store.nearest(rows(2, seed=3)[:1], 99)[0]) == 14
    assert store.nearest(rows(2, seed=3)[:1], 1)[0][0][0].id == crops(1, 30)[0].id
    other.close()


def test_a_change_is_whole_or_not_at_all(store):
    with pytest.raises(ZeroDivisionError), store.changing():
        store.add(crops(1, 40), rows(1), [b"x"])
        with store.changing():
            store.set_value("x", "y")
        raise ZeroDivisionError
    assert store.count() == 12 and store.value("x") is None
    with store.changing():
        store.set_value("x", "y")
        store.set_value("x", "z")
    assert store.value("x") == "z"
    with store.changing():
        store.set_value("x", None)
    other = again(store)
    assert other.value("x") is None
    other.close()


def test_people_are_counted(store):
    ids = [c.id for c in crops(12)]
    with store.changing():
        store.edit({ids[0]: ("Anna", "hand", True), ids[1]: ("Anna", "hand", False)})
        store.edit({ids[3]: ("Bert", "proposed", True)})
    anna, bert = store.people()
    assert (anna.name, anna.crops, anna.cameras, anna.first) == ("Anna", 2, ("a", "b"), 1.0)
    assert (anna.ignored, bert.ignored, bert.first, bert.last) == (False, True, 3.0, 3.0)


def test_denials_and_decisions_are_kept(store):
    ids = [c.id for c in crops(12)]
    one = Decision("deny", "1", 1.0, ("Anna",), {}, ((ids[0], "Anna"),))
    two = Decision("name", "2", 2.0, ("Bert",), {ids[0]: ("Cora", "hand", False)}, (), ())
    with store.changing():
        store.deny([(ids[0], "Anna"), (ids[0], "Anna"), (ids[1], "Bert")])
        store.decided(one)
        store.decided(two)
    assert store.denials() == {(ids[0], "Anna"), (ids[1], "Bert")}
    assert store.denials([ids[1]]) == {(ids[1], "Bert")}
    assert store.last_decision() == two
    with store.changing():
        store.take_decision()
        store.allow([(ids[1], "Bert")])
    assert store.last_decision() == one and store.denials() == {(ids[0], "Anna")}


def test_what_is_deleted_leaves_everything(store):
    ids = [c.id for c in crops(12)]
    both = Decision("name", "", 1.0, ("Bert",), dict.fromkeys(ids[:2], (None, None, False)))
    with store.changing():
        store.deny([(ids[0], "Bert"), (ids[2], "Anna")])
        store.decided(Decision("name", "", 1.0, ("Anna",), {ids[5]: (None, None, False)}))
        store.decided(both)
        store.decided(Decision("deny", "", 1.0, ("Bert",), {}, ((ids[0], "Bert"),)))
        assert store.delete([ids[0], "none"], ["Anna"]) == 1
    store.compact()
    assert store.denials() == set() and store.picture(ids[0]) is None
    assert store.vectors()[1] == ids[1:]
    assert store.last_decision() == replace(both, before={ids[1]: (None, None, False)})
    with store.changing():
        store.take_decision()
    assert store.last_decision() is None
    assert store.check() == []


def test_crops_grow_old(store):
    assert store.older(5) == [c.id for c in crops(12) if c.time is not None and c.time < 5]
    with store.changing():
        store.edit({crops(2)[1].id: ("Anna", "hand", False)})
    assert crops(2)[1].id not in store.older(5, unnamed=True)
    assert len(store.older(1000.0)) == 12


def test_vectors_of_another_model_take_their_place_at_once(store):
    ids = [c.id for c in crops(12)]
    with store.changing():
        store.set_value("model", "old")
    assert store.missing("third", 5) == ids[:5]
    with store.changing():
        store.add_vectors("third", ids[:1], rows(1, 3))
    assert store.missing("new", 5) == ids[:5]
    with store.changing():
        store.add_vectors("new", ids[:9], rows(9, 4))
        store.delete([ids[0]])
    assert store.missing("new", 5) == ids[9:] and store.vectors()[0].shape == (11, 8)
    store.nearest(rows(1), 1)
    with store.changing():
        store.add_vectors("new", [*ids[9:], "gone"], rows(4, 4, seed=1))
        store.use_vectors("new")
    assert store.value("model") == "new" and store.vectors()[0].shape == (11, 4)
    found = store.nearest(rows(9, 4)[3:4], 1)[0]
    assert found[0][0].id == ids[3] and np.isclose(found[0][1], 1, atol=1e-6)


def test_writers_wait_for_each_other(store):
    """Two threads with stores of their own add at once; neither fails, and nothing is lost."""
    from concurrent.futures import ThreadPoolExecutor

    def write(start: int) -> None:
        mine = again(store)
        for i in range(start, start + 10):
            with mine.changing():
                mine.add(crops(1, i), rows(1, seed=i), [b"x"])
                clock.sleep(0.002)
        mine.close()

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, (100, 200, 300)))
    assert store.count() == 42 and len(store.nearest(rows(1), 99)[0]) == 42


def test_passwords_are_never_told(tmp_path):
    url = "postgresql://me:se%40cret@nowhere.invalid:5432/db?sslmode=require"
    assert without_password(url) == "postgresql://me@nowhere.invalid:5432/db?sslmode=require"
    with pytest.raises(StoreError, match="cannot be used") as raised:
        make_store(tmp_path, "postgresql://me:secret@127.0.0.1:1/db", 8)
    assert "secret" not in str(raised.value) and raised.value.__cause__ is None
    assert without_password("postgresql://h/db?password=secret&host=/tmp/x") == (
        "postgresql://h/db?host=/tmp/x"
    )
    with pytest.raises(SettingsError, match=r"Use postgresql://"):
        make_store(tmp_path, "mysql://me:secret@127.0.0.1:1/db", 8)


@pytest.mark.xdist_group("postgresql")
class TestServer:
    def test_an_index_finds_the_same_and_is_made_when_it_is_worth_it(self, server, monkeypatch):
        monkeypatch.setattr("reseen.gallery.server.EXACT", 50)
        store = Server(server, dimensions=8)
        with store.changing():
            store.add(crops(200), rows(200), [b"x"] * 200)
        store.settle()
        assert store._indexed()
        queries, every = rows(20, seed=1), rows(200)
        for where in (Filter(), Filter(camera="a"), Filter(since=10, until=190)):
            mask = [i for i, c in enumerate(crops(200)) if c in store.select(where)]
            found = store.nearest(queries, 5, where)
            for row, some in zip(queries @ every[mask].T, found, strict=True):
                best = [crops(200)[mask[i]].id for i in np.argsort(-row)[:5]]
                assert [c.id for c, _ in some] == best
        for name, value in (
            ("hnsw.max_scan_tuples", 1),  # as where hardly any crop fits
            ("hnsw.ef_search", 5),
            ("enable_seqscan", "off"),
            ("enable_sort", "off"),
        ):
            store._rows(f"SET {name} = {value}")
        assert len(store.nearest(queries[:1], 60, Filter(camera="a"))[0]) == 60
        seen, ask = [], store._connection.execute
        connection = SimpleNamespace(
            closed=False,
            execute=lambda *given: (
                seen.extend(ask(f"EXPLAIN {given[0]}", *given[1:])) or ask(*given)
            ),
            close=store.close,
        )
        monkeypatch.setattr(store, "_connected", lambda: connection)
        store.nearest(queries[:1], 5)
        assert "vectors_near" in str(seen)
        monkeypatch.undo()
        store.close()

    def test_an_index_is_built_where_processes_share_no_memory(self, server, monkeypatch):
        monkeypatch.setattr("reseen.gallery.server.EXACT", 5)
        store, refused = Server(server, dimensions=2048), []
        with store.changing():
            store.add(crops(20), rows(20, 2048), [b"x"] * 20)
        run = store._rows

        def few(words, values=()):
            if "CREATE INDEX" in words and not refused:
                refused.append(run("SHOW maintenance_work_mem"))
                with pytest.raises(StoreError):
                    run("SELECT 1 / 0")  # the transaction is lost, but for what was saved
                raise StoreError("could not resize shared memory segment")
            return run(words, values)

        monkeypatch.setattr(store, "_rows", few)
        store.settle()
        assert store._indexed() and refused == [[("64MB",)]]
        near = store.nearest(rows(20, 2048)[4:5], 2)[0]
        assert near[0][0].id == crops(20)[4].id and near[0][1] == pytest.approx(1, abs=1e-3)
        store.close()

    @pytest.mark.parametrize("size", [2048, 4096])  # the second does not fit in a page
    def test_long_vectors_are_kept_in_half_precision(self, server, size):
        store = Server(server, dimensions=size)
        with store.changing():
            store.add(crops(3), rows(3, size), [b"x"] * 3)
        assert np.allclose(store.vectors()[0], rows(3, size), atol=1e-3)
        assert store.nearest(rows(3, size)[1:2], 1)[0][0][0].id == crops(3)[1].id
        store.close()

    def test_a_gallery_that_is_gone_and_a_lost_connection_are_said(self, server):
        with pytest.raises(StoreError, match="holds no such gallery"):
            Server(server, "reseen_000000000000")
        store = Server(server, dimensions=8)
        with pytest.raises(StoreError), store.changing():
            store.set_value("x", "y")
            store._connection.close()
            store.set_value("x", "z")
        assert store.value("x") is None  # by a new connection
        store.close()
