"""The application: all routes, behind their guard."""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from reseen.errors import ReseenError
from reseen.gallery.gallery import Gallery
from reseen.web import api, pages
from reseen.web.audit import FILE, Audit
from reseen.web.guard import Door, Guard
from reseen.web.site import Site
from reseen.web.uploads import Limits

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine for itself."""

STATIC: dict[str, tuple[str, str, str]] = {
    "page.css": ("reseen.report", "page.css", "text/css"),
    "web.css": ("reseen.web", "static/web.css", "text/css"),
    "web.js": ("reseen.web", "static/web.js", "text/javascript"),
    "htmx.min.js": ("reseen.web", "static/htmx.min.js", "text/javascript"),
    "icon.svg": ("reseen.web", "static/icon.svg", "image/svg+xml"),
}
"""Files of the page: package, path in it, content type. No other files can be requested."""


def create_app(
    gallery: Gallery,
    *,
    token: str | None = None,
    hosts: Iterable[str] | None = LOOPBACK,
    blur: bool = False,
    audit: bool = True,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> Guard:
    """Create the ASGI application that serves a gallery, as a page and as a REST service.

    Args:
        gallery: open; the caller closes it.
        token: which every client must send; None allows everybody.
        hosts: host names that are accepted; None accepts all, which is only safe with a token.
        blur: whether to blur the upper quarter of every crop that is sent.
        audit: whether to record searches in audit.jsonl in the folder of the gallery.
        limits: of a request.

    Raises:
        SettingsError: the token is too short.
    """
    door = Door(token)
    log = Audit(gallery.folder / FILE if audit else None)
    site = Site(gallery, gallery.folder.resolve().name, door, log, blur, limits)
    app = FastAPI(
        title="reseen gallery",
        version=site.version,
        description=api.ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.site = site
    app.include_router(api.router)
    app.include_router(pages.router, include_in_schema=False)
    app.add_api_route("/static/{name}", static, include_in_schema=False)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ReseenError, _refused)
    app.add_exception_handler(Exception, _failed)
    return Guard(app, door, None if hosts is None else frozenset(hosts), limits.bytes)


def static(name: str) -> Response:
    """Return a file of STATIC."""
    if name not in STATIC:
        raise HTTPException(404, "There is no such file.")
    package, place, kind = STATIC[name]
    content = files(package).joinpath(place).read_bytes()
    return Response(content, 200, {"cache-control": "no-cache"}, f"{kind}; charset=utf-8")


def _said(request: Request, status: int, why: str, headers: Any = None) -> Response:
    if request.url.path.startswith("/v1/"):
        return JSONResponse({"error": why}, status, headers)
    answer = pages.error(request, status, why)
    answer.headers.update(headers or {})
    return answer


async def _http_error(request: Request, error: Any) -> Response:
    why = error.detail
    if error.status_code == 404 and why == "Not Found":
        why = f"There is no page {request.url.path[:200]}."
    return _said(request, error.status_code, why, error.headers)


async def _invalid(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return _said(request, 422, f"{field or 'The request'}: {first['msg'].rstrip('.')}.")


async def _refused(request: Request, error: Exception) -> Response:
    return _said(request, 400, str(error))


async def _failed(request: Request, error: Exception) -> Response:
    why = "An error occurred on the server. See the terminal in which it was started."
    return _said(request, 500, why)
