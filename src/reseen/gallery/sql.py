"""The SQL statements that both stores share."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import RLock
from typing import Any

import numpy as np

from reseen.errors import StoreError, counted
from reseen.gallery.records import Crop, Decision, Person
from reseen.gallery.store import EVERYTHING, Filter, State

COLUMNS = "id, camera, time, tracklet, source, frame, box, person, given_by, ignored, added"
"""Columns of a crop, in the order of its record."""

PIECE = 500
"""Number of ids in one statement."""

SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE crops (
    seq {number}, id TEXT NOT NULL UNIQUE, camera TEXT, time DOUBLE PRECISION, tracklet TEXT,
    source TEXT NOT NULL, frame BIGINT, box TEXT, person TEXT, given_by TEXT,
    ignored BOOLEAN NOT NULL, added DOUBLE PRECISION NOT NULL, changed BIGINT NOT NULL
);
CREATE INDEX crops_person ON crops (person);
CREATE INDEX crops_changed ON crops (changed);
CREATE INDEX crops_time ON crops (time);
CREATE TABLE pictures (seq BIGINT PRIMARY KEY, content {blob} NOT NULL);
CREATE TABLE vectors (seq BIGINT PRIMARY KEY, vector {vector} NOT NULL);
CREATE TABLE denials (id TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (id, name));
CREATE TABLE decisions (number {number}, content TEXT NOT NULL)
"""


class Tables(ABC):
    """The part of a store that is the same in every database; see `store.Store`."""

    @abstractmethod
    def _rows(self, words: str, values: Sequence[Any] = ()) -> list[tuple]:
        """Run a statement with values for its ?, and return the rows of the result."""

    @abstractmethod
    def _many(self, words: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of several rows of values."""

    @abstractmethod
    def _insert(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows that do not exist yet."""

    begin: tuple[str, ...]
    """Statements that begin a transaction with an exclusive lock."""

    def __init__(self):
        self._lock = RLock()
        self._depth = 0

    @contextmanager
    def changing(self) -> Iterator[None]:  # noqa: D102 (here and below: store.Store)
        with self._lock:
            if self._depth == 0:
                for statement in self.begin:
                    self._rows(statement)
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._rows("COMMIT")
            except BaseException:
                if self._depth == 1:
                    with suppress(StoreError):  # a full disk has already ended it
                        self._rows("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @abstractmethod
    def _vector(self, row: np.ndarray) -> Any:
        """Convert a vector (D,) for the database."""

    @abstractmethod
    def _array(self, values: Sequence[Any]) -> np.ndarray:
        """Convert vectors (N, D) from the database."""

    def value(self, name: str) -> str | None:  # noqa: D102
        found = self._rows("SELECT value FROM settings WHERE name = ?", [name])
        return found[0][0] if found else None

    def set_value(self, name: str, value: str | None) -> None:  # noqa: D102
        if value is None:
            self._rows("DELETE FROM settings WHERE name = ?", [name])
        else:
            self._rows(
                "INSERT INTO settings VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [name, value],
            )

    def _change(self, what: str = "changes") -> int:
        """Count one more change, by which other processes see that they must read again."""
        number = int(self.value(what) or 0) + 1
        self.set_value(what, str(number))
        return number

    def add(  # noqa: D102
        self, crops: Sequence[Crop], vectors: np.ndarray, pictures: Sequence[bytes]
    ) -> list[str]:
        change = self._change()
        place = {crop.id: i for i, crop in enumerate(crops)}
        known = self.known(place)
        new = {id: i for id, i in place.items() if id not in known}
        rows = ((*_row(crops[i]), change) for i in new.values())
        self._insert("crops", f"{COLUMNS}, changed", rows)
        seqs = dict(self._in("SELECT id, seq FROM crops WHERE id IN", new))
        pairs = ((seqs[id], pictures[i]) for id, i in new.items())
        self._insert("pictures", "seq, content", pairs)
        pairs = ((seqs[id], self._vector(vectors[i])) for id, i in new.items())
        self._insert("vectors", "seq, vector", pairs)
        return list(new)

    def count(self) -> int:  # noqa: D102
        return self._rows("SELECT COUNT(*) FROM crops")[0][0]

    def known(self, ids: Iterable[str]) -> set[str]:  # noqa: D102
        return {id for (id,) in self._in("SELECT id FROM crops WHERE id IN", ids)}

    def crops(self, ids: Iterable[str]) -> dict[str, Crop]:  # noqa: D102
        rows = self._in(f"SELECT {COLUMNS} FROM crops WHERE id IN", ids)
        return {row[0]: crop_of(row) for row in rows}

    def select(  # noqa: D102
        self, where: Filter = EVERYTHING, limit: int | None = None, offset: int = 0
    ) -> list[Crop]:
        words, values = conditions(where)
        rows = self._rows(
            f"SELECT {COLUMNS} FROM crops{words} ORDER BY time NULLS LAST, seq "
            f"LIMIT {limit if limit is not None else 1 << 62} OFFSET {offset}",
            values,
        )
        return [crop_of(row) for row in rows]

    def people(self) -> list[Person]:  # noqa: D102
        cameras: dict[str, list[str]] = {}
        for name, camera in self._rows(
            "SELECT DISTINCT person, camera FROM crops WHERE person IS NOT NULL "
            "AND camera IS NOT NULL"
        ):
            cameras.setdefault(name, []).append(camera)
        rows = self._rows(
            "SELECT person, COUNT(*), MIN(time), MAX(time), "
            "SUM(CASE WHEN ignored THEN 1 ELSE 0 END) FROM crops WHERE person IS NOT NULL "
            "GROUP BY person"
        )
        return [
            Person(name, count, tuple(sorted(cameras.get(name, ()))), first, last, ignored == count)
            for name, count, first, last, ignored in sorted(rows)
        ]

    def cameras(self) -> dict[str | None, int]:  # noqa: D102
        rows = self._rows("SELECT camera, COUNT(*) FROM crops GROUP BY camera")
        return dict(sorted(rows, key=lambda row: row[0] or ""))

    def times(self) -> tuple[float | None, float | None]:  # noqa: D102
        ((first, last),) = self._rows("SELECT MIN(time), MAX(time) FROM crops")
        return first, last

    def older(self, than: float, *, unnamed: bool = False) -> list[str]:  # noqa: D102
        more = " AND person IS NULL" if unnamed else ""
        words = f"SELECT id FROM crops WHERE COALESCE(time, added) < ?{more} ORDER BY seq"
        return [id for (id,) in self._rows(words, [than])]

    def picture(self, id: str) -> bytes | None:  # noqa: D102
        found = self._rows(
            "SELECT content FROM pictures JOIN crops USING (seq) WHERE crops.id = ?", [id]
        )
        return bytes(found[0][0]) if found else None

    def vectors(self, ids: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:  # noqa: D102
        words = "SELECT id, vector FROM crops JOIN vectors USING (seq)"
        if ids is None:
            rows = self._rows(f"{words} ORDER BY seq")
        else:
            found = dict(self._in(f"{words} WHERE id IN", ids))
            rows = [(id, found[id]) for id in ids if id in found]
        return self._array([vector for _, vector in rows]), [id for id, _ in rows]

    def edit(self, states: Mapping[str, State]) -> None:  # noqa: D102
        change = self._change()
        self._many(
            "UPDATE crops SET person = ?, given_by = ?, ignored = ?, changed = ? WHERE id = ?",
            ((*state, change, id) for id, state in states.items()),
        )

    def denials(self, ids: Iterable[str] | None = None) -> set[tuple[str, str]]:  # noqa: D102
        if ids is None:
            return set(self._rows("SELECT id, name FROM denials"))
        return set(self._in("SELECT id, name FROM denials WHERE id IN", ids))

    def deny(self, pairs: Iterable[tuple[str, str]]) -> None:  # noqa: D102
        self._many("INSERT INTO denials VALUES (?, ?) ON CONFLICT DO NOTHING", pairs)

    def allow(self, pairs: Iterable[tuple[str, str]]) -> None:  # noqa: D102
        self._many("DELETE FROM denials WHERE id = ? AND name = ?", pairs)

    def decided(self, decision: Decision) -> None:  # noqa: D102
        words = json.dumps(asdict(decision), ensure_ascii=False)
        self._rows("INSERT INTO decisions (content) VALUES (?)", [words])

    def last_decision(self) -> Decision | None:  # noqa: D102
        found = self._rows("SELECT content FROM decisions ORDER BY number DESC LIMIT 1")
        return _decision(found[0][0]) if found else None

    def take_decision(self) -> None:  # noqa: D102
        self._rows("DELETE FROM decisions WHERE number = (SELECT MAX(number) FROM decisions)")

    def delete(self, ids: Iterable[str], names: Iterable[str] = ()) -> int:  # noqa: D102
        ids, names = set(ids), set(names)
        seqs = [seq for (seq,) in self._in("SELECT seq FROM crops WHERE id IN", ids)]
        for table in ("pictures", "vectors", "next_vectors", "crops"):
            if table != "next_vectors" or self.value("next_model"):
                self._in(f"DELETE FROM {table} WHERE seq IN", seqs)
        self._in("DELETE FROM denials WHERE id IN", ids)
        self._in("DELETE FROM denials WHERE name IN", names)
        for number, content in self._rows("SELECT number, content FROM decisions"):
            left = _without(content, ids, names)
            if left is None:
                self._rows("DELETE FROM decisions WHERE number = ?", [number])
            elif left != content:
                self._rows("UPDATE decisions SET content = ? WHERE number = ?", [left, number])
        self._change()
        self._change("deletions")
        return len(seqs)

    def missing(self, model: str, limit: int) -> list[str]:  # noqa: D102
        if self.value("next_model") != model:
            return [id for (id,) in self._rows(f"SELECT id FROM crops ORDER BY seq LIMIT {limit}")]
        rows = self._rows(
            "SELECT id FROM crops LEFT JOIN next_vectors USING (seq) "
            f"WHERE next_vectors.seq IS NULL ORDER BY seq LIMIT {limit}"
        )
        return [id for (id,) in rows]

    def add_vectors(self, model: str, ids: Sequence[str], vectors: np.ndarray) -> None:  # noqa: D102
        if self.value("next_model") != model:
            self._rows("DROP TABLE IF EXISTS next_vectors")
            self._rows(
                "CREATE TABLE next_vectors (seq BIGINT PRIMARY KEY, "
                f"vector {self._vector_type(vectors.shape[1])} NOT NULL)"
            )
            self._prepare("next_vectors", vectors.shape[1])
            self.set_value("next_model", model)
        seqs = dict(self._in("SELECT id, seq FROM crops WHERE id IN", ids))
        self._many(
            "INSERT INTO next_vectors VALUES (?, ?) ON CONFLICT DO NOTHING",
            ((seqs[id], self._vector(v)) for id, v in zip(ids, vectors, strict=True) if id in seqs),
        )

    def use_vectors(self, model: str) -> None:  # noqa: D102
        if self.value("next_model") == model:  # no crops, no vectors
            self._rows("DROP TABLE vectors")
            self._rows("ALTER TABLE next_vectors RENAME TO vectors")
        self.set_value("next_model", None)
        self.set_value("model", model)
        self._change()

    @abstractmethod
    def _prepare(self, table: str, dimensions: int) -> None:
        """Prepare a new table of vectors."""

    @abstractmethod
    def _vector_type(self, dimensions: int) -> str:
        """Return the type of a column of vectors."""

    def _lost(self) -> list[str]:
        """Return which crops lack a picture or a vector."""
        said = []
        for table, what in (("pictures", "picture"), ("vectors", "vector")):
            ((lost,),) = self._rows(
                f"SELECT COUNT(*) FROM crops LEFT JOIN {table} t USING (seq) WHERE t.seq IS NULL"
            )
            if lost:
                said.append(f"{counted(lost, 'crop has', 'crops have')} no {what}.")
        return said

    def _in(self, words: str, values: Iterable[Any]) -> list[tuple]:
        """Run a statement that ends in IN, in pieces."""
        every = list(dict.fromkeys(values))
        found: list[tuple] = []
        for piece in pieces(every):
            found += self._rows(f"{words} ({', '.join('?' * len(piece))})", piece)
        return found


def pieces(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut values into pieces that fit into one statement."""
    return (values[start : start + PIECE] for start in range(0, len(values), PIECE))


def conditions(where: Filter, besides: str = "") -> tuple[str, list[Any]]:
    """Convert a filter to the WHERE of a statement, and its values."""
    words: list[str] = [besides] if besides else []
    values: list[Any] = []
    for condition, value in (
        ("camera = ?", where.camera),
        ("time >= ?", where.since),
        ("time <= ?", where.until),
        ("person = ?", where.person or None),
        ("ignored = ?", where.ignored),
    ):
        if value is not None:
            words.append(condition)
            values.append(value)
    if where.person == "":
        words.append("person IS NULL")
    return (f" WHERE {' AND '.join(words)}" if words else ""), values


def _row(crop: Crop) -> tuple:
    box = None if crop.box is None else json.dumps(crop.box)
    return (
        *(crop.id, crop.camera, crop.time, crop.tracklet, crop.source, crop.frame, box),
        *(crop.person, crop.by, crop.ignored, crop.added),
    )


def crop_of(row: tuple) -> Crop:
    """Make a crop from a row with COLUMNS."""
    values: list[Any] = list(row)
    values[6] = None if row[6] is None else tuple(json.loads(row[6]))
    values[9] = bool(row[9])
    return Crop(*values)


def _decision(content: str) -> Decision:
    told = json.loads(content)
    told["before"] = {id: tuple(state) for id, state in told["before"].items()}
    told["names"] = tuple(told["names"])
    for pairs in ("denied", "allowed"):
        told[pairs] = tuple(map(tuple, told[pairs]))
    return Decision(**told)


def _without(content: str, ids: set[str], names: set[str]) -> str | None:
    """Remove crops and people from a decision; None if nothing of it is left."""
    told = json.loads(content)
    before = told["before"]
    if names & {*told["names"], *(state[0] for state in before.values())}:
        return None
    told["before"] = {id: state for id, state in before.items() if id not in ids}
    for pairs in ("denied", "allowed"):
        told[pairs] = [[id, name] for id, name in told[pairs] if id not in ids]
    if not (told["before"] or told["denied"] or told["allowed"]):
        return None
    return json.dumps(told, ensure_ascii=False) if told["before"] != before else content
