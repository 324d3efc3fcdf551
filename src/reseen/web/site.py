"""What all requests share: the gallery, and locks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from threading import Lock
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from reseen.errors import SettingsError, StoreError, counted
from reseen.gallery.gallery import Gallery
from reseen.gallery.moments import moment
from reseen.gallery.records import Added, Crop, Match, Person, Proposal
from reseen.web.audit import Audit
from reseen.web.guard import Door, address_of
from reseen.web.uploads import Held, Limits, Upload

HELD = 64
"""Number of query pictures that are kept in memory, so that filters can be changed."""

TOP = 200
"""Maximum number of matches of a search."""


@dataclass(frozen=True, slots=True)
class Site:
    """A gallery that is served."""

    gallery: Gallery
    name: str
    door: Door
    audit: Audit
    blur: bool = False
    limits: Limits = field(default_factory=Limits)
    held: Held[Upload] = field(default_factory=lambda: Held(HELD))
    notes: Held[str] = field(default_factory=lambda: Held(HELD))
    """Messages that the page shows once after an action."""
    encoding: Any = field(default_factory=Lock)
    """Lock for computing with the encoder."""
    surveying: Any = field(default_factory=Lock)
    """Lock for work on the whole gallery: clustering and calibration."""
    version: str = version("reseen")

    def log(self, request: Request, action: str, **what: Any) -> None:
        """Record who did what."""
        self.audit.write(address_of(request.scope), request.scope["state"]["who"], action, **what)

    def log_search(
        self, request: Request, query: str, matches: Sequence[Match], how: Mapping[str, Any]
    ) -> None:
        """Record who was searched for, and who was found."""
        asked = {name: how[name] for name in ("camera", "since", "until")}
        names = {m.crop.person for m in matches if m.crop.person and m.verdict != "unknown"}
        ids = [match.crop.id for match in matches]
        self.log(request, "search", query=query, **asked, found=ids, names=sorted(names))

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of crops and people."""
        return sum(self.gallery.cameras().values()), len(self.gallery.people())

    def counts(self) -> str:
        """Describe the size of the gallery."""
        crops, people = self.sizes()
        cameras = sum(camera is not None for camera in self.gallery.cameras())
        return (
            f"{counted(crops, 'crop')}, {counted(people, 'person', 'people')} with a name, "
            f"{counted(cameras, 'camera')}"
        )

    def person(self, name: str) -> Person:
        """Return a person.

        Raises:
            HTTPException: nobody has this name (404).
        """
        for person in self.gallery.people():
            if person.name == name:
                return person
        raise HTTPException(404, f"Nobody in the gallery is called {name[:100]}.")

    def crop(self, id: str) -> Crop:
        """Return a crop.

        Raises:
            HTTPException: it does not exist (404).
        """
        try:
            return self.gallery.crop(id)
        except StoreError:
            raise HTTPException(404, f"The gallery has no crop {id[:40]}.") from None

    def add(
        self,
        uploads: Sequence[Upload],
        broken: Sequence[str],
        camera: str | None,
        time: float | None,
    ) -> Added:
        """Add uploaded pictures."""
        added = Added()
        if uploads:
            files = [(upload.name, upload.content) for upload in uploads]
            with self.encoding:
                added = self.gallery.add_files(files, camera=camera or None, time=time)
        lines = (*broken, *added.lines)
        return replace(added, broken=len(lines), lines=lines)

    def unknown(self, min_crops: int = 2) -> list[Proposal]:
        """Propose unknown people, in one request at a time."""
        with self.surveying:
            return self.gallery.unknown(min_crops)

    def forget(self, name: str) -> int:
        """Delete a person, and every picture in memory: it may show the person."""
        self.held.clear()
        return self.gallery.forget(name)


def moment_asked(text: str | None, what: str) -> float | None:
    """Parse a time like the command line (`moments.moment`); None if it is empty.

    Raises:
        HTTPException: it is not a time (422).
    """
    try:
        return moment((text or "").strip() or None, what)
    except SettingsError as error:
        raise HTTPException(422, str(error)) from None


def ids_of(site: Site, ids: Iterable[str]) -> list[str]:
    """Return the ids of crops that exist, each once.

    Raises:
        HTTPException: one does not exist (404).
    """
    return [site.crop(id).id for id in dict.fromkeys(ids)]


def _site(request: Request) -> Site:
    return request.app.state.site


TheSite = Annotated[Site, Depends(_site)]
