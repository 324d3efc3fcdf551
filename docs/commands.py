"""Write the pages of all commands, from the help that the program prints: `./dev docs` runs it.

docs/reference/commands.md has every command, docs/reference/train.md the settings of every method.
Neither is kept in the repository.
"""

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from rich.console import Console

from reseen.cli import app

PAGES = Path(__file__).parent / "reference"
COMMANDS = """# All commands

This page is written from the help texts of the program: `reseen COMMAND --help` prints the same.
What all commands share is on [The command line](command-line.md); the settings of
`reseen train METHOD` have [a page of their own](train.md).
"""
TRAIN = """# Settings of train

All options of `reseen train METHOD DATA --out RUN`, method by method, as
`reseen train METHOD --help` prints them. Most of them can also stand in a file (`--config FILE`),
and are the fields of the method's class in [Python](python.md).
"""


def commands(above=app, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Name every command and verb by its words."""
    for name in above:
        if not name.startswith("-"):
            yield *words, name
            yield from commands(above[name], (*words, name))


def help_of(words: tuple[str, ...]) -> str:
    """Write the help of a command as Markdown."""
    file = StringIO()
    console = Console(file=file, width=100_000)  # no sentence is broken
    say = console.print

    def draw(_self: Any, _console: Any, _options: Any, panel: HelpPanel) -> None:
        lines = [_entry(entry) for entry in panel.entries if entry.names != ("--help", "--version")]
        if lines:
            say(f"\n**{panel.title}**\n", *lines, "", sep="\n", markup=False)

    def usage(_self: Any, _console: Any, _options: Any, text: Any) -> None:
        say(f"```text\nUsage: {_plain(text)}\n```\n", markup=False)

    def describe(_self: Any, _console: Any, _options: Any, text: Any) -> None:
        say(_escaped(_plain(text)), markup=False)

    with patch.multiple(
        DefaultFormatter, __call__=draw, render_usage=usage, render_description=describe
    ):
        app.help_print(words, console=console)
    text, _, examples = file.getvalue().partition("Examples:\n")
    lines = "\n".join(line.strip() for line in examples.splitlines() if line.strip())
    return f"{text.strip()}\n\n```sh\n{lines}\n```\n" if lines else f"{text.strip()}\n"


def _entry(entry: HelpEntry) -> str:
    labels = " ".join(f"`{label}`" for label in entry.display_labels_with_metavar)
    told = _escaped(" ".join(_plain(entry.description).split()))
    more = ["required"] if entry.required else []
    more += [f"one of {', '.join(entry.choices)}"] if entry.choices else []
    more += [f"by default {entry.default}"] if entry.default else []
    return f"- {labels}: {told}" + (f" *({_escaped('; '.join(more))})*" if more else "")


def _plain(text: Any) -> str:
    """Give what a terminal shows."""
    file = StringIO()
    Console(file=file, width=100_000).print(text)
    return "\n".join(line.strip() for line in file.getvalue().strip().splitlines())


def _escaped(text: str) -> str:
    """Give text as Markdown that shows it letter by letter; what stands between ` stays code."""
    parts = text.split("`")
    parts[::2] = [
        re.sub(r"([\\*_\[\]{}#])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]
    ]
    return "`".join(parts)


def pages() -> dict[str, str]:
    """Give the text of each page by its name."""
    rest, train = [COMMANDS], [TRAIN]
    for words in commands():
        page = train if words[0] == "train" and len(words) > 1 else rest
        title = f"{'#' * (1 + len(words) if page is rest else 2)} reseen {' '.join(words)}\n"
        page.append(f"{title}\n{help_of(words)}")
    return {"commands.md": "\n".join(rest), "train.md": "\n".join(train)}


if __name__ == "__main__":
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
