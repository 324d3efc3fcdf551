"""Draw the pictures of the front page and of "Get started", of invented people only.

    python docs/pictures/draw.py [FOLDER]

Does what docs/get-started.md says in FOLDER (build/pictures), where steps that are done stay, and
photographs the pages with chromium: some minutes without a GPU.
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
GUIDE = HERE.parent / "get-started.md"


def main(folder: Path) -> None:
    """Do the steps, and write the pictures beside this script."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = re.findall(r"^reseen (.+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    *steps, serve = (shlex.split(line) for line in lines if line != "demo")
    asked = next(words for words in steps if words[0] == "search")[3]  # the second picture
    for words in steps:
        done = folder / f"{'-'.join(words[:2]).replace('/', '-')}.done"
        if not done.exists():
            subprocess.run([sys.executable, "-m", "reseen", *words], cwd=folder, check=True)
            done.touch()
    with sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport={"width": 1100, "height": 560})
        page.set_default_timeout(600_000)
        page.goto((folder / "report.html").resolve().as_uri())
        shoot(page, "report")
        page.set_viewport_size({"width": 870, "height": 700})
        page.goto((folder / "found.html").resolve().as_uri())
        shoot(page, "search", ".sheet")
        page.set_viewport_size({"width": 1100, "height": 900})
        with served(folder, serve) as start:
            page.goto(start)
            page.locator("#picture").set_input_files(folder / asked)
            page.get_by_role("region", name=re.compile("Camera")).first.wait_for()
            page.wait_for_load_state("networkidle")
            shoot(page, "gallery")
        chromium.close()


@contextlib.contextmanager
def served(folder: Path, words: list[str]):
    """Serve the gallery, and give the address of its page."""
    command = [sys.executable, "-m", "reseen", *words, "--port", "0", "--no-audit"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[1]
        server.terminate()


def shoot(page: Page, name: str, part: str | None = None) -> None:
    """Write what a page shows, or a part of it, as a small picture."""
    page.wait_for_timeout(500)
    shown = page.locator(part).first.screenshot() if part else page.screenshot()
    Image.open(BytesIO(shown)).convert("RGB").save(HERE / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["build/pictures"]))
