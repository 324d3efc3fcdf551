"""The store that needs no server: one SQLite file, and the vectors in memory."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reseen.errors import StoreError
from reseen.gallery.records import Crop
from reseen.gallery.sql import COLUMNS, SCHEMA, Tables, crop_of
from reseen.gallery.store import EVERYTHING, Filter

FILE = "gallery.sqlite"
PATIENCE = 600
"""Seconds that a process waits until it can write."""
_BLOCK = 1 << 24
"""Number of similarities that are in memory at a time."""
_FETCH = 4096
"""Number of vectors that are read at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """The data of N crops in memory, in the order of their numbers; never changed once created."""

    change: int
    deletions: str | None
    model: str | None
    seqs: np.ndarray
    vectors: np.ndarray
    cameras: np.ndarray
    times: np.ndarray
    ignored: np.ndarray


class Embedded(Tables):
    """A store in one file, for any number of processes and threads on one machine.

    Search is exact: a product with the matrix of all vectors.

    Args:
        folder: of the gallery.
        new: create the file; otherwise it must exist.

    Raises:
        StoreError: the file does not exist, is damaged, or is not of a gallery.

    Memory: O(N D) of float32 from the first search on.
    """

    begin = ("BEGIN IMMEDIATE",)

    def __init__(self, folder: Path, *, new: bool = False):
        self.path = folder / FILE
        if not new and not self.path.is_file():
            raise StoreError(
                f"{self.path} does not exist. Restore it from a backup, or create a new gallery."
            )
        super().__init__()
        self._index: _Index | None = None
        self._room = np.empty((0, 0), np.float32)
        self._codes: dict[str | None, int] = {None: -1}
        with self._said():
            self._connection = sqlite3.connect(
                self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            try:
                self._open(new)
            except BaseException:
                self._connection.close()
                raise

    def _open(self, new: bool) -> None:
        pragmas = ("secure_delete = ON", "synchronous = FULL", "journal_mode = WAL")
        # Pictures and vectors of several kB fill larger pages better: half the file size.
        for pragma in (*("page_size = 16384",) * new, *pragmas):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        if new:
            words = SCHEMA.format(
                number="INTEGER PRIMARY KEY AUTOINCREMENT", blob="BLOB", vector="BLOB"
            )
            with self.changing():
                for statement in words.split(";"):
                    self._connection.execute(statement)
        elif not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'crops'"):
            raise StoreError(
                f"{self.path} holds no gallery. Restore it from a backup, or create a new one."
            )

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Convert errors of SQLite to a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            advice = {
                "SQLITE_BUSY": "Another process is writing for a long time: wait, or stop it.",
                "SQLITE_FULL": "Free some disk space and run the same command again.",
                "SQLITE_READONLY": "Change its permissions.",
                "SQLITE_CANTOPEN": "Check its folder and permissions.",
            }.get(
                getattr(error, "sqlite_errorname", ""),
                "If it is damaged, restore it from a backup, or create a new gallery.",
            )
            raise StoreError(f"{self.path} cannot be used: {error}. {advice}") from error

    @property
    def place(self) -> str:
        """As `store.Store.place`."""
        return f"embedded ({self.path.name})"

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._said():
            self._connection.close()

    def _rows(self, words: str, values: Sequence[Any] = ()) -> list[tuple]:
        with self._lock, self._said():
            return self._connection.execute(words, values).fetchall()

    def _many(self, words: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._lock, self._said():
            self._connection.executemany(words, rows)

    def _insert(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        marks = ", ".join("?" * (columns.count(",") + 1))
        self._many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    def _vector(self, row: np.ndarray) -> bytes:
        return row.astype("<f4").tobytes()

    def _array(self, values: Sequence[bytes]) -> np.ndarray:
        size = len(values[0]) // 4 if values else 0
        return np.frombuffer(b"".join(values), "<f4").reshape(len(values), size).astype(np.float32)

    def _vector_type(self, dimensions: int) -> str:
        return "BLOB"

    def _prepare(self, table: str, dimensions: int) -> None:
        pass

    def nearest(  # noqa: D102
        self,
        queries: np.ndarray,
        top: int,
        where: Filter = EVERYTHING,
        without: Sequence[tuple[str | None, str | None]] = (),
    ) -> list[list[tuple[Crop, float]]]:
        index = self._refreshed()
        rows = np.flatnonzero(self._fits(index, where))
        if not len(rows):
            return [[] for _ in queries]
        seqs, cameras = index.seqs[rows], index.cameras[rows]
        all_rows = len(rows) == len(index.seqs)
        # A product with all rows is faster than a copy of most of them.
        gather = not all_rows and 4 * len(rows) < len(index.seqs)
        vectors = index.vectors[rows] if gather else index.vectors
        selves = self._seqs(id for id, _ in without if id)
        found: list[list[tuple[int, float]]] = []
        step = max(1, _BLOCK // max(1, len(vectors)))
        for start in range(0, len(queries), step):
            block = np.asarray(queries[start : start + step], np.float32) @ vectors.T
            if not (gather or all_rows):
                block = block[:, rows]
            for scores, (itself, camera) in zip(
                block, without[start : start + step] or [(None, None)] * len(block), strict=True
            ):
                if itself in selves:
                    scores[seqs == selves[itself]] = -np.inf
                if camera is not None:
                    scores[cameras == self._codes.get(camera, -2)] = -np.inf
                found.append([(int(seqs[i]), float(scores[i])) for i in best(scores, top)])
        known = self._by_seq({seq for row in found for seq, _ in row})
        return [[(known[seq], score) for seq, score in row if seq in known] for row in found]

    def _fits(self, index: _Index, where: Filter) -> np.ndarray:
        mask = np.ones(len(index.seqs), bool)
        if where.camera is not None:
            mask &= index.cameras == self._codes.get(where.camera, -2)
        if where.since is not None:
            mask &= index.times >= where.since
        if where.until is not None:
            mask &= index.times <= where.until
        if where.ignored is not None:
            mask &= index.ignored == where.ignored
        if where.person is not None:
            words = "person IS NULL" if where.person == "" else "person = ?"
            values = [where.person] if where.person else []
            seqs = self._rows(f"SELECT seq FROM crops WHERE {words}", values)
            mask &= np.isin(index.seqs, np.array(seqs, np.int64))
        return mask

    def _seqs(self, ids: Iterable[str]) -> dict[str | None, int]:
        return dict(self._in("SELECT id, seq FROM crops WHERE id IN", ids))

    def _by_seq(self, seqs: set[int]) -> dict[int, Crop]:
        rows = self._in(f"SELECT {COLUMNS}, seq FROM crops WHERE seq IN", seqs)
        return {row[-1]: crop_of(row[:-1]) for row in rows}

    def _refreshed(self) -> _Index:
        """Return the vectors in memory, after reading what other processes have changed."""
        with self._lock, self._said():
            if self._depth:
                return self._read_changes()
            self._connection.execute("BEGIN")  # what is read below must be consistent
            try:
                return self._read_changes()
            finally:
                self._connection.execute("COMMIT")

    def _read_changes(self) -> _Index:
        index, model, deletions = self._index, self.value("model"), self.value("deletions")
        change = int(self.value("changes") or 0)
        if index and (index.change, index.model) == (change, model):
            return index
        if index is None or index.model != model:
            none = np.empty(0)
            self._room = np.empty((0, 0), np.float32)
            index = _Index(
                *(-1, deletions, model, none.astype(np.int64), self._room),
                *(none.astype(np.int32), none, none.astype(bool)),
            )
        if index.deletions != deletions:
            left = np.array(self._rows("SELECT seq FROM crops ORDER BY seq"), np.int64).ravel()
            kept = np.isin(index.seqs, left)
            self._room = index.vectors[kept]
            index = _Index(
                *(index.change, deletions, model, index.seqs[kept], self._room),
                *(index.cameras[kept], index.times[kept], index.ignored[kept]),
            )
        facts = self._rows(
            "SELECT seq, camera, time, ignored FROM crops WHERE changed > ? ORDER BY seq",
            [index.change],
        )
        last = int(index.seqs[-1]) if len(index.seqs) else 0
        seqs = np.array([row[0] for row in facts], np.int64)
        codes = self._codes
        cameras = np.array([codes.setdefault(row[1], len(codes)) for row in facts], np.int32)
        times = np.array([np.nan if row[2] is None else row[2] for row in facts], np.float64)
        ignored = np.array([bool(row[3]) for row in facts], bool)
        new = seqs > last
        old = np.searchsorted(index.seqs, seqs[~new])
        columns = []
        for before, now in (
            (index.cameras, cameras),
            (index.times, times),
            (index.ignored, ignored),
        ):
            column = np.concatenate([before, now[new]])
            column[old] = now[~new]
            columns.append(column)
        every = np.concatenate([index.seqs, seqs[new]])
        vectors = self._grown(len(index.seqs), len(every), last)
        self._index = _Index(change, deletions, model, every, vectors, *columns)
        return self._index

    def _grown(self, before: int, after: int, last: int) -> np.ndarray:
        """Return the matrix (after, D), with new rows read from the file, old ones in place."""
        if after == before:
            return self._room[:before]
        cursor = self._connection.execute(
            "SELECT vector FROM vectors WHERE seq > ? ORDER BY seq", [last]
        )
        row = before
        while some := cursor.fetchmany(_FETCH):
            vectors = self._array([vector for (vector,) in some])
            if self._room.shape[0] < after or self._room.shape[1] != vectors.shape[1]:
                room = max(after, min(2 * before, before + (1 << 20)))
                grown = np.empty((room, vectors.shape[1]), np.float32)
                if before:
                    grown[:before] = self._room[:before]
                self._room = grown
            self._room[row : row + len(vectors)] = vectors
            row += len(vectors)
        if row != after:
            raise StoreError(
                f"{self.path} is damaged: {after} crops have {row} features. Restore it from a "
                "backup, or compute new features (reseen gallery rebuild)."
            )
        return self._room[:after]

    def compact(self) -> None:
        """As `store.Store.compact`."""
        with self._lock, self._said():
            self._rows("VACUUM")
            if self._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                raise StoreError(
                    f"The data was deleted from {self.path}, but not yet from its log file, which "
                    "another process is using. Stop that process and run the command again."
                )

    def settle(self) -> None:
        """As `store.Store.settle`: search is exact, so there is no index."""

    def bytes_used(self) -> int:
        """As `store.Store.bytes_used`."""
        beside = (self.path.with_name(f"{FILE}{end}") for end in ("", "-wal", "-shm"))
        return sum(path.stat().st_size for path in beside if path.exists())

    def check(self) -> list[str]:
        """As `store.Store.check`."""
        said = [f"{self.path}: {row[0]}" for row in self._rows("PRAGMA integrity_check(5)")]
        return [line for line in said if not line.endswith(": ok")] + self._lost()


def best(scores: np.ndarray, top: int) -> np.ndarray:
    """Return the positions of the `top` highest scores (N,), the highest first, without -inf.

    Equal scores keep their order.
    """
    if top < len(scores):
        places = np.argpartition(scores, len(scores) - top)[len(scores) - top :]
        places.sort()
    else:
        places = np.arange(len(scores))
    places = places[scores[places] > -np.inf]
    return places[np.argsort(-scores[places], kind="stable")]
