"""The frozen records of a gallery: what it stores and returns, without torch or a database."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

Verdict = Literal["same", "maybe", "unknown"]
"""What a similarity means by the gallery's thresholds."""


def id_of(content: bytes) -> str:
    """Return the id of a picture: the first 32 hexadecimal digits of the SHA-256 of its bytes."""
    return sha256(content).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Crop:
    """One picture in a gallery, and what is known about it."""

    id: str
    """Computed from the bytes of the picture (`id_of`)."""
    camera: str | None = None
    """Name of the camera, or None if unknown."""
    time: float | None = None
    """When it was taken, in seconds since 1970 (UTC), or None."""
    tracklet: str | None = None
    """Name of the tracklet it belongs to, unique within its camera, or None."""
    source: str = ""
    """File from which it was added."""
    frame: int | None = None
    """Number of the frame in the source, if that is a video."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom in the source, in pixels."""
    person: str | None = None
    """Name of the person, or None if it has no name."""
    by: Literal["hand", "proposed"] | None = None
    """How it was named: by hand, or by accepting a proposal as a whole."""
    ignored: bool = False
    """Whether it is left out of searches and proposals. It still counts as a stranger."""
    added: float = 0.0
    """When it was added, in seconds since 1970 (UTC)."""


@dataclass(frozen=True, slots=True)
class Match:
    """One crop that was found by a search."""

    crop: Crop
    similarity: float
    """Cosine similarity of the two features, -1 to 1. Not proof of identity."""
    verdict: Verdict
    """What the similarity means by the gallery's thresholds."""
    rank: int
    """Rank among the matches, from 1."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has a name in the gallery."""

    name: str
    crops: int
    cameras: tuple[str, ...]
    first: float | None
    """Time of the first crop that has one, in seconds since 1970 (UTC)."""
    last: float | None
    ignored: bool
    """Whether all crops of this person are ignored."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A period in which one camera saw a person without a longer gap."""

    camera: str | None
    begin: float | None
    """Time of the first crop, in seconds since 1970 (UTC); None if times are unknown."""
    end: float | None
    crops: tuple[Crop, ...]
    similarity: float
    """The highest similarity of its crops; 1 if one of them has the name."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Proposal:
    """A group of crops without a name that may show one person, to be checked by a human."""

    number: int
    crops: tuple[str, ...]
    """Their ids."""
    cameras: tuple[str, ...]
    first: float | None
    last: float | None
    like: str | None = None
    """Name of the most similar named person, if the verdict is same or maybe."""
    similarity: float | None = None
    """Median over the crops of the highest similarity to a crop of that person."""


@dataclass(frozen=True, slots=True)
class Added:
    """Result of adding pictures."""

    new: int = 0
    known: int = 0
    """Number of pictures that were already in the gallery."""
    broken: int = 0
    """Number of pictures that cannot be read."""
    lines: tuple[str, ...] = ()
    """Which pictures cannot be read, and why."""
    ids: tuple[str, ...] = ()
    """Ids of all given pictures that are in the gallery now, in the order given."""


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """The similarity thresholds from which a match is called same or maybe."""

    same: float
    maybe: float
    source: str
    """How they were computed, in a sentence."""
    floor: float | None = None
    """The highest similarity of a wrong pair of a named person. `same` is above it, unless it was
    calibrated without a floor."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Other measurements."""

    def verdict(self, similarity: float) -> Verdict:
        """Return the verdict of a similarity."""
        if similarity >= self.same:
            return "same"
        return "maybe" if similarity >= self.maybe else "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about crops, and their state before it."""

    verb: str
    """name, unname, deny, ignore, merge ..."""
    said: str
    """Description of the decision."""
    at: float
    """Time, in seconds since 1970 (UTC)."""
    names: tuple[str, ...]
    """Names of the people concerned."""
    before: dict[str, tuple[str | None, str | None, bool]]
    """Person, by and ignored of each crop before the decision, by id."""
    denied: tuple[tuple[str, str], ...] = ()
    """Pairs of crop id and name that it denied."""
    allowed: tuple[tuple[str, str], ...] = ()
    """Pairs whose denial it removed."""
