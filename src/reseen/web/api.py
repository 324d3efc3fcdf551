"""The REST interface: JSON in and out, for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Path, Query, Request, UploadFile
from fastapi.responses import Response

from reseen.gallery.records import Added, Crop, Cutoffs, Match, Person, Proposal, Sighting
from reseen.web.shown import drawn
from reseen.web.site import TOP, TheSite, ids_of, moment_asked
from reseen.web.uploads import read_all, read_uploads

ABOUT = (
    'Every response is JSON. Errors are returned as {"error": "..."} with a message. Times in '
    "responses are seconds since 1970 (UTC). Times in requests are ISO 8601 (2026-11-28T10:00, in "
    "the time zone of the server unless another is given), today, yesterday, or an age (2h, 30d). "
    "If the server requires a token, send it in the header Authorization: Bearer TOKEN. "
    "Similarity is not proof of identity."
)

router = APIRouter(prefix="/v1")

Pictures = Annotated[list[UploadFile], File(description="Crops of one whole person each.")]
Name = Annotated[str, Path(description="Name of a person.")]
Id = Annotated[str, Path(description="Id of a crop.")]
Camera = Annotated[str | None, Form(description="Name of a camera.")]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Features of pictures: one unit vector each, and the digest of the encoder."""

    model: str
    features: list[list[float]]


@dataclass(frozen=True, slots=True)
class Found:
    """Result for one picture: its file name or id, and its matches, the most similar first."""

    query: str
    matches: Sequence[Match]


@dataclass(frozen=True, slots=True)
class Searched:
    """Results of a search, with the thresholds of the verdicts and how they were computed."""

    cutoffs: Cutoffs
    results: Sequence[Found]


@dataclass(frozen=True, slots=True)
class Health:
    """State of the server, and the size of its gallery."""

    status: Literal["ok"]
    version: str
    model: str
    crops: int
    people: int


@router.post("/embed")
def embed(site: TheSite, request: Request, pictures: Pictures) -> Embedded:
    """Compute the features of pictures. Nothing is stored."""
    uploads = read_all(pictures, site.limits)
    with site.encoding:
        features = site.gallery.embed([upload.picture() for upload in uploads])
    site.log(request, "embed", pictures=[upload.id for upload in uploads])
    return Embedded(site.gallery.model, features.tolist())


@router.post("/search")
def search(
    site: TheSite,
    request: Request,
    pictures: Annotated[
        list[UploadFile], File(default_factory=list, description="Pictures to search for.")
    ],
    crop: Annotated[str | None, Form(description="Or the id of a crop in the gallery.")] = None,
    camera: Camera = None,
    since: Annotated[str | None, Form(description="Only crops from this time on.")] = None,
    until: Annotated[str | None, Form(description="Only crops until this time.")] = None,
    top: Annotated[int, Form(ge=1, le=TOP, description="Number of matches per picture.")] = 10,
    same_camera: Annotated[
        bool, Form(description="Also find crops of the camera that took the crop.")
    ] = True,
    rerank: Annotated[bool, Form(description="Sort by k-reciprocal re-ranking.")] = False,
) -> Searched:
    """Find the crops most similar to each picture, or to a crop in the gallery."""
    how: dict[str, Any] = dict(
        camera=camera or None,
        since=moment_asked(since, "since"),
        until=moment_asked(until, "until"),
        top=top,
        same_camera=same_camera,
        rerank=rerank,
    )
    if crop:
        queries = [site.crop(crop).id]
        matches = [site.gallery.search_crop(crop, **how)]
    else:
        uploads = read_all(pictures, site.limits)
        queries = [upload.name for upload in uploads]
        with site.encoding:
            matches = site.gallery.search([upload.picture() for upload in uploads], **how)
    results = [Found(query, found) for query, found in zip(queries, matches, strict=True)]
    for found in results:
        site.log_search(request, found.query, found.matches, how)
    return Searched(site.gallery.cutoffs, results)


@router.post("/crops")
def add_crops(
    site: TheSite,
    request: Request,
    pictures: Pictures,
    camera: Camera = None,
    time: Annotated[str | None, Form(description="When they were taken.")] = None,
) -> Added:
    """Add pictures to the gallery. Pictures that it already has are not added again."""
    uploads, broken = read_uploads(pictures, site.limits)
    added = site.add(uploads, broken, camera, moment_asked(time, "time"))
    site.log(request, "add", ids=added.ids)
    return added


@router.post("/people/{name}/crops")
def enrol(
    site: TheSite,
    request: Request,
    name: Name,
    pictures: Annotated[
        list[UploadFile], File(default_factory=list, description="Pictures of the person.")
    ],
    crops: Annotated[
        list[str], Form(default_factory=list, description="Or ids of crops in the gallery.")
    ],
    camera: Camera = None,
    time: Annotated[str | None, Form(description="When the pictures were taken.")] = None,
) -> Added:
    """Name the person in some pictures or crops. Pictures are added to the gallery first."""
    ids = ids_of(site, crops)
    added = Added(known=len(ids), ids=tuple(ids))
    if not ids:
        uploads, broken = read_uploads(pictures, site.limits)
        added = site.add(uploads, broken, camera, moment_asked(time, "time"))
    if added.ids:
        site.gallery.name(added.ids, name)
    site.log(request, "name", names=[name], ids=added.ids)
    return added


@router.get("/people")
def people(site: TheSite, request: Request) -> list[Person]:
    """List all people who have a name."""
    site.log(request, "people")
    return site.gallery.people()


@router.get("/unknown")
def unknown(
    site: TheSite,
    request: Request,
    min_crops: Annotated[int, Query(ge=2, description="Minimum number of crops of each.")] = 2,
) -> list[Proposal]:
    """List unknown people: groups of crops without a name that may show one person each."""
    found = site.unknown(min_crops)
    site.log(request, "unknown")
    return found


@router.post("/unknown/{number}")
def accept(
    site: TheSite,
    request: Request,
    number: Annotated[int, Path(description="Number of an unknown person, as listed.")],
    name: Annotated[str, Form(description="Name of the person, who may be known or new.")],
) -> dict[str, int]:
    """Name all crops of an unknown person."""
    named = site.gallery.accept(number, name)
    site.log(request, "accept", names=[name.strip()], number=number)
    return {"named": named}


@router.get("/people/{name}/sightings")
def sightings(
    site: TheSite,
    request: Request,
    name: Name,
    since: Annotated[str | None, Query(description="Only crops from this time on.")] = None,
    until: Annotated[str | None, Query(description="Only crops until this time.")] = None,
    gap: Annotated[
        float, Query(ge=0, description="Seconds without a crop after which a sighting ends.")
    ] = 60,
) -> list[Sighting]:
    """List where and when a person was seen, in chronological order."""
    site.person(name)
    when = moment_asked(since, "since"), moment_asked(until, "until")
    found = site.gallery.seen(name, since=when[0], until=when[1], gap=gap)
    site.log(request, "sightings", names=[name], since=when[0], until=when[1])
    return found


@router.delete("/people/{name}")
def forget(site: TheSite, request: Request, name: Name) -> dict[str, int]:
    """Delete a person with all crops, pictures and features. This cannot be undone."""
    site.person(name)
    deleted = site.forget(name)
    site.log(request, "forget", names=[name])
    return {"deleted": deleted}


@router.get("/crops/{id}")
def crop(site: TheSite, request: Request, id: Id) -> Crop:
    """Return what is known about a crop."""
    found = site.crop(id)
    site.log(request, "crop", ids=[id], names=[found.person] if found.person else [])
    return found


@router.get(
    "/crops/{id}/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
)
def picture(site: TheSite, request: Request, id: Id) -> Response:
    """Return the picture of a crop as a JPEG without metadata."""
    site.crop(id)
    content = drawn(site.gallery.picture(id), blur=site.blur, size=None)
    site.log(request, "picture", ids=[id])
    return Response(content, media_type="image/jpeg")


@router.get("/threshold")
def threshold(site: TheSite) -> Cutoffs:
    """Return the thresholds of the verdicts, and how they were computed."""
    return site.gallery.cutoffs


@router.get("/health")
def health(site: TheSite) -> Health:
    """Check that the server works."""
    crops, people = site.sizes()
    return Health("ok", site.version, site.gallery.model, crops, people)
