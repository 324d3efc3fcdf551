"""The page: plain forms that work without scripts, which htmx makes faster."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException

from reseen.errors import counted
from reseen.gallery.records import Crop, Match, Sighting
from reseen.web import shown
from reseen.web.description import calls, records
from reseen.web.guard import COOKIE, SESSION, address_of, local, session_of
from reseen.web.shown import Bar
from reseen.web.site import TOP, Site, TheSite, ids_of, moment_asked
from reseen.web.uploads import read_all, read_uploads

BROWSED = 60
"""Number of crops on a page of all crops."""

PROPOSED, OF_EACH = 20, 24
"""Number of unknown people on their page, and of crops of each."""

router = APIRouter()

Ids = Annotated[list[str], Form(default_factory=list)]
Text = Annotated[str, Form()]
Files = Annotated[list[UploadFile], File()]
Asked = Annotated[str, Query()]

PAGES = Environment(
    loader=PackageLoader("reseen.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters |= {
    "at": shown.at,
    "cameras": shown.cameras_said,
    "crops": lambda number: counted(number, "crop"),
    "moment": shown.moment,
    "person_url": lambda name: f"/person?{urlencode({'name': name})}",
    "sightings": lambda number: counted(number, "sighting"),
    "stamp": lambda time: _attribute("datetime", shown.stamp(time)),
    "symbol": lambda verdict: shown.SYMBOLS[verdict],
}


def _attribute(name: str, value: str) -> Markup:
    return Markup(f' {name}="{escape(value)}"') if value else Markup("")


def render(request: Request, template: str, status: int = 200, **what: Any) -> Response:
    """Return a page."""
    site: Site = request.app.state.site
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    text = PAGES.get_template(template).render(
        site=site,
        request=request,
        inside=what.pop("inside", True),
        said=site.notes.get(request.query_params.get("said", "")),
        back=lambda: Markup(f'<input type="hidden" name="back" value="{escape(_unsaid(here))}">'),
        **what,
    )
    return Response(text, status, media_type="text/html; charset=utf-8")


def error(request: Request, status: int, why: str) -> Response:
    """Return a page with an error message."""
    titles = {
        401: "Please log in",
        404: "Not found",
        413: "Too much data",
        429: "Too many attempts",
        500: "Server error",
    }
    came = urlsplit(request.headers.get("referer", ""))
    back = local(came.path + (f"?{came.query}" if came.query else ""))
    inside = status != 500 and request.scope.get("state", {}).get("who") is not None
    title = titles.get(status, "This did not work")
    return render(request, "error.html", status, title=title, why=why, back_to=back, inside=inside)


def _unsaid(path: str) -> str:
    """Remove a message from an address."""
    parts = urlsplit(path)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name != "said"]
    return parts.path + (f"?{urlencode(kept)}" if kept else "")


def _go(request: Request, said: str | None, to: str) -> Response:
    """Redirect to a page that shows a message once."""
    to = _unsaid(local(to))
    if said:
        to += ("&" if "?" in to else "?") + urlencode(
            {"said": request.app.state.site.notes.keep(said)}
        )
    return RedirectResponse(to, 303)


def _stay(request: Request, said: str | None, back: str) -> Response:
    """Return to the page of a form; htmx knows its address better, because filters change it."""
    current = urlsplit(request.headers.get("hx-current-url", ""))
    here = current.path + (f"?{current.query}" if current.query else "")
    return _go(request, said, here or back)


# Login.


@router.get("/login")
def login_form(request: Request, back: str = "/") -> Response:
    """Show the login form."""
    return render(request, "login.html", inside=False, wanted=local(back))


@router.post("/login")
def login(
    request: Request, site: TheSite, token: Text, who: Text = "", back: Text = "/"
) -> Response:
    """Log a client in that sends the token."""
    who = " ".join(who.split())[:100]
    client = address_of(request.scope)
    if not site.door.right(token.strip(), client):
        site.audit.write(client, who, "refused")
        raise HTTPException(403, "Wrong token. The server printed the token when it started.")
    site.audit.write(client, who, "login")
    answer = RedirectResponse(local(back), 303)
    answer.set_cookie(
        *(COOKIE, site.door.enter(who), SESSION),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
def logout(request: Request, site: TheSite) -> Response:
    """End a session."""
    site.door.leave(session_of(request.headers))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


# Reading.


@dataclass(frozen=True, slots=True)
class Group:
    """Matches of one camera."""

    camera: str | None
    matches: Sequence[Match]

    @property
    def label(self) -> str:
        """Number of matches, and the best similarity."""
        best = max(match.similarity for match in self.matches)
        return f"{counted(len(self.matches), 'crop')}, best {best:.2f}"


@router.get("/")
def search_page(
    request: Request,
    site: TheSite,
    crop: str = "",
    picture: str = "",
    camera: str = "",
    since: str = "",
    until: str = "",
    top: Annotated[int, Query(ge=1, le=TOP)] = 24,
    rerank: str = "",
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Search by a crop or a picture; without one, list crops to choose from."""
    when: dict[str, Any] = dict(since=moment_asked(since, "From"), until=moment_asked(until, "To"))
    asked = dict(camera=camera, **_fields(when), top=top, rerank=bool(rerank))
    cameras = sorted(c for c in site.gallery.cameras() if c is not None)
    what: dict[str, Any] = dict(asked=asked, cameras=cameras, query=None)
    if not (crop or picture):
        found = site.gallery.crops(camera=camera or None, **when, limit=BROWSED + 1, offset=offset)
        here = {k: v for k, v in dict(camera=camera, since=since, until=until).items() if v}
        pages = _pages(here, offset, len(found) > BROWSED)
        empty = not (found or camera or since or until or offset)
        return render(
            request, "search.html", crops=found[:BROWSED], page=pages, empty=empty, **what
        )
    how: dict[str, Any] = dict(camera=camera or None, **when, top=top, rerank=bool(rerank))
    query: dict[str, Any]
    if crop:
        query = dict(crop=site.crop(crop), picture="", id=crop)
        matches = site.gallery.search_crop(crop, **how)
    else:
        held = site.held.get(picture)
        if held is None:
            raise HTTPException(404, "This picture is no longer in memory. Upload it again.")
        query = dict(crop=None, picture=picture, id=held.id)
        with site.encoding:
            matches = site.gallery.search([held.picture()], **how)[0]
    site.log_search(request, query["id"], matches, how)
    cutoffs = site.gallery.cutoffs
    likely = [match for match in matches if match.verdict != "unknown"]
    rest = [match for match in matches if match.verdict == "unknown"]
    by_camera: dict[str | None, list[Match]] = {}
    for match in likely:
        by_camera.setdefault(match.crop.camera, []).append(match)
    groups = [Group(of, found) for of, found in by_camera.items()]
    anchors = {group.camera: f"#camera-{place}" for place, group in enumerate(groups, 1)}
    bars = [
        Bar(m.crop.camera, m.crop.time, m.crop.time, m.verdict, anchors[m.crop.camera])
        for m in likely
        if m.crop.time is not None
    ]
    query["answer"] = answer(query["crop"], matches)
    what["query"] = query
    return render(
        request,
        "search.html",
        **what,
        groups=groups,
        rest=rest,
        rest_label=f"{counted(len(rest), 'crop')} below the thresholds: not similar enough to tell",
        lanes=shown.timeline(bars, len(likely) - len(bars)),
        people=site.gallery.people(),
        cutoffs_said=(
            f"✓ same from {cutoffs.same:.2f}, ? maybe from {cutoffs.maybe:.2f}. {cutoffs.source}"
        ),
    )


def _fields(when: Mapping[str, float | None]) -> dict[str, str]:
    return {name: shown.field(time) for name, time in when.items()}


def _pages(here: Mapping[str, str], offset: int, more: bool) -> dict[str, Any]:
    def address(start: int) -> str:
        return f"/?{urlencode({**here, 'offset': start})}"

    return dict(
        label=f"from number {offset + 1:,}" if offset else "",
        before=address(max(0, offset - BROWSED)) if offset else None,
        after=address(offset + BROWSED) if more else None,
    )


def answer(crop: Crop | None, matches: Sequence[Match]) -> str:
    """Say in a sentence or two who this is, and how often the person was found."""
    if not matches:
        return "There are no crops to compare it with."
    verdicts = Counter(match.verdict for match in matches)
    cameras = {m.crop.camera for m in matches if m.verdict != "unknown"}
    named = [m for m in matches if m.crop.person is not None and m.verdict != "unknown"]
    if crop is not None and crop.person is not None:
        first = f"This crop was named {crop.person}."
    elif named:
        best = max(named, key=lambda match: match.similarity)
        sure = "✓ Likely" if best.verdict == "same" else "? Maybe"
        first = f"{sure} {best.crop.person}: similarity {best.similarity:.2f}."
    else:
        first = "○ Nobody with a name is similar enough."
    if not verdicts["same"] and not verdicts["maybe"]:
        return f"{first} No crop is similar enough. The most similar ones are shown below."
    parts = [
        counted(verdicts[verdict], f"crop is {word}", f"crops are {word}")
        for verdict, word in (("same", "likely the same person"), ("maybe", "maybe the same"))
        if verdicts[verdict]
    ]
    return f"{first} {' and '.join(parts)}, at {counted(len(cameras), 'camera')}."


@router.post("/search")
def search(request: Request, site: TheSite, picture: Files) -> Response:
    """Accept a picture to search for; it is kept in memory only."""
    upload = read_all(picture[:1], site.limits)[0]
    if site.gallery.store.known([upload.id]):
        return RedirectResponse(f"/?{urlencode({'crop': upload.id})}", 303)
    name = site.held.keep(upload, len(upload.content))
    return RedirectResponse(f"/?{urlencode({'picture': name})}", 303)


@router.get("/pictures/{id}")
def stored_picture(site: TheSite, id: str) -> Response:
    """Return the picture of a crop, as it is shown on the page."""
    site.crop(id)
    return Response(shown.drawn(site.gallery.picture(id), blur=site.blur), media_type="image/jpeg")


@router.get("/held/{name}")
def held_picture(site: TheSite, name: str) -> Response:
    """Return a picture that was searched for."""
    held = site.held.get(name)
    if held is None:
        raise HTTPException(404, "This picture is no longer in memory. Upload it again.")
    return Response(shown.drawn(held.content, blur=site.blur), media_type="image/jpeg")


@router.get("/people")
def people_page(request: Request, site: TheSite) -> Response:
    """List people with a name."""
    people = sorted(site.gallery.people(), key=lambda person: person.ignored)
    faces = {p.name: [c.id for c in site.gallery.crops(person=p.name, limit=1)] for p in people}
    site.log(request, "people")
    return render(request, "people.html", people=people, faces={n: f[0] for n, f in faces.items()})


@dataclass(frozen=True, slots=True)
class Stay:
    """A sighting on the page of a person."""

    number: int
    seen: Sighting
    label: str
    similarity: str


@router.get("/person")
def person_page(
    request: Request, site: TheSite, name: str, since: str = "", until: str = ""
) -> Response:
    """Show where a person was seen."""
    person = site.person(name)
    when: dict[str, Any] = dict(since=moment_asked(since, "From"), until=moment_asked(until, "To"))
    found = site.gallery.seen(name, **when)
    site.log(request, "sightings", names=[name], **when)
    sure: dict[str | None, list[Stay]] = {}
    maybe: dict[str | None, list[Stay]] = {}
    bars = []
    for number, seen in enumerate(found, 1):
        hand = any(crop.person == name for crop in seen.crops)
        label = "has the name" if hand else f"similarity {seen.similarity:.2f}"
        span = shown.span(seen.begin, seen.end)
        part = sure if seen.verdict == "same" else maybe
        part.setdefault(seen.camera, []).append(Stay(number, seen, span, label))
        if seen.begin is not None and seen.end is not None:
            href = f"#sighting-{number}"
            bars.append(Bar(seen.camera, seen.begin, seen.end, seen.verdict, href))
    return render(
        request,
        "person.html",
        person=person,
        people=site.gallery.people(),
        asked=_fields(when),
        sure=sure,
        maybe=maybe,
        maybe_label=f"{counted(sum(map(len, maybe.values())), 'sighting')} that may show {name}: "
        "look closely",
        lanes=shown.timeline(bars, len(found) - len(bars)),
    )


@router.get("/unknown")
def unknown_page(request: Request, site: TheSite, now: str = "") -> Response:
    """Show unknown people; their list, which can take long, is loaded separately."""
    proposals, more = _proposals(request, site) if now else (None, 0)
    people = site.gallery.people()
    return render(request, "unknown.html", people=people, proposals=proposals, more=more)


@router.get("/unknown/list")
def unknown_list(request: Request, site: TheSite) -> Response:
    """Return the list of unknown people, for their page."""
    proposals, more = _proposals(request, site)
    return render(request, "proposals.html", proposals=proposals, more=more)


def _proposals(request: Request, site: Site) -> tuple[list[dict[str, Any]], int]:
    found = site.unknown()
    site.log(request, "unknown")
    shown_now = found[:PROPOSED]
    proposals = [
        dict(
            number=proposal.number,
            crops=[site.crop(id) for id in proposal.crops[:OF_EACH]],
            label=_proposal_said(proposal),
        )
        for proposal in shown_now
    ]
    return proposals, len(found) - len(shown_now)


def _proposal_said(proposal: Any) -> str:
    more = len(proposal.crops) - OF_EACH
    parts = [
        counted(len(proposal.crops), "crop") + (f", {OF_EACH} of them shown" if more > 0 else ""),
        shown.cameras_said(proposal.cameras),
        shown.span(proposal.first, proposal.last) if proposal.first is not None else "",
        f"? maybe {proposal.like}: similarity {proposal.similarity:.2f}" if proposal.like else "",
    ]
    return "; ".join(filter(None, parts))


@router.get("/cutoffs")
def cutoffs_page(request: Request, site: TheSite) -> Response:
    """Show the thresholds, and what they mean."""
    return render(
        request,
        "cutoffs.html",
        cutoffs=site.gallery.cutoffs,
        overlapping=site.gallery.overlapping,
        cameras=sum(camera is not None for camera in site.gallery.cameras()),
    )


@router.get("/cutoffs/picture")
def cutoffs_picture(site: TheSite) -> Response:
    """Return a plot of the similarities of pairs of crops, with the thresholds."""
    from reseen.report.calibration import draw_cutoffs  # slow to import

    cutoffs = site.gallery.cutoffs
    with site.surveying:  # and matplotlib draws one figure at a time
        kinds = site.gallery.evidence().kinds
        svg = draw_cutoffs(kinds, cutoffs.same, cutoffs.maybe) if kinds else ""
    return Response(shown.without_style(svg), media_type="text/html; charset=utf-8")


@router.post("/calibrate")
def calibrate(
    request: Request, site: TheSite, rate: Annotated[float, Form()], overlapping: Text = ""
) -> Response:
    """Compute the thresholds again."""
    with site.surveying:
        if site.gallery.overlapping != bool(overlapping):
            site.gallery.overlapping = bool(overlapping)
        found = site.gallery.calibrate(false_match_rate=rate)
    site.log(request, "calibrate", said=f"same {found.same:.4f}, maybe {found.maybe:.4f}")
    said = f"Calibrated: same from {found.same:.3f}, maybe from {found.maybe:.3f}."
    return _go(request, said, "/cutoffs")


@router.get("/api")
def api_page(request: Request) -> Response:
    """Show the description of the REST interface, made from its OpenAPI schema."""
    schema = request.app.openapi()
    about = schema["info"]["description"]
    return render(request, "api.html", about=about, calls=calls(schema), records=records(schema))


# Adding and decisions.


@router.get("/add")
def add_page(request: Request, site: TheSite) -> Response:
    """Show the form for adding pictures."""
    cameras = sorted(c for c in site.gallery.cameras() if c is not None)
    people = site.gallery.people()
    return render(request, "add.html", cameras=cameras, people=people)


@router.post("/add")
def add(
    request: Request,
    site: TheSite,
    pictures: Files,
    camera: Text = "",
    time: Text = "",
    name: Text = "",
) -> Response:
    """Add pictures."""
    uploads, broken = read_uploads(pictures, site.limits)
    added = site.add(uploads, broken, camera.strip(), moment_asked(time, "Time"))
    site.log(request, "add", ids=added.ids)
    said = f"{counted(added.new, 'picture')} added."
    if added.known:
        said += f" {counted(added.known, 'was', 'were')} already in the gallery."
    if added.broken:
        said += f" Not added: {'; '.join(added.lines[:5])}."
    if name.strip() and added.ids:
        site.gallery.name(added.ids, name)
        site.log(request, "name", names=[name.strip()], ids=added.ids)
        said += f" They were named {name.strip()}."
    return _go(request, said, "/add")


def _ticked(site: Site, crop: Sequence[str]) -> list[str]:
    ids = ids_of(site, crop)
    if not ids:
        raise HTTPException(422, "No crop is ticked. Tick one or more crops first.")
    return ids


def _named(name: str) -> str:
    if not name.strip():
        raise HTTPException(422, "No name is given. Enter it in the field Name.")
    return name.strip()


@router.post("/name")
def name_crops(
    request: Request,
    site: TheSite,
    crop: Ids,
    query: Text = "",
    picture: Text = "",
    name: Text = "",
    person: Text = "",
    back: Text = "/",
) -> Response:
    """Name the person in the ticked crops, and in the query if it has no name yet."""
    who = _named(name or person)
    ids = ids_of(site, crop)
    if query and site.crop(query).person is None:
        ids.append(query)
    held = site.held.get(picture) if picture else None
    if held is not None:
        ids += site.add([held], [], None, None).ids
    ids = _ticked(site, ids)
    site.gallery.name(ids, who)
    site.log(request, "name", names=[who], ids=ids)
    said = f"{counted(len(ids), 'crop was', 'crops were')} named {who}."
    if held is not None:
        return _go(request, said, f"/?{urlencode({'crop': held.id})}")
    return _stay(request, said, back)


@router.post("/accept")
def accept(
    request: Request,
    site: TheSite,
    crop: Ids,
    name: Text = "",
    back: Text = "/",
) -> Response:
    """Name an unknown person."""
    who, ids = _named(name), _ticked(site, crop)
    site.gallery.accept(ids, who)
    site.log(request, "accept", names=[who], ids=ids)
    return _stay(request, f"{counted(len(ids), 'crop was', 'crops were')} named {who}.", back)


@router.post("/deny")
def deny(
    request: Request,
    site: TheSite,
    crop: Ids,
    name: Text = "",
    person: Text = "",
    back: Text = "/",
) -> Response:
    """Record that the ticked crops do not show a person."""
    who, ids = _named(name or person), _ticked(site, crop)
    site.gallery.deny(who, ids)
    site.log(request, "deny", names=[who], ids=ids)
    said = f"{counted(len(ids), 'crop was', 'crops were')} recorded as not {who}."
    return _stay(request, said, back)


@router.post("/unname")
def unname(request: Request, site: TheSite, crop: Ids, back: Text = "/") -> Response:
    """Remove the names of the ticked crops."""
    ids = _ticked(site, crop)
    site.gallery.unname(ids)
    site.log(request, "unname", ids=ids)
    return _stay(request, f"{counted(len(ids), 'crop has', 'crops have')} no name any more.", back)


@router.post("/ignore")
def ignore(
    request: Request,
    site: TheSite,
    crop: Ids,
    whole: Text = "",
    back: Text = "/",
) -> Response:
    """Exclude the ticked crops, or a whole person, from searches."""
    what = site.person(whole).name if whole else _ticked(site, crop)
    number = site.gallery.ignore(what)
    site.log(request, "ignore", **({"names": [whole]} if whole else {"ids": what}))
    said = f"{counted(number, 'crop is', 'crops are')} ignored in searches now."
    return _stay(request, said, back)


@router.post("/unignore")
def unignore(request: Request, site: TheSite, whole: Text, back: Text = "/") -> Response:
    """Include a person in searches again."""
    number = site.gallery.unignore(site.person(whole).name)
    site.log(request, "unignore", names=[whole])
    said = f"{counted(number, 'crop is', 'crops are')} included in searches again."
    return _stay(request, said, back)


@router.post("/split")
def split(
    request: Request,
    site: TheSite,
    person: Text,
    crop: Ids,
    other: Text = "",
    back: Text = "/",
) -> Response:
    """Move the ticked crops of a person to another person."""
    who, ids = _named(other), _ticked(site, crop)
    if any(known.name == who for known in site.gallery.people()):
        site.gallery.name(ids, who)
    else:
        site.gallery.split(person, ids, who)
    site.log(request, "split", names=[person, who], ids=ids)
    return _stay(request, f"{counted(len(ids), 'crop was', 'crops were')} named {who}.", back)


@router.post("/rename")
def rename(request: Request, site: TheSite, person: Text, name: Text) -> Response:
    """Rename a person."""
    who = _named(name)
    site.gallery.rename(person, who)
    site.log(request, "rename", names=[person, who])
    return _go(request, f"{person} was renamed to {who}.", f"/person?{urlencode({'name': who})}")


@router.post("/merge")
def merge(request: Request, site: TheSite, person: Text, into: Text) -> Response:
    """Merge two people."""
    site.gallery.merge(person, into)
    site.log(request, "merge", names=[person, into])
    said = f"{person} was merged into {into}."
    return _go(request, said, f"/person?{urlencode({'name': into})}")


@router.post("/forget")
def forget(request: Request, site: TheSite, person: Text, sure: Text = "") -> Response:
    """Delete a person permanently."""
    site.person(person)
    if sure != "yes":
        raise HTTPException(422, "Nothing was deleted. To delete the person, tick the box first.")
    number = site.forget(person)
    site.log(request, "forget", names=[person])
    return _go(request, f"{counted(number, 'crop')} of {person} permanently deleted.", "/people")


@router.post("/undo")
def undo(request: Request, site: TheSite, back: Text = "/") -> Response:
    """Undo the last decision."""
    last = site.gallery.undo()
    site.log(request, "undo", said=last)
    said = f"Undone: {last}." if last else "There is nothing to undo."
    return _stay(request, said, back)
