import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as v2

from reseen.data.augment import (
    AugmentSettings,
    Draws,
    apply,
    apply_on_device,
    augment,
    cut_out,
    draw,
)
from reseen.errors import SettingsError

FILL = torch.tensor([124.0, 116.0, 104.0]).view(3, 1, 1)


def pixels(count=32, height=24, width=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def slow(picture, draws, i, pad):
    height, width = picture.shape[1:]
    if draws.cut is not None:
        y, x, h, w = (int(n) for n in draws.cut[i])
        picture = v2.resized_crop(picture, y, x, h, w, [height, width], antialias=False)
    if draws.flip[i]:
        picture = v2.horizontal_flip(picture)
    picture = v2.pad(picture, [pad])
    picture = v2.crop(picture, int(draws.top[i]), int(draws.left[i]), height, width)
    y, x, h, w = (int(n) for n in draws.box[i])
    return v2.erase(picture, y, x, h, w, FILL.to(torch.uint8)) if h else picture


@pytest.mark.parametrize("pad", [0, 4])
def test_same_pixels_as_torchvision_one_by_one(pad):
    settings = AugmentSettings(pad=pad)
    batch = pixels()
    draws = draw(np.random.default_rng(3), len(batch), 24, 12, settings)
    assert draws.flip.any() and draws.box[:, 2].any() and not draws.box[:, 2].all()
    fast = apply(batch, draws, pad, FILL)
    for i, picture in enumerate(batch):
        assert torch.equal(fast[i], slow(picture, draws, i, pad))


@pytest.mark.parametrize("pad", [0, 4])
def test_a_gpu_gives_the_same_pixels(pad):
    batch = pixels()
    draws = draw(np.random.default_rng(3), len(batch), 24, 12, AugmentSettings(pad=pad))
    assert torch.equal(apply_on_device(batch, draws, pad, FILL), apply(batch, draws, pad, FILL))


def test_scaled_crops_are_those_of_torchvision_but_for_rounding():
    batch = pixels()
    settings = AugmentSettings(crop_area=(0.5, 1))
    draws = draw(np.random.default_rng(3), len(batch), 24, 12, settings)
    fast = apply(batch, draws, settings.pad, FILL)
    each = [slow(picture, draws, i, settings.pad) for i, picture in enumerate(batch)]
    apart = (fast.int() - torch.stack(each).int()).abs()
    assert apart.max() <= 1 and (apart > 0).float().mean() < 0.1  # fixed-point weights there
    whole = np.tile([0, 0, 24, 12], (len(batch), 1))
    assert torch.equal(cut_out(batch, whole), batch)


def test_scaled_crops_fit_and_leave_other_draws_as_they_were():
    off, on = AugmentSettings(), AugmentSettings(crop_area=(0.64, 1))
    plain, draws = (draw(np.random.default_rng(0), 20_000, 128, 64, of) for of in (off, on))
    assert plain.cut is None and np.array_equal(plain.box, draws.box)
    y, x, h, w = draws.cut.T
    assert (y >= 0).all() and (y + h).max() == 128 and (x >= 0).all() and (x + w).max() == 64
    cut = h < 128
    assert (h * w / (128 * 64)).min() > 0.63 and 0.9 < cut.mean() < 1
    assert 1.97 < (h / w)[cut].min() < 2.03 and 2.4 < (h / w).max() < 3.05
    assert len(set(y)) > 10 and len(set(x)) > 10


def test_every_flip_and_shift_of_a_small_picture():
    batch = pixels(1, 5, 4).repeat(2 * 7 * 7, 1, 1, 1)
    flip, top, left = (n.ravel() for n in np.indices((2, 7, 7)))
    box = np.tile([1, 2, 3, 1], (len(batch), 1)) * (top % 2)[:, None]
    draws = Draws(flip.astype(bool), top, left, box)
    fast = apply(batch, draws, 3, FILL)
    for i, picture in enumerate(batch):
        assert torch.equal(fast[i], slow(picture, draws, i, 3))


def test_the_batch_that_came_in_is_not_changed():
    batch = pixels()
    before = batch.clone()
    augment(batch, np.random.default_rng(0), AugmentSettings(flip=1, erase=1), FILL)
    assert torch.equal(batch, before)


def test_nothing_is_done_when_all_is_off():
    batch = pixels()
    off = AugmentSettings(flip=0, pad=0, erase=0)
    assert torch.equal(augment(batch, np.random.default_rng(0), off, FILL), batch)


def test_draws_follow_the_settings():
    settings = AugmentSettings(flip=0.25, pad=5, erase=0.75, erase_area=(0.1, 0.3))
    draws = draw(np.random.default_rng(0), 20_000, 128, 64, settings)
    assert np.mean(draws.flip) == pytest.approx(0.25, abs=0.01)
    assert set(draws.top) == set(draws.left) == set(range(11))
    y, x, h, w = draws.box[draws.box[:, 2] > 0].T
    assert len(h) / 20_000 == pytest.approx(0.75, abs=0.01)
    share = h * w / (128 * 64)
    assert share.min() > 0.09 and share.max() < 0.31
    assert (y >= 0).all() and (y + h).max() == 128 and (x >= 0).all() and (x + w).max() == 64


@pytest.mark.parametrize(
    "wrong",
    [
        *({"flip": 1.5}, {"erase": -0.1}, {"pad": -1}, {"erase_area": (0.5, 0.2)}),
        *({"crop_area": (0.9, 1.1)}, {"crop_area": (0.64, 1.0), "crop_aspect": (2.0, 3.0)}),
    ],
)
def test_refuses_impossible_settings(wrong):
    with pytest.raises(SettingsError, match=r"augment"):
        AugmentSettings(**wrong)


@pytest.mark.parametrize("area", [(1.0, 1.0), (0.64, 1.0)])
def test_some_rows_get_what_they_get_in_the_whole_batch(area):
    settings, fill = AugmentSettings(crop_area=area), torch.full((3, 1, 1), 7.0)
    pixels = torch.randint(0, 256, (9, 3, 24, 12), dtype=torch.uint8)
    kept, rows = pixels.clone(), slice(4, 7)
    whole = augment(pixels, np.random.default_rng(3), settings, fill)
    some = augment(pixels, np.random.default_rng(3), settings, fill, rows)
    assert torch.equal(some[rows], whole[rows]) and torch.equal(some[:4], kept[:4])
    assert torch.equal(pixels, kept)
