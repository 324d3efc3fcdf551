import os
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from reseen import training
from reseen.data.loading import Loading
from reseen.engine import processes, shards
from reseen.engine.progress import Screen
from reseen.errors import DataError, SettingsError
from reseen.nets.encoder import EncoderSettings, build
from reseen.records import Image
from tests.conftest import TINY


class Mean:
    """An encoder of two numbers: how red and how green a picture is."""

    device, training, camera_statistics, path = None, False, None, None

    def __init__(self):
        self.device, self.seen = torch.device("cpu"), 0
        self.settings = replace(EncoderSettings(), height=16, width=16)

    def __call__(self, pixels):
        self.seen += len(pixels)
        colours = pixels.float().mean((2, 3))[:, :2] + 1
        return torch.nn.functional.normalize(colours, dim=1)

    def eval(self):
        return self

    def train(self, mode=True):
        return self


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of 20 images, and stretches of 8."""
    monkeypatch.setattr(shards, "SHARD", 20)
    monkeypatch.setattr(shards, "DECODED", 8 * 16 * 16 * 3)
    monkeypatch.setattr(shards, "default_batch", lambda encoder: 4)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Gives 50 drawn crops."""
    folder = tmp_path_factory.mktemp("crops")
    for n in range(50):
        pixels = np.full((16, 16, 3), (5 * n, 250 - 4 * n, 9), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{n:03d}.png")
    return folder


def read(out):
    with np.load(out) as file:
        return {name: file[name] for name in file.files}


def plain(crops, tmp_path, **how):
    """Extract with all features in memory."""
    features, images = training.extract(Mean(), crops, quiet=True, **how)
    return features, [str(image.path) for image in images]


def test_parts_make_the_file_that_one_extraction_makes(crops, tmp_path):
    out = tmp_path / "f.npz"
    assert training.extract_to(Mean(), crops, out, quiet=True) == (50, 2)
    found = read(out)
    features, paths = plain(crops, tmp_path)
    np.testing.assert_array_equal(found["features"], features)
    assert found["paths"].tolist() == paths and found["centring"] == "off"
    assert found["features"].dtype == np.float32 and list(tmp_path.iterdir()) == [out]


def test_what_was_stopped_goes_on_with_the_parts_that_are_there(crops, tmp_path, monkeypatch):
    out, first, second = tmp_path / "f.npz", Mean(), Mean()

    def fails(pixels, made=Mean.__call__):
        if first.seen >= 24:
            raise KeyboardInterrupt
        return made(first, pixels)

    with monkeypatch.context() as patched:
        patched.setattr(Mean, "__call__", lambda self, pixels: fails(pixels))
        with pytest.raises(KeyboardInterrupt):
            training.extract_to(first, crops, out, quiet=True)
    assert not out.exists()
    assert sorted(p.name for p in shards.parts_of(out).iterdir()) == ["000000.npz", "parts.json"]
    training.extract_to(second, crops, out, quiet=True)
    assert second.seen <= 32  # of 50, less the 20 that were there
    np.testing.assert_array_equal(read(out)["features"], plain(crops, tmp_path)[0])


def test_parts_of_other_features_are_refused(crops, tmp_path):
    out = tmp_path / "f.npz"
    images = [Image(path) for path in sorted(crops.iterdir())]
    parts = shards.Parts(shards.parts_of(out), images, Loading())
    shards._claim(parts, Mean())
    shards._claim(parts, Mean())
    with pytest.raises(SettingsError, match=r"f\.npz\.parts holds parts of other .*\(images"):
        shards._claim(replace(parts, images=images[1:]), Mean())
    with pytest.raises(SettingsError, match="encoder"):
        other = Mean()
        other.settings = replace(other.settings, width=32)
        shards._claim(parts, other)
    (parts.folder / "parts.json").unlink()
    (parts.folder / "mine.txt").write_text("")
    with pytest.raises(SettingsError, match="not empty and holds no parts"):
        shards._claim(parts, Mean())


def test_encoders_are_told_apart_by_their_weights():
    torch.manual_seed(0)
    encoder = build(TINY)
    before = shards._digest(encoder)
    assert shards._digest(encoder) == before
    with torch.no_grad():
        encoder.neck.running_mean[0] += 1
    assert shards._digest(encoder) != before


def test_damaged_and_missing_parts_are_named(crops, tmp_path):
    path = tmp_path / "000000.npz"
    with pytest.raises(DataError, match="is missing"):
        shards._read_part(path)
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"damaged\. Remove it"):
        shards._read_part(path)


@pytest.mark.parametrize("broken", [[3], [*range(24, 41)], [*range(50)]])
def test_broken_pictures_stop_it_or_are_left_out(crops, tmp_path, broken, capsys):
    folder = tmp_path / "crops"
    folder.mkdir()
    for n, path in enumerate(sorted(crops.iterdir())):
        if n in broken:
            (folder / path.name).write_bytes(b"none")
        else:
            os.link(path, folder / path.name)
    out = tmp_path / "f.npz"
    with pytest.raises(DataError, match="cannot be read"):
        training.extract_to(Mean(), folder, out, quiet=True)
    how = dict(loading=Loading(skip_broken=True), quiet=True)
    out = tmp_path / "g.npz"
    if len(broken) == 50:
        with pytest.raises(DataError, match="None of the pictures"):
            training.extract_to(Mean(), folder, out, **how)
        return
    training.extract_to(Mean(), folder, out, **how)
    found, (features, paths) = read(out), plain(folder, tmp_path, loading=Loading(skip_broken=True))
    np.testing.assert_allclose(found["features"], features, atol=1e-6)
    assert found["paths"].tolist() == paths


def test_several_processes_share_the_parts(crops, tmp_path, monkeypatch):
    out, seen = tmp_path / "f.npz", []
    for rank in (1, 0):  # the first one joins them
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(processes, "world", lambda: 2)
        monkeypatch.setattr(processes, "everywhere", lambda missing: [[0, 1, 2]])
        encoder = Mean()
        images = [Image(path) for path in sorted(crops.iterdir())]
        if rank:
            with monkeypatch.context() as patched:
                patched.setattr(processes, "once", lambda work, *a: work(*a))
                patched.setattr(shards, "_join", lambda *a: (0, 0))
                shards.extract_in_parts(encoder, images, out)
                made = sorted(p.name for p in shards.parts_of(out).iterdir())
                assert made == ["000001.npz", "parts.json"]
        else:
            shards.extract_in_parts(encoder, images, out, screen=Screen(True))
        seen.append(encoder.seen)
    assert seen[0] < seen[1]
    np.testing.assert_array_equal(read(out)["features"], plain(crops, tmp_path)[0])


def test_memory_does_not_grow_with_the_number_of_pictures(crops, tmp_path):
    """One picture under many names: what is held of each is its record and its row of a part."""
    paths = sorted(crops.iterdir())
    peaks = []
    for count in (400, 2000):
        images = [Image(paths[n % 50]) for n in range(count)]
        tracemalloc.start()
        shards.extract_in_parts(Mean(), images, tmp_path / f"{count}.npz")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    each = (peaks[1] - peaks[0]) / 1600
    most = 120 if sys.version_info < (3, 14) else 160  # bytes, of which 8 are a feature
    assert each < most, peaks


def test_what_is_there_is_said(crops, tmp_path, capsys):
    out = tmp_path / "f.npz"
    images = [Image(path) for path in sorted(crops.iterdir())]
    shards._claim(shards.Parts(shards.parts_of(out), images, Loading()), Mean())
    part = shards.parts_of(out) / "000001.npz"
    np.savez(part, positions=np.arange(20, 40), features=np.ones((20, 2), np.float32))
    shards.extract_in_parts(Mean(), images, out, screen=Screen())
    assert "1 of 3 parts are finished already" in capsys.readouterr().err
    assert (read(out)["features"][20:40] == 1).all()
