"""What all requests share: the gallery, and how several use it at a time."""

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
"""Pictures that were searched for and are kept in memory, so that filters can be changed."""

TOP = 200
"""Most crops that one search gives."""


@dataclass(frozen=True, slots=True)
class Site:
    """One gallery that is served."""

    gallery: Gallery
    name: str
    door: Door
    audit: Audit
    blur: bool = False
    limits: Limits = field(default_factory=Limits)
    held: Held[Upload] = field(default_factory=lambda: Held(HELD))
    notes: Held[str] = field(default_factory=lambda: Held(HELD))
    """What the page says once, after something was done."""
    encoding: Any = field(default_factory=Lock)
    """Held by the one request that computes with the encoder."""
    surveying: Any = field(default_factory=Lock)
    """Held by the one request that looks at the whole gallery: clusters it, or calibrates."""
    version: str = version("reseen")

    def log(self, request: Request, action: str, **what: Any) -> None:
        """Write who did what."""
        self.audit.write(address_of(request.scope), request.scope["state"]["who"], action, **what)

    def log_search(
        self, request: Request, query: str, matches: Sequence[Match], how: Mapping[str, Any]
    ) -> None:
        """Write who was looked for, and who was found."""
        asked = {name: how[name] for name in ("camera", "since", "until")}
        names = {m.crop.person for m in matches if m.crop.person and m.verdict != "unknown"}
        ids = [match.crop.id for match in matches]
        self.log(request, "search", query=query, **asked, found=ids, names=sorted(names))

    def sizes(self) -> tuple[int, int]:
        """Count crops and people."""
        return sum(self.gallery.cameras().values()), len(self.gallery.people())

    def counts(self) -> str:
        """Say how much the gallery holds."""
        crops, people = self.sizes()
        cameras = sum(camera is not None for camera in self.gallery.cameras())
        return (
            f"{counted(crops, 'crop')}, {counted(people, 'person', 'people')} with a name, "
            f"{counted(cameras, 'camera')}"
        )

    def person(self, name: str) -> Person:
        """Give a person.

        Raises:
            HTTPException: nobody has this name (404).
        """
        for person in self.gallery.people():
            if person.name == name:
                return person
        raise HTTPException(404, f"Nobody in the gallery is called {name[:100]}.")

    def crop(self, id: str) -> Crop:
        """Give a crop.

        Raises:
            HTTPException: it is not there (404).
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
        """Add pictures that were sent."""
        added = Added()
        if uploads:
            files = [(upload.name, upload.content) for upload in uploads]
            with self.encoding:
                added = self.gallery.add_files(files, camera=camera or None, time=time)
        lines = (*broken, *added.lines)
        return replace(added, broken=len(lines), lines=lines)

    def unknown(self, min_crops: int = 2) -> list[Proposal]:
        """Propose unknown people, for one request at a time."""
        with self.surveying:
            return self.gallery.unknown(min_crops)

    def forget(self, name: str) -> int:
        """Delete a person, and every picture that is held in memory: it may show the person."""
        self.held.clear()
        return self.gallery.forget(name)


def moment_asked(text: str | None, what: str) -> float | None:
    """Read a time as the command line does (`moments.moment`); None where it is empty.

    Raises:
        HTTPException: it is none (422).
    """
    try:
        return moment((text or "").strip() or None, what)
    except SettingsError as error:
        raise HTTPException(422, str(error)) from None


def ids_of(site: Site, ids: Iterable[str]) -> list[str]:
    """Give the ids of crops that are there, each once.

    Raises:
        HTTPException: one is not there (404).
    """
    return [site.crop(id).id for id in dict.fromkeys(ids)]


def _site(request: Request) -> Site:
    return request.app.state.site


TheSite = Annotated[Site, Depends(_site)]
