"""An exported file in the place of an encoder: as other programs load it, and as reseen does."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import PIL.Image
import pytest
import torch

from reseen import evaluate, extract, search
from reseen.errors import CheckpointError, DataError, SettingsError
from reseen.export import Exported, export
from reseen.export.card import PICTURES, beside, from_metadata, read_beside
from reseen.export.contract import contract_for
from reseen.nets.encoder import digest
from reseen.records import Image
from reseen.training import embedder, load
from tests.export.test_contract import DO

pytestmark = pytest.mark.xdist_group("export")


@pytest.fixture(scope="module")
def file(given_file):
    return Exported(given_file)


@pytest.fixture
def copy(given_file, tmp_path):
    """A copy of the file, without the card beside it, that a test may spoil."""
    return shutil.copy(given_file, tmp_path / "copy.onnx")


def test_a_tracker_gets_the_vectors_of_the_encoder(given_encoder, given_file, town):
    """BoxMOT in ten lines of numpy: crop, stretch, RGB, /255, ImageNet's mean and std."""
    session = onnxruntime.InferenceSession(given_file)
    (entry,), (out,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, out.name) == ("images", "tensor(float)", "embeddings")
    assert entry.shape == ["batch", 3, 64, 32] and out.shape == ["batch", 32]
    for count in (1, 2, 5):
        pictures = [PIL.Image.open(image.path) for image in town.train[:count]]
        size = entry.shape[:1:-1]
        rgb = np.stack([np.asarray(p.resize(size, PIL.Image.BILINEAR)) for p in pictures])
        rgb = rgb.transpose(0, 3, 1, 2)
        (found,) = session.run(None, {entry.name: DO["boxmot"](rgb[:, ::-1]).astype(np.float32)})
        with torch.inference_mode():
            wanted = given_encoder(torch.from_numpy(rgb.copy())).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_it_ranks_as_the_run_does(given_encoder, file, town):
    found, images = extract(file, town, quiet=True)
    wanted, again = extract(given_encoder, town, quiet=True)
    assert images == again and (found * wanted).sum(1).min() > 0.9999
    one, two = (evaluate(e, town, quiet=True) for e in (file, given_encoder))
    assert one.mean_ap == pytest.approx(two.mean_ap, abs=1e-4)
    hits, others = (
        search(e, town.query[0], town.gallery, 5, quiet=True) for e in (file, given_encoder)
    )
    assert [hit.image for hit in hits] == [hit.image for hit in others]


def test_cameras_are_centred_as_by_the_run(given_encoder, file, town):
    found, wanted = (
        extract(e, town.query, centring="mean", quiet=True)[0] for e in (file, given_encoder)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_card_says_the_same_inside_and_beside(given_encoder, given_file, file):
    card = file.card
    assert read_beside(given_file) == replace(card, mean=list(card.mean), std=list(card.std))
    assert (card.consumer, card.height, card.width, card.dimensions) == ("boxmot", 64, 32, 32)
    assert (card.run, card.data, card.threshold["similarity"]) == ("runs/small", "Noise.", 0.6)
    assert card.digest == digest(given_encoder) and card.settings == given_encoder.settings
    assert file.settings.width == 32 and file.dimensions == 32
    known, cameras = given_encoder.camera_statistics, file.camera_statistics
    assert cameras.names == known.names and (cameras.moments == known.moments).all()
    assert set(card.vectors) == {"one.png", "two.png"}
    keys = {entry.key for entry in onnx.load(given_file).metadata_props}
    assert {"scale", "order", "height", "resize", "digest", "vectors", "threshold"} <= keys


def changed(path, **changes):
    model = onnx.load(path)
    told = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, told | changes)
    onnx.save(model, path)


@pytest.mark.parametrize("scale", ["unit", "pixel"])
def test_a_wrong_contract_is_seen(copy, scale):
    changed(copy, scale=f'"{scale}"')
    with pytest.raises(CheckpointError, match="gives other vectors than it should"):
        Exported(copy)


def test_a_file_that_gives_everybody_the_same_vector_is_refused(copy):
    model = onnx.load(copy)
    last = model.graph.node[-1]
    assert last.output == ["embeddings"]
    constant = onnx.helper.make_tensor("same", onnx.TensorProto.FLOAT, (2, 32), [32**-0.5] * 64)
    last.CopyFrom(onnx.helper.make_node("Constant", [], ["embeddings"], value=constant))
    onnx.save(model, copy)
    with pytest.raises(CheckpointError, match="same vector for two different people"):
        Exported(copy)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(format="9"), "format 9, but this version reads 1"),
        (dict(vectors='{"one.png": [1.0]}'), "card of .* is damaged"),
        (dict(scale='"8bit"'), "scale is '8bit'"),
        (dict(vectors="{"), "has no card of this package"),
    ],
)
def test_damaged_cards_are_refused(copy, changes, says):
    changed(copy, **changes)
    with pytest.raises((CheckpointError, SettingsError), match=says):
        Exported(copy)


def test_what_is_no_such_file_is_refused(given_file, tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        Exported(tmp_path / "a.onnx")
    with pytest.raises(SettingsError, match=r"does not end in one of: \.onnx"):
        Exported(tmp_path / "a.engine")
    (tmp_path / "a.onnx").write_bytes(given_file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot be opened"):
        Exported(tmp_path / "a.onnx")
    (tmp_path / "a.pt2").write_bytes(b"")
    with pytest.raises(CheckpointError, match="has no card"):
        Exported(tmp_path / "a.pt2")
    beside(tmp_path / "a.pt2").write_text("{}")
    with pytest.raises(CheckpointError, match="has no card of this package"):
        Exported(tmp_path / "a.pt2")
    with pytest.raises(CheckpointError, match="format None"):
        from_metadata({"digest": "", "vectors": {}}, tmp_path / "a.pt2")


def test_it_stands_for_a_run_but_cannot_be_trained(given_file, file):
    assert embedder(given_file).card.digest == file.card.digest
    for changes in (dict(best=True), dict(adapt_norm="crops/")):
        with pytest.raises(SettingsError, match="Leave out best and adapt_norm"):
            embedder(given_file, **changes)
    with pytest.raises(CheckpointError, match=r"is an exported file\. It can compute features"):
        load(given_file)
    assert file.eval().train(False) is file
    with pytest.raises(SettingsError, match="cannot be trained"):
        file.train()


def test_a_missing_runtime_is_said(given_file, monkeypatch):
    monkeypatch.setattr("reseen.errors.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"onnxruntime, .* pip install 'reseen\[export\]'"):
        Exported(given_file)


def test_int8_needs_pictures(given_encoder, tmp_path):
    contract = contract_for("plain", "int8")
    with pytest.raises(DataError, match="int8 needs 32 images or more"):
        export(given_encoder, tmp_path / "a.onnx", contract=contract)
    with pytest.raises(SettingsError, match=r"does not end in \.xml"):
        export(given_encoder, tmp_path / "a.onnx", "openvino")
    assert not list(tmp_path.iterdir())


def test_torch_has_a_form_of_its_own(given_encoder, town, tmp_path):
    card = export(given_encoder, tmp_path / "a.pt2", "torch")
    assert card == replace(card, scale="pixel", order="rgb", batch=0)
    found, _ = extract(Exported(tmp_path / "a.pt2"), town.query, quiet=True)
    np.testing.assert_allclose(found, extract(given_encoder, town.query, quiet=True)[0], atol=1e-5)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 32), np.uint8)
    with torch.inference_mode():
        other = torch.export.load(tmp_path / "a.pt2").module()(torch.from_numpy(pixels).float())
        torch.testing.assert_close(
            other, given_encoder(torch.from_numpy(pixels)), atol=1e-5, rtol=0
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("consumer", "precision", "least"),
    [
        ("ultralytics", "float32", 0.99999),
        ("ultralytics", "float16", 0.999),
        ("deepstream", "int8", 0.9),
        ("openvino", "float32", 0.99999),
        ("openvino", "float16", 0.999),
    ],
)
def test_every_form_gives_its_program_the_vectors_of_the_encoder(
    given_encoder, town, tmp_path, consumer, precision, least
):
    path = tmp_path / ("a.xml" if consumer == "openvino" else "a.onnx")
    pictures = [Image(image.path) for image in town.train]
    contract = contract_for(consumer, precision)
    export(given_encoder, path, consumer, contract=contract, calibrate=pictures)
    bgr = np.stack([_opened(image.path) for image in town.query[:4]]).transpose(0, 3, 1, 2)[:, ::-1]
    images = DO[consumer](bgr).astype(np.float32)
    if consumer == "openvino":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        model = openvino.Core().compile_model(path, "CPU", settings)
        assert list(model.input(0).shape) == [1, 3, 64, 32]
        found = np.concatenate([model(image[None])[0].copy() for image in images])
    else:
        (found,) = onnxruntime.InferenceSession(path).run(None, {"images": images})
    with torch.inference_mode():
        wanted = given_encoder(torch.from_numpy(bgr[:, ::-1].copy())).numpy()
    assert (found * wanted).sum(1).min() > least
    assert (found != wanted).any() and Exported(path).likeness > 0.99999


def _opened(path):
    return np.asarray(PIL.Image.open(path).resize((32, 64), PIL.Image.BILINEAR))


def test_two_pictures_ship_for_the_check():
    assert [path.name for path in PICTURES] == ["one.png", "two.png"]
