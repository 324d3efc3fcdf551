"""Where encoders with every attention module look, on invented people."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen import training
from reseen.data.masks import read_masks
from reseen.engine import attention
from reseen.engine.attention import attention_maps, attention_on_person
from reseen.engine.extract import load
from reseen.engine.run import Run
from reseen.errors import DataError, SettingsError
from reseen.metrics.attention import person_share
from reseen.nets.attention import ATTENTION
from reseen.nets.encoder import build

from ..conftest import TINY

LEVELS = ("pixel", "head", "domain")


def made(*names, **changes):
    torch.manual_seed(0)
    size = dict(height=96, width=48)  # maps of 5 x 2 places
    return build(replace(TINY, attention=names, **size, **changes)).train()


@pytest.fixture(scope="module")
def crops(town):
    return load(town.train[:6], made())


@pytest.fixture(autouse=True)
def _two_batches(monkeypatch):
    monkeypatch.setattr(attention, "default_batch", lambda encoder: 4)


def pooled(encoder, pixels):
    """The last map's energy, one crop after the other."""
    encoder.eval()
    with torch.no_grad():
        maps = torch.cat([encoder.map(pixel[None]) for pixel in pixels]).numpy()
    return (maps.astype(np.float64) ** 2).sum(1)


@pytest.mark.parametrize("place", ["after", "in"])
@pytest.mark.parametrize("names", [*((name,) for name in ATTENTION), LEVELS], ids="+".join)
def test_every_module_has_maps(crops, town_folder, names, place):
    encoder = made(*names, attention_place=place)
    maps = attention_maps(encoder, crops)
    weighing = [name for name in names if name != "reduction"]
    left = ["left"] * ("domain-adaptive" in names)
    assert set(maps) == {"before", *weighing, *left, "after", "last"} and encoder.training
    for found in maps.values():
        assert found.shape == (6, *maps["last"].shape[1:]) and (found >= 0).all()
        assert found.dtype == np.float32
    shares = attention_on_person(encoder, crops, town_folder)
    assert all(0 <= share <= 1 and 0 < area < 1 for share, area in shares.values())
    if place == "after":
        np.testing.assert_array_equal(maps["after"], maps["last"])
        plain = made()
        plain.backbone.load_state_dict(encoder.backbone.state_dict())
        np.testing.assert_allclose(maps["before"], pooled(plain, crops.pixels), rtol=2e-3)
    np.testing.assert_allclose(maps["last"], pooled(encoder, crops.pixels), rtol=2e-3)


@pytest.mark.parametrize(
    "name", ["voxel", "voxel-spatial", "harmonious", "cbam", "pixel", "domain-adaptive"]
)
def test_weights_times_the_map_are_what_comes_out(name):
    torch.manual_seed(0)
    module, x = ATTENTION[name](16), torch.randn(3, 16, 5, 2)
    torch.testing.assert_close(module.weights(x) * x, module(x))


def test_what_is_left_and_what_is_kept_are_the_map(crops):
    """With weights of one half everywhere both have a quarter of the energy."""
    encoder = made("domain-adaptive")
    torch.nn.init.zeros_(encoder.attention[0].across[4].weight)
    maps = attention_maps(encoder, crops)
    assert (maps["domain-adaptive"] == 0.5).all()
    np.testing.assert_allclose(maps["left"], maps["before"] / 4, rtol=1e-5)
    np.testing.assert_allclose(maps["after"], maps["before"] / 4, rtol=1e-5)


def test_weights_of_head_and_domain_are_where_their_answer_comes_from():
    """With values that are places themselves, the mean answer is the weight."""
    torch.manual_seed(0)
    head, x = ATTENTION["head"](8, heads=2, height=5, width=2), torch.randn(3, 8, 5, 2)
    weights, (query, key, _) = head.weights(x), head._parts(x)
    told = torch.eye(10).expand(3, 2, 10, 10)
    answer = torch.nn.functional.scaled_dot_product_attention(query, key, told)
    torch.testing.assert_close(answer.mean(2), weights.flatten(2))
    domain = ATTENTION["domain"](8, keys=4).weights(x)
    assert domain.shape == (3, 4, 5, 2)
    torch.testing.assert_close(domain.sum((2, 3)), torch.ones(3, 4))


def test_a_module_blind_to_places_has_exactly_the_area(crops, town_folder):
    shares = attention_on_person(made("voxel-channel"), crops, town_folder)
    share, area = shares["voxel-channel"]
    assert share == pytest.approx(area, rel=1e-6)
    assert shares["before"][0] != pytest.approx(area, rel=1e-3)


def test_a_gate_that_is_closed_hides_attention_from_the_last_map(crops):
    plain, gated = made(), made("voxel", attention_gate=True)
    maps = attention_maps(gated, crops)
    np.testing.assert_allclose(maps["last"], attention_maps(plain, crops)["last"], rtol=1e-5)
    assert not np.allclose(maps["after"], maps["last"])


def test_without_attention_there_is_the_last_map(crops, town_folder):
    assert set(attention_on_person(made(), crops, town_folder)) == {"last"}


def test_a_person_of_only_the_attended_place_is_found(crops, town_folder):
    """Masks are those of the crops: brightening the person's pixels draws the pixels' energy."""
    masks = read_masks(town_folder, crops.images, *crops.size)
    lit = masks.astype(np.float32)
    share, area = person_share(lit, masks)
    assert share == pytest.approx(np.ones(6)) and (area > 0.05).all() and (area < 0.95).all()
    paths = [town_folder / "masks" / i.path.relative_to(town_folder) for i in crops.images]
    assert paths[0].with_suffix(".png").is_file()


def test_the_start_of_a_run_is_made_again(quick, town, tmp_path):
    method = quick("adtc", rounds=1)
    trained = training.train(method, town, tmp_path / "run", seed=3, quiet=True)
    other = Run(tmp_path / "other", seed=3).build(trained.settings)
    start = training.untrained(tmp_path / "run")
    for name, weight in start.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])
    assert any(not torch.equal(w, start.state_dict()[n]) for n, w in trained.state_dict().items())


def test_what_cannot_be_measured_is_refused(crops, tmp_path, town_folder):
    with pytest.raises(DataError, match=r"has no masks.*reseen data invent"):
        attention_on_person(made("cbam"), crops, tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"cannot be read.*Draw the data set again"):
        read_masks(tmp_path, [replace(crops.images[0], path=tmp_path / "a.jpg")], 8, 4)
    with pytest.raises(SettingsError, match="cbam, cbam"):
        attention_maps(made("cbam", "cbam"), crops)
