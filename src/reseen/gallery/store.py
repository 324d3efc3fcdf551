"""The interface of a gallery to its store: a database in a file, or a server."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reseen.gallery.records import Crop, Decision, Person

State = tuple[str | None, str | None, bool]
"""What can be decided about a crop: person, by, ignored."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects crops; fields that are None match everything."""

    camera: str | None = None
    since: float | None = None
    """Not before this time, in seconds since 1970 (UTC). A crop without a time never matches."""
    until: float | None = None
    """Not after this time."""
    person: str | None = None
    """Name of the person; empty for crops without a name."""
    ignored: bool | None = None


EVERYTHING = Filter()


class Store(Protocol):
    """Stores crops, pictures, vectors and decisions.

    Reading needs no transaction. Changes are made within `changing`, in which only one process can
    be at a time, and which is committed as a whole or not at all.
    """

    @property
    def place(self) -> str:
        """Where the data is stored, without passwords."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...

    def changing(self) -> AbstractContextManager[None]:
        """Make a transaction of everything inside; other processes wait, and do not fail."""
        ...

    def value(self, name: str) -> str | None:
        """Read a setting that is stored beside the crops."""
        ...

    def set_value(self, name: str, value: str | None) -> None:
        """Store a setting; None removes it."""
        ...

    def add(
        self, crops: Sequence[Crop], vectors: np.ndarray, pictures: Sequence[bytes]
    ) -> list[str]:
        """Store crops that do not exist yet, and return the ids of those that were added.

        Args:
            crops: N records.
            vectors: (N, D) float32 unit rows.
            pictures: N files.
        """
        ...

    def count(self) -> int:
        """Count the crops."""
        ...

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return which of these ids exist."""
        ...

    def crops(self, ids: Iterable[str]) -> dict[str, Crop]:
        """Return crops by id; those that do not exist are left out."""
        ...

    def select(
        self, where: Filter = EVERYTHING, limit: int | None = None, offset: int = 0
    ) -> list[Crop]:
        """List crops, sorted by time (unknown last) and then by when they were added."""
        ...

    def people(self) -> list[Person]:
        """List all named people, sorted by name."""
        ...

    def cameras(self) -> dict[str | None, int]:
        """Return the number of crops of each camera, by name; None is the unknown one."""
        ...

    def times(self) -> tuple[float | None, float | None]:
        """Return the first and the last time of a crop, in seconds since 1970 (UTC)."""
        ...

    def older(self, than: float, *, unnamed: bool = False) -> list[str]:
        """List crops with an earlier time or, if it is unknown, that were added earlier.

        Args:
            than: in seconds since 1970 (UTC).
            unnamed: only those without a name.
        """
        ...

    def picture(self, id: str) -> bytes | None:
        """Return the file of a crop."""
        ...

    def vectors(self, ids: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
        """Return vectors (N, D) float32 and their ids, of all crops or of those that exist."""
        ...

    def nearest(
        self,
        queries: np.ndarray,
        top: int,
        where: Filter = EVERYTHING,
        without: Sequence[tuple[str | None, str | None]] = (),
    ) -> list[list[tuple[Crop, float]]]:
        """Find the crops that are most similar to each query, the most similar first.

        Args:
            queries: (Q, D) float32 unit rows.
            top: number of crops for each query.
            where: selects the crops.
            without: for each query the id of a crop and the name of a camera to exclude, each or
                None.
        """
        ...

    def edit(self, states: Mapping[str, State]) -> None:
        """Set person, by and ignored of crops, by id."""
        ...

    def denials(self, ids: Iterable[str] | None = None) -> set[tuple[str, str]]:
        """Return pairs of crop id and name of a person whom the crop does not show."""
        ...

    def deny(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Store such pairs."""
        ...

    def allow(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remove such pairs."""
        ...

    def decided(self, decision: Decision) -> None:
        """Add a decision to the end of the list."""
        ...

    def last_decision(self) -> Decision | None:
        """Return the last decision."""
        ...

    def take_decision(self) -> None:
        """Remove the last decision."""
        ...

    def delete(self, ids: Iterable[str], names: Iterable[str] = ()) -> int:
        """Delete crops with pictures, vectors and denials, and remove them from decisions.

        Args:
            ids: of the crops.
            names: of people who are removed from denials and decisions too.

        Returns:
            The number of crops deleted.
        """
        ...

    def compact(self) -> None:
        """Return the space of deleted data to the system, so that none of its bytes are left.

        Raises:
            StoreError: another process is still reading.
        """
        ...

    def missing(self, model: str, limit: int) -> list[str]:
        """Return up to `limit` ids of crops that have no vector of another model yet."""
        ...

    def add_vectors(self, model: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Store vectors (N, D) of another model beside those in use.

        Vectors of any third model are removed.
        """
        ...

    def use_vectors(self, model: str) -> None:
        """Replace the vectors in use by those of the other model; the old ones are deleted."""
        ...

    def settle(self) -> None:
        """Create an index for search if there are enough crops; called after adding."""
        ...

    def bytes_used(self) -> int:
        """Return the size of the store in bytes."""
        ...

    def check(self) -> list[str]:
        """Check for damage, and return a sentence for each problem."""
        ...
