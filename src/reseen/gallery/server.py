"""The store on a server: PostgreSQL with pgvector, for several machines and millions of crops."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import numpy as np

from reseen.errors import SettingsError, StoreError, needs
from reseen.gallery.records import Crop
from reseen.gallery.sql import COLUMNS, SCHEMA, Tables, conditions, crop_of
from reseen.gallery.store import EVERYTHING, Filter

PREFIXES = ("postgresql://", "postgres://")
EXACT = 5_000
"""Number of crops up to which all are compared, without an index."""
SINGLE, HALF = 2000, 4000
"""Dimensions up to which vectors fit into a page in single, and into an index in half precision."""
_LINKS, _ROOM = 800, 8 << 30
"""Bytes for the links of a vector while the index is built, and the most memory to build it in: an
index that does not fit takes many times as long."""
_EFFORT = 300
"""Number of candidates that a search in the index follows (hnsw.ef_search)."""


_TYPES = {
    **dict.fromkeys(("id", "camera", "tracklet", "source", "box", "person", "given_by"), "text"),
    **dict.fromkeys(("time", "added"), "float8"),
    **dict.fromkeys(("frame", "changed", "seq"), "int8"),
    "ignored": "bool",
    "content": "bytea",
    "vector": "vector",
}
"""Types of columns, for COPY."""


def check_store(store: str | None) -> None:
    """Refuse the address of an unknown store; None is the embedded one.

    Raises:
        SettingsError: it is not a supported server, or a package is not installed.
    """
    if store is None:
        return
    if not store.startswith(PREFIXES):
        raise SettingsError(
            f"store is {without_password(store)!r}. Use postgresql://USER@HOST/DATABASE, or leave "
            "it out to store everything in the folder of the gallery."
        )
    for module in ("psycopg", "pgvector"):
        needs(module, "postgres")


class Server(Tables):
    """A store in its own schema of a PostgreSQL database, for any number of machines.

    With more than EXACT crops a search uses an HNSW index of pgvector, in half precision, and may
    miss some crops; similarities are computed from the vectors. Vectors with more than 2,000
    dimensions are stored in half precision.

    Args:
        url: `postgresql://user:password@host/database`; parts that are left out come from the
            variables and files of libpq (PGPASSWORD, ~/.pgpass).
        schema: of the gallery; None creates one.
        dimensions: of the vectors, D, to create one.

    Raises:
        SettingsError: psycopg or pgvector is not installed.
        StoreError: the server cannot be reached, or has no such gallery.

    Source: Malkov, Yashunin: Efficient and robust approximate nearest neighbor search using
    Hierarchical Navigable Small World graphs, TPAMI 2020.
    """

    def __init__(self, url: str, schema: str | None = None, *, dimensions: int = 0):
        check_store(url)
        super().__init__()
        self._url = url
        self.schema = schema or f"reseen_{uuid4().hex[:12]}"
        lock = int(self.schema.removeprefix("reseen_")[:12], 16)
        self.begin = ("BEGIN", f"SELECT pg_advisory_xact_lock({lock})")
        self._connection: Any = None
        try:
            if schema is None:
                self._make(dimensions)
            elif not self._rows("SELECT 1 FROM pg_namespace WHERE nspname = ?", [self.schema]):
                raise StoreError(f"{self.place} holds no such gallery. It may have been deleted.")
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """As `store.Store.place`."""
        return f"{without_password(self._url)}, schema {self.schema}"

    def _make(self, dimensions: int) -> None:
        words = SCHEMA.format(
            number="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            blob="BYTEA",
            vector=self._vector_type(dimensions),
        )
        with self.changing():
            self._rows(f"CREATE SCHEMA {self.schema}")
            for statement in words.split(";"):
                self._rows(statement)
            self._prepare("vectors", dimensions)

    def _connected(self) -> Any:
        """Return the connection, or a new one if it was lost."""
        import psycopg

        if self._connection is None or self._connection.closed:
            from pgvector.psycopg import register_vector

            if self._depth:  # the transaction on the other connection is lost
                raise psycopg.OperationalError("the connection was lost")
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, application_name="reseen"
            )
            execute = self._connection.execute
            execute(f"SET search_path TO {self.schema}, public")
            execute("SET client_min_messages TO warning")
            execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
            for name, value in (("ef_search", _EFFORT), ("iterative_scan", "strict_order")):
                execute(f"SET hnsw.{name} = {value}")
            register_vector(self._connection)
        return self._connection

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Convert errors of the server or its driver to a sentence, without the password."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            why = " ".join(str(error).split()) or type(error).__name__
            for password in passwords(self._url):
                why = why.replace(password, "...")
            raise StoreError(
                f"The store {without_password(self._url)} cannot be used: {why}. Check that the "
                "server runs, has the extension vector, and accepts you (PGPASSWORD, ~/.pgpass)."
            ) from None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _rows(self, words: str, values: Sequence[Any] = ()) -> list[tuple]:
        words = words.replace("?", "%s")
        with self._lock, self._said():
            cursor = self._connected().execute(words, values or None)
            return cursor.fetchall() if cursor.description else []

    def _many(self, words: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._lock, self._said(), self._connected().cursor() as cursor:
            cursor.executemany(words.replace("?", "%s"), rows)

    def _insert(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        types = [_TYPES[name.strip()] for name in columns.split(",")]
        with self._lock, self._said():
            connection = self._connected()
            if "vector" in types:  # with this dimension
                ((kind,),) = self._rows(
                    "SELECT atttypid::regtype::text FROM pg_attribute "
                    "WHERE attrelid = ?::regclass AND attname = 'vector'",
                    [table],
                )
                types[types.index("vector")] = kind
            words = f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT BINARY)"
            with connection.cursor() as cursor, cursor.copy(words) as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(row)

    def _vector(self, row: np.ndarray) -> Any:
        return row.astype(np.float32) if len(row) <= SINGLE else _halved(row)

    def _array(self, values: Sequence[Any]) -> np.ndarray:
        rows = [value.to_numpy() if hasattr(value, "to_numpy") else value for value in values]
        return np.array(rows, np.float32) if rows else np.empty((0, 0), np.float32)

    def _vector_type(self, dimensions: int) -> str:
        return f"{'vector' if dimensions <= SINGLE else 'halfvec'}({dimensions})"

    def _prepare(self, table: str, dimensions: int) -> None:
        if dimensions <= HALF:  # a vector fits into a page, and is read from there
            self._rows(f"ALTER TABLE {table} ALTER COLUMN vector SET STORAGE PLAIN")

    def nearest(  # noqa: D102
        self,
        queries: np.ndarray,
        top: int,
        where: Filter = EVERYTHING,
        without: Sequence[tuple[str | None, str | None]] = (),
    ) -> list[list[tuple[Crop, float]]]:
        found = []
        for query, (itself, camera) in zip(
            queries, without or [(None, None)] * len(queries), strict=True
        ):
            words, values = conditions(where, "camera IS DISTINCT FROM ?" if camera else "")
            values = [camera, *values] if camera else values
            rows: list[tuple] = []
            if not self._few(words, values):
                rows = self._ordered(query, words, values, top + 1)
            if len(rows) <= top:  # so few match that the search in the index ended early
                rows = self._ordered(query, words, values, top + 1, exactly=True)
            near = [(crop_of(row[:-1]), -row[-1]) for row in rows if row[0] != itself]
            found.append(near[:top])
        return found

    def _ordered(
        self, query: np.ndarray, words: str, values: list[Any], top: int, *, exactly: bool = False
    ) -> list[tuple]:
        """Return the nearest rows by the index, or exactly: a sum is in no index."""
        far = f"(vector <#> ?::{self._vector_type(len(query))})"
        near = f"{_in_index(len(query))} <#> ?::halfvec({len(query)})"
        asked = self._vector(query)
        rows = self._rows(
            f"SELECT {COLUMNS}, {far} AS far FROM vectors JOIN crops USING (seq){words} "
            f"ORDER BY {f'{far} + 0' if exactly else near} LIMIT {top}",
            [asked, *values, asked if exactly else _halved(query)],
        )
        return sorted(rows, key=lambda row: row[-1])

    def _few(self, words: str, values: list[Any]) -> bool:
        """Return whether so few crops match that comparing all is as fast as any index."""
        meant = f"SELECT 1 FROM crops{words} LIMIT {EXACT + 1}"
        return self._rows(f"SELECT COUNT(*) FROM ({meant}) AS meant", values)[0][0] <= EXACT

    def settle(self) -> None:
        """As `store.Store.settle`."""
        if self.count() <= EXACT or self._indexed():
            return
        with self.changing():
            ((size,),) = self._rows(
                "SELECT atttypmod FROM pg_attribute "
                "WHERE attrelid = 'vectors'::regclass AND attname = 'vector'"
            )
            if size > HALF:  # no index supports them
                return
            room = min(self.count() * (2 * size + _LINKS), _ROOM)
            self._rows(f"SET LOCAL maintenance_work_mem TO '{max(room >> 10, 65536)}kB'")
            words = (
                "CREATE INDEX IF NOT EXISTS vectors_near ON vectors "
                f"USING hnsw ({_in_index(size)} halfvec_ip_ops)"
            )
            self._rows("SAVEPOINT serial")
            try:
                self._rows(words)
            except StoreError as error:
                if "shared memory" not in str(error):
                    raise
                self._rows("ROLLBACK TO serial")  # containers have little of it
                self._rows("SET LOCAL max_parallel_maintenance_workers TO 0")
                self._rows(words)
        self._rows("ANALYZE")

    def _indexed(self) -> bool:
        return bool(self._rows("SELECT to_regclass('vectors_near')")[0][0])

    def compact(self) -> None:
        """As `store.Store.compact`; the server's write-ahead log contains it until it is reused."""
        for table in ("crops", "pictures", "vectors", "denials", "decisions"):
            self._rows(f"VACUUM (FULL) {table}")

    def bytes_used(self) -> int:
        """As `store.Store.bytes_used`."""
        words = (
            "SELECT COALESCE(SUM(pg_total_relation_size(oid)), 0) FROM pg_class "
            "WHERE relnamespace = ?::regnamespace AND relkind = 'r'"
        )
        return int(self._rows(words, [self.schema])[0][0])

    def check(self) -> list[str]:
        """As `store.Store.check`."""
        return self._lost()


def _in_index(size: int) -> str:
    """Return the expression of vectors of this dimension that is indexed."""
    return f"(vector::halfvec({size}))" if size <= SINGLE else "vector"


def _halved(row: np.ndarray) -> Any:
    from pgvector import HalfVector

    return HalfVector(row)


def without_password(url: str) -> str:
    """Return a URL without its password, for messages and files."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{parts.username}@{host}" if parts.username else host
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name != "password"]
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(kept, safe="/")))


def passwords(url: str) -> list[str]:
    """Return the parts of a URL that must not be printed."""
    parts = urlsplit(url)
    found = [value for name, value in parse_qsl(parts.query) if name == "password"]
    return [word for word in (*found, parts.password) if word]
