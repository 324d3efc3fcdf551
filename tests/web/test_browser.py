"""A guard's work in a real browser, from the first picture to forgetting."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
import uvicorn

from reseen.gallery.gallery import Gallery
from reseen.web.app import create_app
from reseen.web.serving import address, listen
from tests.web.conftest import photo

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@contextmanager
def served(gallery: Gallery, **settings) -> Iterator[str]:
    """Serve a gallery on a free port."""
    with listen("127.0.0.1", 0) as place:
        config = uvicorn.Config(create_app(gallery, **settings), log_level="warning")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield address(place, None)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def browsed(start: str, width: int = 1600, *, dark: bool = False, scripts: bool = True):
    """Open a browser; a word on the console or a request to anywhere else fails the test."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    said: list[str] = []
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(start)
        yield page
        chromium.close()
    here = "/".join(start.split("/")[:3])
    elsewhere = [word for word in said if not word.startswith((f"{here}/", "blob:"))]
    assert not elsewhere, elsewhere


def file(name: str, seed: int) -> dict:
    return {"name": name, "mimeType": "image/png", "buffer": photo(seed)}


def says(page, words: str) -> None:
    page.get_by_role("status").get_by_text(words).wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["htmx", "no scripts"])
def test_add_search_name_undo_and_forget(gallery, verdicts, scripts):
    verdicts(0.5, -0.9)
    with served(gallery) as start, browsed(start, scripts=scripts) as page:
        page.get_by_role("link", name="Add pictures").click()
        page.locator("#pictures").set_input_files([file("a.png", 1), file("b.png", 2)])
        page.get_by_label("Camera", exact=True).fill("Gate")
        page.get_by_label("Time", exact=True).fill("2026-11-28T10:00:00")
        page.get_by_role("button", name="Add").click()
        says(page, "2 pictures added.")
        assert gallery.cameras()["Gate"] == 2

        page.get_by_role("link", name="Search", exact=True).click()
        page.locator("#picture").set_input_files(file("c.png", 3))
        if not scripts:
            page.get_by_role("button", name="Search", exact=True).click()
        page.get_by_text("it is not kept unless you name it").wait_for()
        group = page.get_by_role("region", name="Gate")
        group.get_by_role("checkbox").first.check()
        page.get_by_label("Name", exact=True).fill("Anna <b>")
        page.get_by_role("button", name="This is the person").click()
        says(page, "2 crops were named Anna <b>.")
        assert [person.crops for person in gallery.people()] == [2]
        page.get_by_text("This crop was named Anna <b>.").wait_for()

        page.get_by_role("button", name="Undo").click()
        says(page, "Undone: 2 crops named Anna <b>.")
        assert gallery.people() == [] and gallery.store.count() == 75

        page.get_by_label("Name", exact=True).fill("Berta")
        page.get_by_role("button", name="This is the person").click()
        says(page, "1 crop was named Berta.")
        page.get_by_role("link", name="People", exact=True).click()
        page.get_by_role("link", name="Berta").click()
        page.get_by_text("Forget this person").click()
        page.get_by_label("This cannot be undone.").check()
        page.get_by_role("button", name="Forget Berta").click()
        says(page, "1 crop of Berta permanently deleted.")
        assert gallery.people() == [] and gallery.store.count() == 74


def test_a_crop_is_dropped_filtered_and_reviewed(gallery, verdicts):
    verdicts(0.5, -0.9)
    with served(gallery) as start, browsed(start) as page:
        page.locator(".cards a").first.click()
        page.get_by_role("heading", name="Where else").wait_for()
        page.get_by_text("Ticked: 0").wait_for()  # htmx has settled
        assert page.get_by_role("region", name="Camera 1").count() == 1
        page.locator("select[name=camera]").select_option("2")  # without any button
        page.wait_for_url("**camera=2**")
        page.get_by_role("region", name="Camera 1").wait_for(state="detached")
        page.get_by_text("at 1 camera.").wait_for()
        assert page.get_by_role("region", name="Camera 2").locator(".card").count() > 0
        page.evaluate(  # as when a file is dragged from a folder
            """bytes => {
                const put = new DataTransfer();
                put.items.add(new File([new Uint8Array(bytes)], "d.png", {type: "image/png"}));
                document.dispatchEvent(new DragEvent("drop", {dataTransfer: put, bubbles: true}));
            }""",
            list(photo(4)),
        )
        page.get_by_text("it is not kept unless you name it").wait_for()
        page.go_back()
        page.wait_for_url("**camera=2**")

        page.get_by_role("link", name="Unknown people").click()
        page.wait_for_url("**/unknown")
        page.get_by_text("Grouping the crops").wait_for(state="detached")
        page.get_by_role("link", name="Thresholds").click()
        page.wait_for_url("**/cutoffs")
        page.locator("figure svg").wait_for()
        page.get_by_role("button", name="Calibrate").click()
        says(page, "Calibrated: same from")
        assert gallery.cutoffs.source in page.content().replace("&#39;", "'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_pages_fit_into_narrow_and_wide_windows(gallery, ids, width, dark):
    gallery.name(ids[:3], "A very long name of somebody, who has " + "o" * 40)
    name = gallery.people()[0].name
    paths = ["", "people", "add", "cutoffs", "api", f"?crop={ids[4]}", f"person?name={name}"]
    with served(gallery) as start, browsed(start, width, dark=dark) as page:
        for path in paths:
            page.goto(start + path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            background = page.evaluate("getComputedStyle(document.documentElement).colorScheme")
            assert background == "light dark"


def test_everything_is_reached_by_keyboard(gallery, ids):
    with served(gallery) as start, browsed(f"{start}?crop={ids[0]}") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")
        seen = []
        for _ in range(200):
            page.keyboard.press("Tab")
            here = page.evaluate(
                """() => {
                    const at = document.activeElement, style = getComputedStyle(at);
                    return [at.tagName, at.name || at.textContent.trim(), style.outlineStyle];
                }"""
            )
            if here[0] == "BODY":
                break
            seen.append(here)
        assert here[0] == "BODY"  # the browser's own buttons come next: no trap
        assert not [one for one in seen if one[0] != "a" and one[2] == "none"]
        assert {"✓ This is the person", "↶ Undo"} & {name for _, name, _ in seen}

        box = page.locator(".card [type=checkbox]").first
        box.focus()
        page.keyboard.press("Space")
        page.get_by_label("Name", exact=True).focus()
        page.keyboard.type("Anna")
        page.keyboard.press("Enter")
        says(page, "2 crops were named Anna.")


def test_a_guard_logs_in_with_the_token(gallery):
    with served(gallery, token="a token of some length") as start, browsed(start) as page:
        page.get_by_label("Your name").fill("Ms. Guard")
        page.get_by_label("Token").fill("a token of some length")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Who is this").wait_for()
        assert "reseen" not in page.evaluate("document.cookie")
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Token").wait_for()
    assert '"who": "Ms. Guard"' in (gallery.folder / "audit.jsonl").read_text("utf-8")
