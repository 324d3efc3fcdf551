"""A browser without a window, for tests; they are skipped where there is none."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def open_page(path: Path, folder: Path) -> str:
    """Open a page with the network cut off; give the document as the scripts left it.

    Args:
        path: of the page.
        folder: an empty one for the browser's own files.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    words += ["--enable-logging=stderr", "--proxy-server=127.0.0.1:9", "--dump-dom", path.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    said = re.findall(r"CONSOLE.*", done.stderr)
    assert done.returncode == 0 and not said, said or done.stderr[-2000:]
    return done.stdout
