"""Write a tutorial as a notebook beside it, so that text and notebook cannot differ.

    ./dev notebook

Blocks of Python become cells of code, everything between them cells of text. Outputs are none: the
notebook is executed by a test (tests/test_notebook.py) and by whoever reads it.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TUTORIAL = Path(__file__).parent / "tutorials" / "first-steps.md"


def notebook(text: str) -> nbformat.NotebookNode:
    """Make a notebook of a Markdown text."""
    cells = []
    for place, part in enumerate(re.split(r"```python\n(.*?)```\n", text, flags=re.DOTALL)):
        new = new_code_cell if place % 2 else new_markdown_cell
        if part.strip():
            cells.append(new(part.strip(), id=f"cell-{place}"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def main(tutorials: list[Path]) -> None:
    """Write the notebooks."""
    for path in tutorials:
        nbformat.write(notebook(path.read_text(encoding="utf-8")), path.with_suffix(".ipynb"))


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]] or [TUTORIAL])
