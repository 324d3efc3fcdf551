"""A real browser without a window, for tests; they are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


@contextmanager
def opened(path: Path, width: int = 1300, *, dark: bool = False) -> Iterator["Page"]:
    """Open a page; a word on the console, an error or a request to anywhere else fails the test.

    Args:
        path: of the page.
        width: of the window.
        dark: what the system prefers.
    """
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    said: list[str] = []
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(path.as_uri())
        yield page
        chromium.close()
    outside = [word for word in said if not word.startswith("data:") and word != path.as_uri()]
    assert not outside, outside
