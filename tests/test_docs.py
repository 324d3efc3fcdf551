"""The pages: their links, their command lines, and whether they name all that there is."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from markdown.extensions.toc import slugify

import reseen
from reseen import parts
from reseen.cli import app, settings_of
from reseen.errors import ReseenError
from tests.scripts import script

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = {DOCS / "reference" / "commands.md", DOCS / "reference" / "train.md"}
PAGES = sorted(set(DOCS.rglob("*.md")) - GENERATED)
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
TEXTS = {page: page.read_text(encoding="utf-8") for page in [*PAGES, *FRONT]}


COMMANDS = [" ".join(words) for words in script("docs/commands.py").commands()]


def prose(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    titles = re.findall(r"^#+ (.+)$", prose(TEXTS[page]), re.MULTILINE)
    return {slugify(re.sub(r"[`*]", "", title), "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(TEXTS[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if page in PAGES:  # the site has nothing else
            assert place.is_relative_to(DOCS), target
            assert place.is_file() or place in GENERATED, target
        assert place.exists() or place in GENERATED, target
        assert not anchor or anchor in anchors(place), target


def test_every_page_has_a_place_in_the_navigation():
    with (ROOT / "zensical.toml").open("rb") as file:
        nav = tomllib.load(file)["project"]["nav"]

    def named(item):
        if isinstance(item, str):
            return [item]
        return [
            page
            for part in (item.values() if isinstance(item, dict) else item)
            for page in named(part)
        ]

    places = [DOCS / page for page in named(nav)]
    assert sorted(places) == sorted([*PAGES, *GENERATED])


def test_every_public_name_is_described():
    page = TEXTS[DOCS / "reference" / "python.md"]
    described = set(re.findall(r"^::: reseen\.([\w.]+)$", page, re.MULTILINE))
    here = {*reseen.__all__} - {"parts", "__version__"}
    there = {f"parts.{name}" for name in parts.__all__ if name not in here or name == "extract"}
    assert described == here | there
    assert "`reseen.parts`" in page and "`reseen.__version__`" in page


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command):
    text = "\n".join(TEXTS[page] for page in PAGES)
    group, _, verb = command.rpartition(" ")
    ways = [rf"reseen {command}\b"]
    if group == "gallery":
        ways += [rf"^\|.*`{verb}\b.*`.*\|.*\|$"]
    assert any(re.search(way, text, re.MULTILINE) for way in ways)


def command_lines():
    for page, text in TEXTS.items():
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("reseen "):
                    yield page, line
        for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE):
            for line in block.splitlines():
                if line.startswith("    reseen "):
                    yield page, line.strip()


@pytest.mark.parametrize("line", sorted({line for _, line in command_lines()}))
def test_command_lines_are_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing of what they name is there
    monkeypatch.setattr(app, "config", ())
    _, *words = shlex.split(line.partition(" 2>")[0], comments=True)
    try:
        app.config = settings_of(words)
        app.parse_args(words, exit_on_error=False, print_error=False)
    except (CycloptsError, ReseenError) as error:
        pytest.fail(f"{line}: {error}")


def arguments(command):
    told = app
    for word in command.split():
        told = told[word]
    return told.assemble_argument_collection() if told.default_command else ()


def options(command):
    return {name for argument in arguments(command) for name in argument.names}


def test_options_in_sentences_exist():
    """Of commands inside of sentences, such as `reseen train METHOD --help`."""
    known = {}
    for page, text in TEXTS.items():
        for line in re.findall(r"`reseen\s([^`]+)`", prose(text)):
            words = shlex.split(re.sub(r"^train (METHOD|\.\.\.)", "train cluster-contrast", line))
            command = max(
                (name for name in COMMANDS if f"{' '.join(words)} ".startswith(f"{name} ")),
                key=len,
                default="",
            )
            assert command or words[0].startswith("-") or words[0] == "COMMAND", (page, line)
            asked = {
                word.partition("=")[0] for word in words if re.fullmatch(r"--[\w.-]+(=.*)?", word)
            }
            asked -= {"--help", "--variant", "--install-completion"}
            if asked:
                known.setdefault(command, options(command) if command else set())
                assert asked <= known[command], (page, line, command)


class Loaded(HTMLParser):
    """What a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        names = {"link": "href", "a": ""}
        self.found += [value for name, value in attrs if name == names.get(tag, "src")]


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "src").symlink_to(ROOT / "src")
    pages = script("docs/commands.py").pages()
    for name, text in pages.items():
        (tmp_path / "docs" / "reference" / name).write_text(text, encoding="utf-8")
    for command in COMMANDS:
        page = pages["train.md" if command.startswith("train ") else "commands.md"]
        assert f"# reseen {command}\n" in page
        for argument in arguments(command):
            shown = argument.show and argument.name.startswith("--")
            assert not shown or f"`{argument.name}" in page, (command, argument.name)
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "arning" not in built.stdout + built.stderr
    site = tmp_path / "build" / "site"
    assert len(list(site.rglob("*.html"))) > len(PAGES)
    for page in site.rglob("*.html"):
        found = Loaded()
        found.feed(page.read_text(encoding="utf-8"))
        outside = [at for at in found.found if re.match(r"(https?:)?//", at or "")]
        assert not outside, page


def measured():
    return script("benchmarks/run_tables.py")


@pytest.fixture(scope="module")
def tables():
    return measured().TABLES


def test_tables_hold_what_was_measured(tables):
    """Mend it by `./dev bench tables`, and read the text around what has changed."""
    assert [name for name, table in tables.items() if table.stale()] == []


def test_a_table_that_was_edited_is_stale(tables, tmp_path):
    from dataclasses import replace

    page = tmp_path / "page.md"
    page.write_text(tables["ssl"].page.read_text(encoding="utf-8").replace("18.4 / 35.8", "19"))
    table = replace(tables["ssl"], page=page)
    assert table.stale()
    table.write()
    assert not table.stale() and page.read_text() == TEXTS[tables["ssl"].page]


def test_every_place_for_a_table_has_one(tables):
    text = "\n".join(TEXTS.values())
    places = re.findall(r"^<!-- \./dev bench tables (\S+) -->$", text, re.MULTILINE)
    assert sorted(places) == sorted(tables)
