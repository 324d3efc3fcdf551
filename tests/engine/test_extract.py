from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen.data.loading import Loading, decode, evenly
from reseen.engine import extract as extraction
from reseen.engine.extract import extract, extract_parts, load
from reseen.engine.progress import Screen
from reseen.nets.encoder import build
from tests.conftest import TINY


def test_features_in_the_order_of_the_crops_whatever_the_batch_and_the_memory(town):
    torch.manual_seed(0)
    encoder = build(TINY).train()
    kept = load(town.train, encoder)
    anew = load(town.train, encoder, Loading(memory=0))
    features = extract(encoder, kept, batch=7)
    assert features.shape == (len(town.train), 512) and features.dtype == np.float32
    np.testing.assert_allclose(extract(encoder, anew, batch=50), features, atol=1e-6)
    (_, pixels), *_ = kept.batches([np.array([5])])
    with torch.no_grad():
        np.testing.assert_allclose(encoder.eval()(pixels)[0], features[5], atol=1e-6)


def test_large_features_of_a_run_lie_in_a_file_that_goes_with_them(town, tmp_path, monkeypatch):
    encoder, crops = build(TINY), load(town.train[:9], build(TINY))
    features = extract(encoder, crops)
    monkeypatch.setattr(extraction, "MAPPED", features.nbytes)
    crops.scratch = tmp_path / "gone"
    with pytest.raises(FileNotFoundError):
        extract(encoder, crops)
    crops.scratch = tmp_path
    found = extract(encoder, crops)
    np.testing.assert_array_equal(found, features)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(extraction, "MAPPED", features.nbytes + 1)
    crops.scratch = tmp_path / "gone"
    np.testing.assert_array_equal(extract(encoder, crops), features)


def test_the_mode_and_the_statistics_of_the_encoder_stay(town):
    encoder = build(TINY).train()
    before = encoder.neck.running_mean.clone()
    extract(encoder, load(town.train[:5], encoder))
    assert encoder.training and torch.equal(encoder.neck.running_mean, before)


def slow_means(encoder, images, most=0):
    """One frame after the other."""
    out = []
    for image in images:
        total, paths = 0, image.paths
        picked = paths if not most else [paths[i] for i in evenly(len(paths), most)]
        for path in picked:
            with torch.no_grad():
                total = total + encoder.eval()(torch.from_numpy(decode(path, 48, 24))[None])[0]
        out.append((total / len(picked) / (total / len(picked)).norm()).numpy())
    return np.array(out)


@pytest.mark.parametrize(("frames", "batch"), [(0, 7), (0, 64), (3, 5), (2, 1)])
def test_the_feature_of_a_tracklet_is_the_mean_of_its_frames(video, frames, batch):
    torch.manual_seed(0)
    encoder = build(TINY)
    counts = [1, 4, 2, 3] * 3
    images = [
        replace(image, frames=image.frames[:count])
        for image, count in zip(video.train, counts, strict=False)
    ]
    loading = Loading(frames=frames)
    crops = load(images, encoder, loading, chance=np.random.default_rng)
    features = extract(encoder, crops, batch=batch)
    np.testing.assert_allclose(features, slow_means(encoder, images, frames), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    # where nothing is drawn, nothing else is read, and the features are the same
    few = load(images, encoder, loading)
    assert len(few.pixels) == len(few.owners) == len(crops.owners)
    assert np.array_equal(extract(encoder, few, batch=batch), features)


def test_tracklets_of_one_frame_have_the_feature_of_the_picture(town, video):
    encoder = build(TINY)
    single = [replace(image, frames=(image.path.name,)) for image in town.train]
    plain = extract(encoder, load(town.train, encoder))
    np.testing.assert_allclose(extract(encoder, load(single, encoder)), plain, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 5])  # the map of TINY has three rows
def test_stripes_are_pooled_like_the_whole_and_of_tracklets_averaged(video, parts):
    encoder = build(TINY).eval()
    images = video.train[:5]
    found = extract_parts(encoder, load(images, encoder), parts, batch=3)
    assert found.shape == (1 + parts, 5, encoder.dimensions)
    for n, image in enumerate(images):
        pixels = torch.stack([torch.from_numpy(decode(path, 48, 24)) for path in image.paths])
        with torch.inference_mode():
            maps = encoder.map(pixels).float()
        rows = maps.shape[2]
        for part in range(1 + parts):
            first, last = (part - 1) * rows / parts, part * rows / parts
            inside = [r for r in range(rows) if part == 0 or (r + 1 > first and r < last)]
            vectors = maps[:, :, inside].mean((2, 3)).numpy()
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            mean = vectors.mean(0) / np.linalg.norm(vectors.mean(0))
            np.testing.assert_allclose(found[part, n], mean, atol=2e-3)


def test_one_stripe_is_the_whole(town):
    encoder = build(TINY)
    whole, stripe = extract_parts(encoder, load(town.train, encoder), 1)
    np.testing.assert_allclose(stripe, whole, atol=1e-6)
    np.testing.assert_allclose(extract(encoder, load(town.train, encoder)), whole, atol=1e-6)


def test_what_is_read_is_said(video, capsys):
    encoder = build(TINY)
    load(video.train, encoder, Loading(frames=3, memory=0), Screen())
    assert "24 tracklets of 72 frames, 0.00 GB at 48 x 24, read again" in capsys.readouterr().err
