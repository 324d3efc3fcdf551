"""What is handed out: the wheel, the sdist, and what works after pip alone, without any extra."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import BytesParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from reseen.data.invented import invent
from tests.test_extras import MODULES

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # 20 seconds; nothing else builds


def build(place, out, *kinds):
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(out), *kinds]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Give the wheel, and the one that is made from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out, "-t", "wheel", "-t", "sdist")
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(out / "unpacked", filter="data")
    (unpacked,) = (out / "unpacked").iterdir()
    build(unpacked, out / "again", "-t", "wheel")
    (wheel,), (again,) = out.glob("*.whl"), (out / "again").glob("*.whl")
    return wheel, again


def test_the_sdist_makes_the_same_wheel_and_nothing_is_missing(built):
    contents = []
    for path in built:
        with zipfile.ZipFile(path) as file:
            contents.append({name: file.read(name) for name in file.namelist()})
    assert contents[0] == contents[1]
    (place,) = {name.split("/")[0] for name in contents[0]} - {"reseen"}
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file()]
    ours = {p.relative_to(ROOT / "src").as_posix() for p in files if "__pycache__" not in p.parts}
    assert ours == {name for name in contents[0] if name.startswith("reseen/")}
    ends = {Path(name).suffix for name in ours}  # weights, detector, page, cards, type marker
    assert ends >= {".pt", ".bin", ".xml", ".html", ".css", ".js", ".svg", ".md"}
    assert "reseen/py.typed" in ours
    assert b"reseen = reseen.cli:main" in contents[0][f"{place}/entry_points.txt"]
    assert f"{place}/licenses/LICENSE" in contents[0]
    told = BytesParser().parsebytes(contents[0][f"{place}/METADATA"])
    assert (told["Name"], told["License-Expression"]) == ("reseen", "Apache-2.0")
    assert set(told.get_all("Provides-Extra")) == {*MODULES, "all"}
    versions = {f"Programming Language :: Python :: {v}" for v in ("3.11", "3.12", "3.13", "3.14")}
    assert versions <= set(told.get_all("Classifier")) and told["Requires-Python"]
    assert told["Keywords"] and told.get_payload().startswith("# reseen")


def required(name, extras=()):
    """Give the names of what a distribution needs on this machine, and of what that needs."""
    todo, done = [(name, frozenset(extras))], set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        for line in distribution(name).requires or ():
            one = Requirement(line)
            marker = one.marker
            if not marker or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
                todo.append((one.name, frozenset(one.extras)))
    return {name for name, _ in done}


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    """Give a Python that has the wheel and, by links, what it requires, but no extra."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(built[0]) as file:  # as pip installs a wheel of Python alone
        file.extractall(site)
    for name in required("reseen") - {"reseen"}:
        for file in distribution(name).files or ():
            top, place = file.parts[0], distribution(name).locate_file(file.parts[0])
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(place)).resolve())
    return folder / "bin" / "python"


COMMANDS = [
    ("0", "--help"),
    ("0", "methods"),
    ("2", "data check crops/"),  # few pictures
    (
        "0",
        "train house crops/ --out first --encoder.height 48 --encoder.width 24 --epochs 1 "
        "--iterations 2 --people 4 --views 2 --k1 8 --k2 2 --eps 0.5 --min-samples 2",
    ),
    ("0", "report first crops/ --only run"),
    ("0", "search first crops/a.jpg --in crops/ --out found.html"),
    ("0", "search reseen-tiny crops/a.jpg --in crops/ --json"),
    ("0", "extract first crops/ --out features.npz"),
    ("0", "gallery create site/ --run first"),
    ("0", "gallery add site/ crops/"),
    ("0", "gallery calibrate site/"),
    ("0", "gallery search site/ crops/a.jpg"),
    ("0", "gallery enrol site/ crops/a.jpg --as Anna"),
    ("0", "gallery seen site/ Anna"),
    ("0", "gallery forget site/ Anna"),
    ("0", "export first --for pretrained --out given"),
    ("reseen[web]", "serve site/"),
    ("reseen[video]", "video crops/ --out from-films"),
    ("reseen[export]", "export first --for boxmot --out first.onnx"),
    ("reseen[umap]", "report first crops/ --map umap"),
    ("reseen[postgres]", "gallery create other/ --run first --store postgresql:///reid"),
    (
        "reseen[imagenet]",
        "train house crops/ --out second --encoder.weights pip"
        " --encoder.backbone efficientnet_lite0",
    ),
]
"""What a command ends with, or says, where nothing but the wheel and its requirements are there."""
RUN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from reseen import __file__ as where
from reseen.cli import main
done = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(words.split())
        except SystemExit as end:
            code = end.code or 0
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps([where, done]))
"""


def test_after_pip_alone_everything_works_that_needs_no_extra(bare, tmp_path):
    sizes = dict(people=8, cameras=3, views=3, height=48, width=24)
    invent(tmp_path / "town", **sizes, seed=1)
    for path in sorted((tmp_path / "town" / "bounding_box_train").iterdir()):
        camera = tmp_path / "crops" / path.name.split("_")[1]
        camera.mkdir(parents=True, exist_ok=True)
        path.rename(camera / path.name)
    min((tmp_path / "crops").rglob("*.jpg")).rename(tmp_path / "crops" / "a.jpg")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    told = json.dumps([words for _, words in COMMANDS])
    ran = subprocess.run(
        [bare, "-I", "-c", RUN], input=told, cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    where, done = json.loads(ran.stdout.splitlines()[-1])
    assert Path(where).is_relative_to(bare.parents[1])
    for (wanted, words), (code, out, err) in zip(COMMANDS, done, strict=True):
        if wanted.isdigit():
            assert code == int(wanted) and out, (words, err)
        else:
            assert code == 1 and wanted in err.splitlines()[-1], (words, err)
