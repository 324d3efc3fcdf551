"""The ONNX file that is kept beside an encoder: written once, and again when it is not the one."""

import shutil

import pytest
import torch

from reseen.engine.progress import Screen
from reseen.export import Exported
from reseen.export import quick as module
from reseen.export.quick import quick
from reseen.nets.encoder import build

pytestmark = pytest.mark.xdist_group("export")


@pytest.fixture
def writes(given_file, monkeypatch):
    """Put the file that there is in place of an export, which takes long; count these."""
    written = []

    def copy(encoder, path, *rest, **more):
        written.append(encoder)
        shutil.copy(given_file, path)

    monkeypatch.setattr(module, "export", copy)
    return written


def test_the_file_is_written_once(given_encoder, writes, tmp_path, capsys):
    found = quick(given_encoder, tmp_path)
    pixels = torch.randint(0, 256, (4, 3, 64, 32))
    with torch.inference_mode():
        torch.testing.assert_close(found(pixels), given_encoder(pixels), atol=1e-4, rtol=0)
    assert isinstance(found, Exported) and found.camera_statistics.names == ("1", "2")
    assert isinstance(quick(given_encoder, tmp_path), Exported) and len(writes) == 1
    (tmp_path / "encoder.onnx").write_bytes(b"damaged")
    assert isinstance(quick(given_encoder, tmp_path, Screen()), Exported) and len(writes) == 2
    assert "cannot be used and will be written again" in capsys.readouterr().err


def test_the_file_of_another_encoder_is_not_used(given_encoder, given_file, writes, tmp_path):
    shutil.copy(given_file, tmp_path / "encoder.onnx")
    other = build(given_encoder.settings)
    other.eval()
    assert quick(other, tmp_path) is other  # the one that was put there is again not its own
    assert writes == [other] and not (tmp_path / "encoder.onnx").exists()


def test_a_folder_that_cannot_be_written_is_no_error(given_encoder, tmp_path, monkeypatch, capsys):
    def refuse(*rest, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "export", refuse)
    assert quick(given_encoder, tmp_path, Screen()) is given_encoder
    assert "cannot be written (Permission denied), so torch is used" in capsys.readouterr().err


def test_without_the_packages_torch_computes(given_encoder, writes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "installed", lambda *names: False)
    assert quick(given_encoder, tmp_path) is given_encoder and not writes
