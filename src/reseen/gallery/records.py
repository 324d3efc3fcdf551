"""The frozen records of a gallery: what is kept, and what is answered; knows no torch, no store."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

Verdict = Literal["same", "maybe", "unknown"]
"""What a similarity says by the gallery's cut-offs."""


def id_of(content: bytes) -> str:
    """Give the id of a picture: the first 32 hexadecimal digits of its bytes' SHA-256."""
    return sha256(content).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Crop:
    """One picture in a gallery, and what is known about it."""

    id: str
    """Made of the picture's bytes (`id_of`)."""
    camera: str | None = None
    """Name of the camera, or None where it is unknown."""
    time: float | None = None
    """When it was taken, in seconds since 1970 (UTC), or None."""
    tracklet: str | None = None
    """Name of the tracklet that it is a frame of, unique within its camera, or None."""
    source: str = ""
    """The file that it came from."""
    frame: int | None = None
    """Number of the frame in its source, where the source is a video."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom in its source, in pixels."""
    person: str | None = None
    """Name of the person, or None where nobody said it."""
    by: Literal["hand", "proposed"] | None = None
    """How the name came: crop by crop by hand, or by accepting a proposal as a whole."""
    ignored: bool = False
    """Whether it is left out of searches and proposals; it still counts as a stranger."""
    added: float = 0.0
    """When it was added, in seconds since 1970 (UTC)."""


@dataclass(frozen=True, slots=True)
class Match:
    """One crop that was found, and how far it may be believed."""

    crop: Crop
    similarity: float
    """Cosine of the two features, -1 to 1. Not proof of identity."""
    verdict: Verdict
    """What the similarity says by the gallery's cut-offs."""
    rank: int
    """Its place among the matches, from 1."""


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
    """One stay of a person before one camera: crops without a longer gap."""

    camera: str | None
    begin: float | None
    """Time of the first crop, in seconds since 1970 (UTC); None where times are unknown."""
    end: float | None
    crops: tuple[Crop, ...]
    similarity: float
    """The highest of its crops; 1 where one of them carries the name."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Proposal:
    """Crops without a name that may show one person, for a human to look at."""

    number: int
    crops: tuple[str, ...]
    """Their ids."""
    cameras: tuple[str, ...]
    first: float | None
    last: float | None
    like: str | None = None
    """Name of the known person that they look like, where that is the same or maybe the same."""
    similarity: float | None = None
    """How much: the median over the crops of the highest similarity to a crop of that person."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of pictures that were to be added."""

    new: int = 0
    known: int = 0
    """Pictures whose very bytes were there before."""
    broken: int = 0
    """Pictures that cannot be read."""
    lines: tuple[str, ...] = ()
    """Which ones are broken, and why."""
    ids: tuple[str, ...] = ()
    """Of all that are in the gallery now, in the order in which they were given."""


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """From which similarity on a match is called the same person, or maybe the same."""

    same: float
    maybe: float
    source: str
    """Where they come from, in a sentence: numbers of pairs, interval."""
    floor: float | None = None
    """The similarity that wrong pairs reach: `same` is never below it."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Other numbers that were measured."""

    def verdict(self, similarity: float) -> Verdict:
        """Say what a similarity means."""
        if similarity >= self.same:
            return "same"
        return "maybe" if similarity >= self.maybe else "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that a person decided about crops, and what was before."""

    verb: str
    """name, unname, deny, ignore, merge ..."""
    said: str
    """The decision in words."""
    at: float
    """When, in seconds since 1970 (UTC)."""
    names: tuple[str, ...]
    """People of whom it speaks."""
    before: dict[str, tuple[str | None, str | None, bool]]
    """Person, by and ignored of each crop before, by id."""
    denied: tuple[tuple[str, str], ...] = ()
    """Pairs of crop id and name that were denied by it."""
    allowed: tuple[tuple[str, str], ...] = ()
    """Pairs whose denial it took back."""
