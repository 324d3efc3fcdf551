"""The tutorial: its notebook is the text, and runs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.scripts import script

DOCS = Path(__file__).parents[1] / "docs"


def test_the_notebook_is_the_text():
    written = nbformat.read(DOCS / "tutorials" / "first-steps.ipynb", 4)
    nbformat.validate(written)
    text = (DOCS / "tutorials" / "first-steps.md").read_text(encoding="utf-8")
    assert script("docs/notebook.py").notebook(text) == written, "./dev notebook writes it again"
    assert not any(cell.get("outputs") for cell in written.cells)


@pytest.mark.slow  # 20 seconds; the README's code is tested besides
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    told = nbformat.read(DOCS / "tutorials" / "first-steps.ipynb", 4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(told, timeout=600, kernel_name="python3", resources=where).execute()
    outputs = [out for cell in told.cells for out in cell.get("outputs", ())]
    said = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
    said = "\n".join(said)
    before, *_, after, again = map(float, re.findall(r"mAP ([\d.]+)%", said))
    assert after > before and again == after and "same" in said
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 2
    assert (tmp_path / "gallery" / "gallery.json").is_file()
