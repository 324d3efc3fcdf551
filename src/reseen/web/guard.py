"""Checks of every request: hosts, tokens, forms of other sites, sizes, and headers."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address
from math import ceil
from threading import Lock
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reseen.errors import SettingsError

COOKIE = "reseen"
"""Cookie with the session of a browser that has logged in."""

SHORTEST = 16
"""Minimum number of characters of a token."""

SESSIONS = 1000
"""Maximum number of sessions; the oldest one is logged out."""

SESSION = 12 * 3600
"""Seconds after which a browser must log in again."""

FREE, LONGEST, FORGOTTEN = 5, 900, 3600
"""Number of wrong tokens that an address may send without waiting; maximum number of seconds to
wait (1 second at first, then doubled for each wrong token); and seconds without a wrong token after
which they are forgotten."""

ADDRESSES = 10_000
"""Maximum number of addresses whose wrong tokens are counted; the oldest one is forgotten."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""Headers of every response. Browsers store nothing, so that deleted people are not kept there."""

OPEN = ("/login", "/static/")
"""Paths that need no token."""


class Door:
    """Checks tokens, and keeps sessions.

    Args:
        token: at least SHORTEST characters; None allows everybody.

    Raises:
        SettingsError: the token is too short.
    """

    def __init__(self, token: str | None):
        if token is not None and len(token) < SHORTEST:
            raise SettingsError(
                f"The token has {len(token)} characters. Give one of {SHORTEST} or more, or leave "
                "it out to get a random one."
            )
        self.token = token
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = Lock()

    def right(self, token: str, address: str) -> bool:
        """Return whether a token is correct, in constant time.

        Args:
            token: to check.
            address: of the client; after FREE wrong tokens it must wait before the next.

        Raises:
            HTTPException: it did not wait (429), and the token was not checked.
        """
        if self.token is None:
            return True
        address = _whose(address)
        with self._lock:
            self._count(address)  # before the check: requests may be parallel
        right = secrets.compare_digest(token.encode(), self.token.encode())
        if right:
            with self._lock:
                self._tries.pop(address, None)
        return right

    def _count(self, address: str) -> None:
        now = time.monotonic()
        tries, last = self._tries.get(address, (0, now))
        if now - last > FORGOTTEN:
            tries = 0
        wait = last - now + (min(2 ** (tries - FREE), LONGEST) if tries >= FREE else 0)
        if wait > 0:
            said = f"There were too many wrong tokens from your address. Wait {ceil(wait)} s."
            raise HTTPException(429, said, {"retry-after": str(ceil(wait))})
        self._tries[address] = tries + 1, now
        self._tries.move_to_end(address)
        while len(self._tries) > ADDRESSES:
            self._tries.popitem(last=False)

    def enter(self, who: str) -> str:
        """Create a session for a client that has sent the token."""
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[session] = who
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def leave(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def who(self, headers: Headers, address: str) -> str | None:
        """Return who sends a request: a name given at the login, "" for a program, or None.

        Raises:
            HTTPException: as `right`.
            HTTPException: as `right`.
        """
        if self.token is None:
            return ""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.right(token.strip(), address):
            return ""
        with self._lock:
            return self._sessions.get(session_of(headers))


def _whose(address: str) -> str:
    """Return the part of an address that belongs to one site: of IPv6 the first half."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))


def address_of(scope: Scope) -> str:
    """Return the address of a client; empty if unknown."""
    return (scope.get("client") or [""])[0]


def session_of(headers: Headers) -> str:
    """Return the session in the cookie of a request."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


class Guard:
    """Refuses requests that neither the page nor a program would send, and adds HEADERS.

    Args:
        app: the application.
        door: checks tokens.
        hosts: host names that are accepted, without ports; None accepts all. On the loopback
            interface this stops pages of other sites whose host name resolves to this machine.
        most: maximum size of a request in bytes.
    """

    def __init__(self, app: ASGIApp, door: Door, hosts: frozenset[str] | None, most: int):
        self.app, self.door, self.hosts, self.most = app, door, hosts, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:
                raise HTTPException(413, self._too_large)
            return message

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            return await refused(scope, receive, headed)
        await self.app(scope, limited, headed)

    @property
    def _too_large(self) -> str:
        return f"The request is larger than {self.most >> 20} MiB. Send fewer pictures at a time."

    def _refused(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return answer(scope, 421, "This server does not have that host name. Use localhost.")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _foreign(headers, host):
            return answer(scope, 403, "The request came from another site, so nothing was changed.")
        if headers.get("content-length", "0").isdecimal() is False:
            return answer(scope, 400, "The length of the request cannot be read.")
        if int(headers.get("content-length", 0)) > self.most:
            return answer(scope, 413, self._too_large)
        try:
            who = self.door.who(headers, address_of(scope))
        except HTTPException as error:
            return answer(scope, error.status_code, error.detail, error.headers)
        if who is None and not path.startswith(OPEN):
            if path.startswith("/v1/"):
                told = {"www-authenticate": "Bearer"}
                said = "A token is required. Send the header Authorization: Bearer TOKEN."
                return answer(scope, 401, said, told)
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = path + (f"?{query}" if query else "")
            wanted = wanted if scope["method"] == "GET" else "/"
            return RedirectResponse(f"/login?back={quote(wanted, safe='')}", 303)
        scope.setdefault("state", {})["who"] = who or ""
        return None


def answer(
    scope: Scope, status: int, said: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a message as JSON for the API, or as plain text."""
    given = dict(headers or {})
    if scope["path"].startswith("/v1/"):
        return JSONResponse({"error": said}, status, given)
    return Response(said + "\n", status, given, "text/plain; charset=utf-8")


def _name(host: str) -> str:
    """Return a host name without its port."""
    return (urlsplit(f"//{host}").hostname or "") if _plain(host) else ""


def _plain(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").netloc == host and "@" not in host
    except ValueError:
        return False


def _foreign(headers: Headers, host: str) -> bool:
    """Return whether a page of another site sent this; programs send neither header."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != host


def local(path: str) -> str:
    """Return a path of this service, or the first page if it leads elsewhere."""
    parts = urlsplit(path)
    elsewhere = parts.scheme or parts.netloc or not path.startswith("/") or "\\" in path
    return "/" if elsewhere or path.startswith("//") or any(c < " " for c in path) else path
