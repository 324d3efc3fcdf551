"""What a gallery asks of a place that keeps it: a database in a file, or a server."""

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
    """Which crops are meant; what is left out does not matter."""

    camera: str | None = None
    since: float | None = None
    """Not before this time, in seconds since 1970 (UTC). A crop without a time fits no time."""
    until: float | None = None
    """Not after it."""
    person: str | None = None
    """Name of the person; empty for crops without a name."""
    ignored: bool | None = None


EVERYTHING = Filter()


class Store(Protocol):
    """Keeps crops, pictures, vectors and decisions.

    Reading needs no transaction. What changes something is called within `changing`, which one
    process at a time can be in, and which is kept as a whole or not at all.
    """

    @property
    def place(self) -> str:
        """Where it keeps things, in words that may be printed."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...

    def changing(self) -> AbstractContextManager[None]:
        """Make everything that happens inside one transaction; others wait, and do not fail."""
        ...

    def value(self, name: str) -> str | None:
        """Read a setting that is kept beside the crops."""
        ...

    def set_value(self, name: str, value: str | None) -> None:
        """Keep a setting; None removes it."""
        ...

    def add(
        self, crops: Sequence[Crop], vectors: np.ndarray, pictures: Sequence[bytes]
    ) -> list[str]:
        """Keep crops that are not there yet, and give the ids of those that were added.

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
        """Give those of some ids that are there."""
        ...

    def crops(self, ids: Iterable[str]) -> dict[str, Crop]:
        """Give crops by id; those that are not there are left out."""
        ...

    def select(
        self, where: Filter = EVERYTHING, limit: int | None = None, offset: int = 0
    ) -> list[Crop]:
        """List crops, ordered by time (unknown last) and then as they were added."""
        ...

    def people(self) -> list[Person]:
        """List all named people, sorted by name."""
        ...

    def cameras(self) -> dict[str | None, int]:
        """Give the number of crops of each camera, by name; None is the unknown one."""
        ...

    def times(self) -> tuple[float | None, float | None]:
        """Give the first and the last time of a crop, in seconds since 1970 (UTC)."""
        ...

    def older(self, than: float, *, unnamed: bool = False) -> list[str]:
        """List crops of an earlier time, or, where it is unknown, that were added earlier.

        Args:
            than: in seconds since 1970 (UTC).
            unnamed: only those without a name.
        """
        ...

    def picture(self, id: str) -> bytes | None:
        """Give the file of a crop."""
        ...

    def vectors(self, ids: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
        """Give vectors (N, D) float32 and their ids, of all crops or of those that are there."""
        ...

    def nearest(
        self,
        queries: np.ndarray,
        top: int,
        where: Filter = EVERYTHING,
        without: Sequence[tuple[str | None, str | None]] = (),
    ) -> list[list[tuple[Crop, float]]]:
        """Find the crops that are most like each query, the most similar first.

        Args:
            queries: (Q, D) float32 unit rows.
            top: crops of each query.
            where: which crops count.
            without: for each query the id of a crop and the name of a camera that do not count
                for it, each or None.
        """
        ...

    def edit(self, states: Mapping[str, State]) -> None:
        """Set person, by and ignored of crops, by id."""
        ...

    def denials(self, ids: Iterable[str] | None = None) -> set[tuple[str, str]]:
        """Give pairs of crop id and name of which somebody said: not this one."""
        ...

    def deny(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep such pairs."""
        ...

    def allow(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take such pairs back."""
        ...

    def decided(self, decision: Decision) -> None:
        """Put a decision on top of the others."""
        ...

    def last_decision(self) -> Decision | None:
        """Give the decision on top."""
        ...

    def take_decision(self) -> None:
        """Remove the decision on top."""
        ...

    def delete(self, ids: Iterable[str], names: Iterable[str] = ()) -> int:
        """Delete crops with pictures, vectors and denials, and what decisions say of them.

        Args:
            ids: of the crops.
            names: people whose names leave the denials and decisions too.

        Returns:
            The number of crops deleted.
        """
        ...

    def compact(self) -> None:
        """Give the room of what was deleted back, so that none of its bytes are left.

        Raises:
            StoreError: another process keeps reading.
        """
        ...

    def missing(self, model: str, limit: int) -> list[str]:
        """Give up to `limit` ids of crops that have no vector of another model yet."""
        ...

    def add_vectors(self, model: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Keep vectors (N, D) of another model beside those that are in use.

        Those of any third model are removed.
        """
        ...

    def use_vectors(self, model: str) -> None:
        """Take the vectors of the other model into use; those before are deleted."""
        ...

    def settle(self) -> None:
        """Make what quickens search, where there is enough for it; called after adding."""
        ...

    def bytes_used(self) -> int:
        """Tell the room that the store takes, in bytes."""
        ...

    def check(self) -> list[str]:
        """Look for damage, and give a sentence for each."""
        ...
