from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from reseen.errors import SettingsError
from reseen.web import guard
from reseen.web.guard import HEADERS, Door, local
from reseen.web.uploads import Limits
from tests.web.conftest import photo, sent

TOKEN = "a token of some length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8470", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8470", 200),
        ("evil.example", 421),
        ("evil.example:8470", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example/localhost", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_names_that_were_made_to_point_here_are_refused(client, host, status):
    assert client.get("/v1/health", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8470"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another service of this machine
        ({"Origin": "http://127.0.0.1:8470"}, 303),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_cannot_change_anything(client, gallery, ids, headers, status):
    form = {"crop": ids[0], "name": "Anna"}
    answer = client.post("/name", data=form, headers=headers, follow_redirects=False)
    assert answer.status_code == status
    assert gallery.crop(ids[0]).person == ("Anna" if status == 303 else None)


@pytest.mark.parametrize(
    "path", ["/", "/v1/health", "/static/web.js", "/nowhere", "/v1/nowhere", "/v1/crops/0", "/fail"]
)
def test_every_answer_has_the_headers_that_keep_a_browser_safe(client, path, monkeypatch):
    client.app.app.add_api_route("/fail", lambda: 1 / 0)
    answer = client.get(path)
    for name, value in HEADERS.items():
        if name != "cache-control" or not path.startswith("/static"):
            assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy


def test_an_error_that_nobody_expected_says_nothing_of_the_inside(client):
    client.app.app.add_api_route("/v1/fail", Path("/etc/secret").read_text)
    answer = client.get("/v1/fail")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert list(answer.json()) == ["error"]


def test_with_a_token_nobody_sees_anything_without_it(serve, log):
    client = serve(token=TOKEN)
    for path in ("/v1/health", "/v1/people", "/v1/openapi.json"):
        refused = client.get(path)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert "Bearer TOKEN" in refused.json()["error"]
        assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get(path, headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
        assert client.get(path, headers=BEARER).status_code == 200
    page = client.get("/people?x=1", follow_redirects=False)
    assert page.status_code == 303 and page.headers["location"] == "/login?back=%2Fpeople%3Fx%3D1"
    assert client.post("/undo", follow_redirects=False).headers["location"] == "/login?back=%2F"
    assert client.get("/static/page.css").status_code == 200


def test_a_login_gives_a_cookie_that_no_script_and_no_other_site_can_use(serve, log):
    client = serve(token=TOKEN)
    assert client.post("/login", data={"token": "x" * 20}).status_code == 403
    form = {"token": TOKEN, "who": "Ms. Guard", "back": "/people"}
    answer = client.post("/login", data=form, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/people"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    assert "Secure" not in cookie  # plain http here
    assert client.get("/people").status_code == 200
    told = [(line["action"], line.get("who")) for line in log()]
    assert told == [("refused", None), ("login", "Ms. Guard"), ("people", "Ms. Guard")]
    session = client.cookies["reseen"]
    client.post("/logout")
    client.cookies.set("reseen", session)
    assert client.get("/people", follow_redirects=False).status_code == 303


def test_by_https_the_cookie_is_never_sent_in_clear(serve):
    client = serve("https://127.0.0.1", token=TOKEN)
    answer = client.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("cookie", ["reseen=", "reseen=x", "a", "reseen", "=", "\x7f=1", ";;"])
def test_cookies_that_nobody_gave_open_nothing(serve, cookie):
    answer = serve(token=TOKEN).get("/people", headers={"Cookie": cookie}, follow_redirects=False)
    assert answer.status_code == 303


def test_a_login_leads_to_no_other_site(serve):
    client = serve(token=TOKEN)
    form = {"token": TOKEN, "back": "//evil.example/"}
    assert client.post("/login", data=form, follow_redirects=False).headers["location"] == "/"


@given(st.one_of(st.text(), st.text("/\\.:@?#a \t\n").map("/".__add__)))
def test_only_paths_of_this_service_are_local(path):
    kept = local(path)
    assert kept.startswith("/") and not kept.startswith(("//", "/\\"))
    assert urlsplit(f"http://here{kept}").netloc == "here"


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(guard.time, "monotonic", lambda: self.now)


def test_who_guesses_the_token_waits_longer_and_longer(serve, monkeypatch):
    clock, client = Clock(monkeypatch), serve(token=TOKEN)
    wrong = {"Authorization": "Bearer a wrong guess of 16"}
    for _ in range(3):
        assert client.get("/v1/health", headers=wrong).status_code == 401
    for _ in range(2):  # by the form or by the header is all one
        assert client.post("/login", data={"token": "x" * 20}).status_code == 403
    for wait in (1, 2, 4, 8):
        for headers in (wrong, BEARER):  # nor is the right one looked at
            refused = client.get("/v1/health", headers=headers)
            assert refused.status_code == 429 and refused.headers["retry-after"] == str(wait)
            assert f"Wait {wait} s" in refused.json()["error"]
            assert refused.headers["x-frame-options"] == "DENY"
        page = client.post("/login", data={"token": TOKEN}, follow_redirects=False)
        assert page.status_code == 429 and page.headers["retry-after"] == str(wait)
        assert f"Wait {wait} s" in page.text
        clock.now += wait
        assert client.get("/v1/health", headers=wrong).status_code == 401
    clock.now += 16
    assert client.get("/v1/health", headers=BEARER).status_code == 200
    for _ in range(5):  # the right one makes all forgotten
        assert client.get("/v1/health", headers=wrong).status_code == 401


def test_a_session_does_not_wait(serve, monkeypatch):
    Clock(monkeypatch)
    client = serve(token=TOKEN)
    client.post("/login", data={"token": TOKEN})
    for _ in range(6):
        client.get("/v1/health", headers={"Authorization": "Bearer wrong"})
    assert client.get("/v1/health").status_code == 200


def test_wrong_tokens_are_counted_by_address_and_forgotten_in_the_end(monkeypatch):
    clock, door = Clock(monkeypatch), Door(TOKEN)

    def wait(address):
        try:
            assert not door.right("wrong", address)
        except HTTPException as error:
            return int(error.headers["retry-after"])
        return 0

    assert [wait("2001:db8:0:1::1") for _ in range(6)] == [0] * 5 + [1]
    assert wait("2001:db8:0:1:ffff::2") == 1 and wait("2001:db8:0:2::1") == 0
    assert [wait("::ffff:10.0.0.1") for _ in range(5)] == [0] * 5
    assert wait("10.0.0.1") == 1 and wait("10.0.0.2") == 0 and wait("") == 0
    for _ in range(30):
        clock.now += guard.LONGEST
        assert wait("10.0.0.1") == 0
    assert wait("10.0.0.1") == guard.LONGEST
    clock.now += guard.FORGOTTEN + 1
    assert [wait("10.0.0.1") for _ in range(6)] == [0] * 5 + [1]
    monkeypatch.setattr(guard, "ADDRESSES", 3)
    for host in range(4, 8):
        wait(f"10.0.0.{host}")
    assert len(door._tries) == 3 and wait("10.0.0.1") == 0


def test_tokens_are_compared_in_constant_time(monkeypatch):
    seen = []
    same = guard.secrets.compare_digest
    monkeypatch.setattr(
        guard.secrets, "compare_digest", lambda *given: seen.append(given) or same(*given)
    )
    assert Door(TOKEN).right(TOKEN, "") and not Door(TOKEN).right("", "")
    assert seen == [(TOKEN.encode(), TOKEN.encode()), (b"", TOKEN.encode())]


def test_short_tokens_are_refused():
    with pytest.raises(SettingsError, match="15 characters"):
        Door("x" * 15)


def test_large_requests_are_refused_before_they_are_read(serve, gallery):
    client = serve(limits=Limits(bytes=1 << 20))
    large = sent(b"x" * (1 << 20))
    for path in ("/v1/crops", "/add"):
        answer = client.post(path, files=large)
        assert answer.status_code == 413 and "1 MiB" in answer.text
    answer = client.post(  # a length that nobody told
        "/v1/crops",
        content=(b"x" * 65536 for _ in range(20)),
        headers={"Content-Type": "multipart/form-data; boundary=a"},
    )
    assert answer.status_code == 413 and "1 MiB" in answer.json()["error"]
    assert client.post("/v1/crops", files=sent(photo())).status_code == 200
