"""Where a run may lie and what stays of one that does not begin; encoders, features, searches."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch

from reseen import save_pretrained
from reseen.data.loading import Loading
from reseen.errors import CheckpointError, DataError, SettingsError
from reseen.kernels import centring
from reseen.kernels.centring import CameraStatistics
from reseen.kernels.whitening import whitened
from reseen.nets.backbones import TINY_WEIGHTS, read_weights
from reseen.nets.encoder import Encoder, build
from reseen.records import Hit, Image, cameras_of
from reseen.training import extract, learn_cameras, load, search, train
from tests.conftest import TINY


class Fails:
    """A method that fails before the first round."""

    needs_source = False

    def fit(self, images, run, *beside):
        (run.folder / "images.txt").write_text("a.jpg")
        raise DataError("nothing can be read")


def test_a_run_does_not_lie_among_its_pictures(town_folder, town, tmp_path):
    crops = town_folder / "query"
    for folder in (crops / "run", crops):
        with pytest.raises(SettingsError, match="query, a folder of pictures"):
            train(Fails(), crops, folder, quiet=True)
    assert not (crops / "run").exists() and not (crops / "run.json").exists()
    method = Fails()
    method.needs_source = True
    with pytest.raises(SettingsError, match="query, a folder of pictures"):
        train(method, town, crops / "run", source=crops, quiet=True)


def test_a_run_that_fails_before_it_learns_leaves_no_folder(town_folder, tmp_path):
    with pytest.raises(DataError, match="nothing can be read"):
        train(Fails(), town_folder / "query", tmp_path / "runs" / "a", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [SimpleNamespace(), 3, Fails, SimpleNamespace(fit="now")])
def test_what_has_no_fit_is_refused_before_a_folder_is_made(method, town, tmp_path):
    with pytest.raises(SettingsError, match=r"cannot be trained.*fit\(images, run\)"):
        train(method, town, tmp_path / "run", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_returns_no_encoder_is_refused(town, tmp_path):
    method = SimpleNamespace(fit=lambda images, run: 3)
    with pytest.raises(SettingsError, match=r"returned 3\. It has to return the"):
        train(method, town, tmp_path / "run", quiet=True)


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    """The encoder that ships."""
    return load("reseen-tiny")


def test_a_start_is_adapted_to_pictures(tiny, town):
    adapted = load("reseen-tiny", adapt_norm=town, quiet=True)
    for norm in ("neck", "backbone.net.bn1"):
        of, before = (net.get_submodule(norm).running_mean for net in (adapted, tiny))
        assert not torch.allclose(of, before)
    gallery = replace(town, train=())  # nothing to train on: the pictures that there are
    assert load("reseen-tiny", adapt_norm=gallery, quiet=True).neck.running_mean.any()


def test_whitening_is_learnt_anew_where_statistics_are(town, tmp_path):
    made = save_pretrained(build(replace(TINY, whitening=0.5)), tmp_path / "e")
    adapted = load(made, adapt_norm=town, quiet=True)
    features, _ = extract(adapted, town.train, quiet=True)
    adapted.unwhiten()
    raw, _ = extract(adapted, town.train, quiet=True)
    np.testing.assert_allclose(features, whitened(raw, 0.5), atol=1e-4)


def test_the_shipped_encoder_goes_by_its_name(tiny, town, tmp_path, monkeypatch):
    settings = tiny.settings
    assert (settings.height, settings.width, settings.last_stride) == (128, 64, 1)
    weights = read_weights(TINY_WEIGHTS)["encoder"]
    for name, value in tiny.backbone.state_dict().items():
        assert torch.equal(value, weights[f"backbone.{name}"].to(value.dtype)), name
    with pytest.raises(CheckpointError, match="no best round"):
        load("reseen-tiny", best=True)
    with pytest.raises(CheckpointError, match="To start training from it, use --encoder"):
        train(Fails(), town, tmp_path / "run", start="reseen-tiny", quiet=True)
    with pytest.raises(CheckpointError, match="resnet50 does not exist"):
        load("resnet50")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reseen-tiny").mkdir()  # what the user has made goes first
    with pytest.raises(CheckpointError, match="reseen-tiny holds no run"):
        load("reseen-tiny")


@pytest.mark.parametrize("memory", [1, 0])
def test_pictures_in_memory_have_the_features_of_their_files(tiny, tmp_path, memory):
    array = np.random.default_rng(0).integers(0, 256, (90, 50, 3), np.uint8)
    picture, path = PIL.Image.fromarray(array), tmp_path / "a.png"
    picture.save(path)
    things = [array, path, picture, str(path), Image(path), array[..., ::-1]]
    features, images = extract(tiny, things, loading=Loading(memory=memory), quiet=True)
    assert features.shape == (6, 256) and (features[1:5] == features[0]).all()
    assert np.abs(features[5] - features[0]).max() > 1e-3
    names = ["picture-0", "a.png", "picture-2", "a.png", "a.png", "picture-5"]
    assert [image.path.name for image in images] == names


@pytest.fixture(scope="module")
def few(town):
    """A few crops to search among, and what a plain product says of the first two."""
    return town.train[:12]


def test_hits_are_the_most_similar_others(tiny, few, tmp_path):
    features, _ = extract(tiny, few, quiet=True)
    queries = [few[0].path, few[1].path]
    hits = search(tiny, queries, few, 4, quiet=True)
    similar = features[:2] @ features.T
    similar[[0, 1], [0, 1]] = -2  # itself
    order = np.argsort(-similar, axis=1)[:, :4]
    assert [hit.image for hit in hits] == [few[i] for i in order.ravel()]
    assert [hit.query.path for hit in hits] == [path for path in queries for _ in range(4)]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4] * 2
    found = np.take_along_axis(similar, order, 1).ravel()
    np.testing.assert_allclose([hit.similarity for hit in hits], found, atol=1e-5)

    link = tmp_path / "link.jpg"  # the query under other names, also twice in the gallery
    link.symlink_to(few[0].path)
    gallery = [link, *few]
    assert [h.image for h in search(tiny, link, gallery, 4, quiet=True)] == [
        hit.image for hit in hits[:4]
    ]
    assert len(search(tiny, link, gallery, 99, quiet=True)) == len(few) - 1


def test_a_picture_in_memory_is_found_in_memory(tiny, few):
    arrays = [np.asarray(PIL.Image.open(image.path)) for image in few]
    (hit,) = search(tiny, arrays[3], [arrays[3], arrays[5]], top=1, quiet=True)
    assert hit.similarity == pytest.approx(1, abs=1e-5) and hit.image.path.name == "picture-0"


def test_a_hit_prints_as_a_line(few):
    hit = Hit(few[0], few[1], 1, 0.87654)
    assert str(hit) == f"1. 0.877 {few[1].path} (camera {few[1].camera})"
    assert repr([hit]) == f"[<Hit: {hit}>]"


def test_searches_that_cannot_be_are_refused(tiny, few):
    with pytest.raises(DataError, match="holds nothing but the query"):
        search(tiny, few[0], few[:1], quiet=True)
    with pytest.raises(DataError, match="No pictures are given"):
        search(tiny, few[0], [], quiet=True)
    with pytest.raises(SettingsError, match="top is 0"):
        search(tiny, few[0], few, 0)


@pytest.fixture
def knowing(tiny):
    """The encoder that ships, as if it had learnt from two cameras."""
    rng = np.random.default_rng(0)
    moments = 0.05 * rng.random((3, 2, 256)).astype(np.float32)
    tiny.camera_statistics = CameraStatistics(("gate", "yard"), moments)
    yield tiny
    tiny.camera_statistics = None


def test_features_are_centred_by_the_names_of_cameras(knowing, town, tmp_path):
    plain, _ = extract(knowing, town.train[:4], quiet=True)
    folders = ("yard", "attic", "gate", "yard")  # attic comes first here, so numbers are others
    for i, (folder, image) in enumerate(zip(folders, town.train, strict=False)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"picture{i}.jpg").write_bytes(image.path.read_bytes())
    for how in ("off", "mean", "deviation"):
        found, images = extract(knowing, tmp_path, centring=how, quiet=True)
        order = [int(image.path.stem[-1]) for image in images]
        names = [folders[i] for i in order]
        wanted = knowing.camera_statistics.centred(plain[order], names, how)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    lone = tmp_path / "gate" / "picture2.jpg"
    for camera in ("gate", None):
        found, _ = extract(knowing, lone, centring="deviation", camera=camera, quiet=True)
        wanted = knowing.camera_statistics.centred(plain[2:3], [camera], "deviation")
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    given = dict(centring="mean", quiet=True)
    (hit,) = search(knowing, lone, tmp_path, 1, camera="gate", **given)
    query = knowing.camera_statistics.centred(plain[2:3], ["gate"], "mean")
    rest = [0, 1, 3]
    gallery = knowing.camera_statistics.centred(plain[rest], [folders[i] for i in rest], "mean")
    assert hit.similarity == pytest.approx(float((query @ gallery.T).max()), abs=1e-5)


def test_centring_that_cannot_be_is_refused_before_pictures_are_read(tiny, knowing, tmp_path):
    lost = tmp_path / "nowhere"
    with pytest.raises(SettingsError, match=r"camera is 'hall', .* are: gate, yard\."):
        extract(knowing, lost, centring="mean", camera="hall")
    with pytest.raises(SettingsError, match=r"camera is 'gate', .* are: none\."):
        search(knowing, lost, lost, camera="gate")
    with pytest.raises(SettingsError, match="centring is 'median'"):
        extract(knowing, lost, centring="median")
    tiny.camera_statistics = None
    with pytest.raises(SettingsError, match="this encoder has no camera statistics"):
        extract(tiny, lost, centring="mean")


def test_cameras_are_learnt_from_the_training_crops_of_a_site(tiny, town, monkeypatch):
    with pytest.raises(DataError, match="no two cameras with at least 50 training crops"):
        learn_cameras(tiny, town, quiet=True)
    monkeypatch.setattr(centring, "LEAST", 5)
    nobody = replace(town, train=town.unlabelled(1))  # who they are does not matter
    learn_cameras(tiny, nobody, quiet=True)
    known, tiny.camera_statistics = tiny.camera_statistics, None
    features, images = extract(tiny, town.train, quiet=True)
    wanted = centring.moments(features, cameras_of(images))
    assert known.names == ("1", "2", "3")
    np.testing.assert_allclose(known.moments, wanted, atol=1e-6)
