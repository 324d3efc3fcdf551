"""What stands around the code: citation, container, templates, and the types that users see."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from reseen.methods import METHODS

ROOT = Path(__file__).parents[1]
CONTAINER = ROOT / "container"


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_has_what_version_1_2_0_of_the_format_demands():
    told = read("CITATION.cff")
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert told["cff-version"] == "1.2.0" and told["type"] == "software" and told["message"]
    assert (told["version"], told["license"]) == (project["version"], project["license"])
    kinds = {"conference-paper", "article"}
    for work in (told, *told["references"]):
        assert work["title"] and work["authors"] and "&" not in str(work.get("notes"))
        assert all(set(of) <= {"name", "family-names", "given-names"} for of in work["authors"])
        assert work is told or work["type"] in kinds
        assert isinstance(work.get("year", 2020), int)
    notes = " ".join(work["notes"] for work in told["references"])
    assert all(name in notes for name in METHODS)  # no method's paper is forgotten


def test_templates_ask_for_something():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {path.stem for path in forms} == {"bug", "config", "method-or-data-set", "question"}
    for path in forms:
        form = read(path)
        if path.stem == "config":
            continue
        assert form["name"] and form["description"]
        ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len(set(ids)) == len(ids) > 0
        assert all(part["attributes"] for part in form["body"])


def instructions():
    text = re.sub(r"\\\n", " ", (CONTAINER / "Containerfile").read_text(encoding="utf-8"))
    return [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]


def test_the_container_is_nobodys_root_and_says_how_it_is():
    lines = instructions()
    last = max(place for place, (word, _) in enumerate(lines) if word == "FROM")
    told = dict(lines[last:])
    assert all(re.search(r":3\.\d+-slim", rest) for word, rest in lines if word == "FROM")
    assert int(told["USER"]) > 0 and told["VOLUME"] == "/gallery" and told["EXPOSE"] == "8470"
    assert "/reseen/health.py" in told["HEALTHCHECK"]
    assert json.loads(told["ENTRYPOINT"])[-1] == "/reseen/serve.sh"
    (install,) = [rest for _, rest in lines if "uv pip install" in rest]
    extras = re.search(r"'\.\[(.*)\]'", install)
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"]
    assert "--torch-backend cpu" in install and extras and set(extras[1].split(",")) <= set(known)
    for word, rest in lines:  # nothing is copied that the context leaves out or that is not there
        if word == "COPY" and "--from" not in rest:
            assert all((ROOT / place).exists() for place in rest.split()[:-1]), rest
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept = {line[1:] for line in ignored if line[0] == "!"}
    assert all((ROOT / place).exists() for place in kept) and ignored[0] == "*"


def test_the_container_serves_with_a_token_alone(tmp_path):
    (tmp_path / "reseen").write_text('#!/bin/sh\necho "$RESEEN_TOKEN" "$@"\n')
    (tmp_path / "reseen").chmod(0o755)
    (tmp_path / "secret").write_text("from the secret\n")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    def serve(**env):
        words = ["sh", str(CONTAINER / "serve.sh"), "--blur-faces"]
        return subprocess.run(words, env={"PATH": path, **env}, capture_output=True, text=True)

    none = serve(RESEEN_TOKEN_FILE=str(tmp_path / "gone"))
    assert none.returncode == 1 and "no token" in none.stderr and not none.stdout
    told = "serve /gallery --host 0.0.0.0 --blur-faces\n"
    both = dict(RESEEN_TOKEN_FILE=str(tmp_path / "secret"))
    assert serve(**both).stdout == f"from the secret {told}"
    assert serve(**both, RESEEN_TOKEN="given").stdout == f"given {told}"
    (service,) = read("container/compose.yaml")["services"].values()
    assert service["read_only"] and service["secrets"] == ["reseen_token"]
    assert service["ports"][0].startswith("127.0.0.1:")


def test_types_reach_a_user():
    """The package says that it has types, and a script that uses it as the README does has them."""
    words = [str(Path(sys.executable).with_name("basedpyright")), "--outputjson", "--project"]
    done = subprocess.run([*words, str(ROOT / "tests/typing")], capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] and not found["generalDiagnostics"], done.stdout
