import errno
from functools import partial

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reseen.data.loading import Crops, Loading, decode, evenly, resized, thin
from reseen.data.pictures import read_jpeg
from reseen.errors import DataError, SettingsError
from reseen.records import Image


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(11):
        pixels = rng.integers(0, 256, (16, 8, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
    paths = sorted(tmp_path.iterdir())
    return tuple(Image(path, camera=None if i else 3) for i, path in enumerate(paths))


def order(count=11, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(count)[:5] for _ in range(9)]


@pytest.mark.parametrize("workers", [1, 3])
def test_kept_and_read_anew_give_the_same_pixels(images, workers):
    kept = Crops(images, 16, 8)
    anew = Crops(images, 16, 8, Loading(memory=0, workers=workers))
    assert kept.pixels is not None and anew.pixels is None
    for (p, x), (q, y), want in zip(
        kept.batches(order()), anew.batches(order()), order(), strict=True
    ):
        assert np.array_equal(p, want) and np.array_equal(q, want)
        assert x.dtype == y.dtype == torch.uint8
        assert torch.equal(x, y)
        assert torch.equal(x[0], torch.from_numpy(decode(images[want[0]].path, 16, 8)))


def test_only_wanted_rows_are_read(images, monkeypatch):
    crops, read = Crops(images, 8, 4, Loading(memory=0)), []
    decode = crops._decode
    monkeypatch.setattr(crops, "_decode", lambda path: read.append(path) or decode(path))
    order = np.arange(len(images))
    [(positions, pixels)] = crops.batches([order], lambda count: slice(1, count - 1))
    assert sorted(read) == sorted(image.path for image in images[1:-1])
    [(_, whole)] = crops.batches([order])
    assert len(positions) == len(pixels) == len(images)
    assert torch.equal(pixels[1:-1], whole[1:-1])


def test_decode_gives_what_lies_in_the_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", 16, 8), pixels.transpose(2, 0, 1))


def test_decode_resizes_turns_upright_and_makes_colour(tmp_path):
    grey = PIL.Image.new("L", (8, 16), 7)
    grey.save(tmp_path / "grey.png")
    assert np.array_equal(decode(tmp_path / "grey.png", 4, 6), np.full((3, 4, 6), 7))
    wide = PIL.Image.new("RGB", (16, 8))
    wide.paste((255, 0, 0), (0, 0, 8, 8))  # left half red
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left becomes top
    wide.save(tmp_path / "turned.png", exif=exif)
    red = decode(tmp_path / "turned.png", 16, 8)[0]
    assert (red[:8] == 255).all() and (red[8:] == 0).all()


KINDS = [
    dict(subsampling=0), dict(subsampling=1, quality=30), dict(subsampling=2, progressive=True),
    dict(mode="L"), dict(mode="CMYK"), dict(optimize=True, comment=b"mine"),
]  # fmt: skip


@pytest.mark.parametrize("how", KINDS, ids=str)
def test_a_jpeg_is_read_as_pillow_reads_it(tmp_path, how):
    draw, path = np.random.default_rng(0), tmp_path / "a.jpg"
    how = dict(how)
    mode = how.pop("mode", "RGB")
    few = PIL.Image.fromarray(draw.integers(0, 256, (12, 7, 3), np.uint8))
    few.resize((37, 61), PIL.Image.Resampling.BICUBIC).convert(mode).save(path, **how)
    slow = PIL.Image.open(path).convert("RGB")
    assert (read_jpeg(path) is None) == (mode == "CMYK")
    for height, width in ((61, 37), (122, 74), (128, 64), (30, 16), (122, 37)):
        pixels = decode(path, height, width)
        wanted = np.array(slow.resize((width, height), PIL.Image.Resampling.BICUBIC))
        assert np.array_equal(pixels, wanted.transpose(2, 0, 1))
        assert pixels.flags.c_contiguous and pixels.flags.writeable
        assert np.array_equal(pixels, resized(slow, height, width))


def test_what_only_pillow_understands_is_left_to_it(tmp_path, monkeypatch):
    whole, path = tmp_path / "whole.jpg", tmp_path / "a.jpg"
    PIL.Image.new("RGB", (8, 16), "red").save(whole)
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    PIL.Image.new("RGB", (8, 16), "red").save(tmp_path / "turned.jpg", exif=exif)
    pixels = read_jpeg(whole)
    assert pixels is not None and read_jpeg(tmp_path / "turned.jpg") is None
    for spoilt in (b"", whole.read_bytes()[:-20], b"no picture\xff\xd9", b"\xff\xd8\xff\xd9"):
        path.write_bytes(spoilt)
        assert read_jpeg(path) is None
    assert read_jpeg(tmp_path / "none.jpg") is None and read_jpeg(tmp_path) is None
    monkeypatch.setattr("reseen.data.pictures._quick_decoder", lambda: None)
    assert read_jpeg(whole) is None and np.array_equal(decode(whole, 16, 8), pixels)


@pytest.mark.parametrize("memory", [8.0, 0.0])
def test_broken_pictures_are_named_all_at_once(images, memory):
    images[2].path.write_bytes(images[2].path.read_bytes()[:60])
    images[5].path.write_text("no picture")
    images[7].path.unlink()
    with pytest.raises(DataError) as error:
        Crops(images, 16, 8, Loading(memory=memory))
    text = str(error.value)
    assert text.startswith("3 of 11 pictures cannot be read")
    assert all(images[i].path.name in text for i in (2, 5, 7))
    assert "--skip-broken" in text

    crops = Crops(images, 16, 8, Loading(memory=memory, skip_broken=True))
    assert [int(image.path.stem) for image in crops.images] == [0, 1, 3, 4, 6, 8, 9, 10]
    assert len(crops.broken) == 3
    (_, pixels), *_ = crops.batches([np.array([2])])
    assert torch.equal(pixels[0], torch.from_numpy(decode(images[3].path, 16, 8)))


def test_nothing_but_broken_pictures_is_an_error_all_the_same(images):
    for image in images:
        image.path.write_text("")
    with pytest.raises(DataError, match="11 of 11"):
        Crops(images, 16, 8, Loading(skip_broken=True))


def test_cameras_are_minus_one_where_unknown(images):
    assert Crops(images, 16, 8).cameras.tolist() == [3] + [-1] * 10


def test_a_spoilt_exif_is_a_broken_picture(images):
    path = images[4].path.with_suffix(".jpg")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (8, 16)).save(path, exif=exif)
    data = bytearray(path.read_bytes())
    place = data.index(b"Exif") + 6
    data[place + 8 : place + 20] = b"\xff" * 12
    path.write_bytes(bytes(data))
    try:
        decode(path, 16, 8)
    except OSError as error:
        assert str(error)


def test_a_picture_that_vanishes_is_named(images):
    crops = Crops(images, 16, 8, Loading(memory=0))
    images[3].path.unlink()
    with pytest.raises(DataError, match=r"03\.png"):
        list(crops.batches([np.arange(5)]))


@pytest.mark.parametrize("wrong", [{"memory": -1.0}, {"workers": -1}, {"frames": -1}])
def test_negative_amounts_are_refused(wrong):
    with pytest.raises(SettingsError, match="Use 0 or more"):
        Loading(**wrong)


@pytest.fixture
def tracklets(images):
    """Frames 0 to 4, 5 to 9, and a single picture."""
    names = [image.path.name for image in images]
    parts = (names[:5], names[5:10])
    return *(Image(images[0].path.with_name(n[0]), frames=tuple(n)) for n in parts), images[10]


def chance():
    return np.random.default_rng(7)


def drawn(crops, images, turns=40):
    """Which picture each draw gave, found by its pixels."""
    known = {decode(image.path, 16, 8).tobytes(): i for i, image in enumerate(images)}
    order = [np.array([2, 0, 1, 0])] * turns
    batches = [(p, [known[x.numpy().tobytes()] for x in px]) for p, px in crops.batches(order)]
    assert all(np.array_equal(positions, order[0]) for positions, _ in batches)
    return np.array([frames for _, frames in batches])


@pytest.mark.parametrize("memory", [8.0, 0.0])
def test_batches_draw_frames_of_tracklets(images, tracklets, memory):
    crops = Crops(tracklets, 16, 8, Loading(memory=memory, frames=2), chance=chance)
    found = drawn(crops, images)
    assert len(crops) == 3 and crops.tracklets
    assert set(found[:, 0]) == {10} and set(found[:, 2]) == {5, 6, 7, 8, 9}
    assert set(found[:, 1]) == set(found[:, 3]) == {0, 1, 2, 3, 4}  # all, whatever the bound
    assert (found[:, 1] != found[:, 3]).any()  # drawn anew each time
    assert np.array_equal(drawn(crops, images), found)  # by the generator alone


def test_frames_are_drawn_evenly(images, tracklets):
    crops = Crops(tracklets, 16, 8, chance=chance)
    counts = np.bincount(drawn(crops, images, 1000)[:, 2] - 5)
    assert (np.abs(counts - 200) < 60).all()


def test_frames_without_chance_are_refused(images, tracklets):
    with pytest.raises(ValueError, match="needs chance"):
        Crops(tracklets, 16, 8).batches([np.arange(3)])
    assert not Crops(images, 16, 8).tracklets


@pytest.mark.parametrize("memory", [8.0, 0.0])
def test_frames_that_make_features(images, tracklets, memory):
    crops = Crops(tracklets, 16, 8, Loading(memory=memory, frames=2))
    assert crops.owners.tolist() == [0, 0, 1, 1, 2]
    ((_, pixels),) = crops.frames([np.arange(5)])
    want = [decode(images[i].path, 16, 8) for i in (1, 3, 6, 8, 10)]
    assert np.array_equal(pixels, want)
    assert Crops(tracklets, 16, 8).owners.tolist() == [0] * 5 + [1] * 5 + [2]


def test_the_memory_of_tracklets_is_that_of_their_frames(images, tracklets):
    eleven, ten = (Loading(memory=count * 3 * 16 * 8 / 1e9) for count in (11, 10))
    assert Crops(tracklets, 16, 8, eleven).pixels is not None
    assert Crops(tracklets, 16, 8, ten).pixels is None


@pytest.mark.parametrize("memory", [8.0, 0.0])
def test_broken_frames_leave_the_others(images, tracklets, memory):
    for i in (0, 3, *range(5, 10)):
        images[i].path.write_text("no picture")
    with pytest.raises(DataError, match="7 of 11 pictures cannot be read"):
        Crops(tracklets, 16, 8, Loading(memory=memory))
    sound = Loading(memory=memory, skip_broken=True)
    crops = Crops(tracklets, 16, 8, sound, chance=chance)
    assert [image.path.name for image in crops.images] == ["00.png", "10.png"]
    assert crops.images[0].frames == ("01.png", "02.png", "04.png")
    ((_, pixels),) = crops.frames([np.arange(4)])
    assert np.array_equal(pixels, [decode(images[i].path, 16, 8) for i in (1, 2, 4, 10)])
    (_, pixels), *_ = crops.batches([np.array([1])])
    assert np.array_equal(pixels[0], decode(images[10].path, 16, 8))


@given(st.integers(1, 300), st.integers(1, 40))
def test_evenly_spaced(count, most):
    places = evenly(count, most)
    assert len(places) == min(count, most)
    assert places[0] >= 0 and places[-1] < count
    steps = np.diff(places)
    assert (steps >= 1).all() and (len(steps) == 0 or steps.max() - steps.min() <= 1)
    assert abs(places[0] - (count - 1 - places[-1])) <= 1  # as far from either end


def test_evenly_by_hand():
    assert evenly(10, 2).tolist() == [2, 7] and evenly(9, 1).tolist() == [4]
    assert evenly(3, 0).tolist() == evenly(3, 5).tolist() == [0, 1, 2]


def test_thin_keeps_what_a_tracklet_is(tracklets):
    thinned = thin(tracklets[0], 2)
    assert thinned.frames == ("01.png", "03.png") and thinned.path == tracklets[0].path
    assert thin(tracklets[0], 0) == tracklets[0] and thin(tracklets[2], 1) == tracklets[2]


RAMP = np.linspace(0, 1, 128).reshape(16, 8)


@pytest.mark.parametrize(
    ("most", "kind", "name", "white"),
    [
        (65535, np.uint16, "x.png", 65535),
        (4095, np.uint16, "x.png", 4095),
        (4000, np.uint16, "x.tif", 4095),
        (200, np.uint16, "x.png", 255),
        (1000, np.int32, "x.tif", 1023),
        (65535, np.int32, "x.tif", 65535),
        (10**9, np.int32, "x.tif", 10**9),
        (1, np.float32, "x.tif", 1),
        (0.5, np.float32, "x.tif", 1),
        (255, np.float32, "x.tif", 255),
        (16000, np.float32, "x.tif", 16383),
    ],
)
def test_wide_pictures_are_scaled(tmp_path, most, kind, name, white):
    values = (RAMP * most).astype(kind)
    PIL.Image.fromarray(values).save(tmp_path / name)
    expected = np.rint(values.astype(float) * 255 / white)
    pixels = decode(tmp_path / name, 16, 8)
    assert len(np.unique(expected)) > 50
    assert all(np.abs(colour.astype(float) - expected).max() <= 1e-4 for colour in pixels)


def test_pictures_of_bytes_stay(tmp_path):
    values = (RAMP * 100).astype(np.uint8)
    PIL.Image.fromarray(values).save(tmp_path / "x.png")
    assert (decode(tmp_path / "x.png", 16, 8) == values).all()


def test_values_below_black_or_no_numbers_are_black(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, :4] = np.nan, np.inf, -np.inf, -7
    PIL.Image.fromarray(values).save(tmp_path / "x.tif")
    pixels = decode(tmp_path / "x.tif", 16, 8)
    assert (pixels[:, 0, :4] == 0).all() and pixels.max() == 255
    PIL.Image.fromarray(np.full((16, 8), np.nan, np.float32)).save(tmp_path / "y.tif")
    assert (decode(tmp_path / "y.tif", 16, 8) == 0).all()


def test_long_lists_of_broken_pictures_are_cut(tmp_path):
    gone = [Image(tmp_path / f"{i:02d}.png") for i in range(25)]
    with pytest.raises(DataError, match=r"25 of 25 pictures .*") as error:
        Crops(gone, 16, 8)
    assert "19.png" in str(error.value) and "20.png" not in str(error.value)
    assert "... and 5 more" in str(error.value)


@pytest.mark.parametrize("memory", [8.0, 0.0])
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
def test_errors_of_the_system_are_no_broken_pictures(images, monkeypatch, memory, code):
    crops = Crops(images, 16, 8, Loading(memory=0))

    def fail(*_):
        raise OSError(code, "the system")

    monkeypatch.setattr("PIL.Image.open", fail)
    with pytest.raises(OSError, match="the system") as error:
        Crops(images, 16, 8, Loading(memory=memory, skip_broken=True))
    assert error.value.errno == code
    with pytest.raises(OSError, match="the system"):
        next(crops.batches([np.array([2])]))


def test_checksums_follow_the_bytes_of_each_image(tmp_path):
    for i, name in enumerate("abcd"):
        PIL.Image.new("RGB", (8, 16), (i, 0, 0)).save(tmp_path / f"{name}.png")
    tracklet = Image(tmp_path / "a.png", frames=("a.png", "b.png"))
    images = [tracklet, Image(tmp_path / "c.png"), Image(tmp_path / "d.png")]

    def sums(**options):
        chance = partial(np.random.default_rng, 0)
        return Crops(images, 16, 8, Loading(**options), chance=chance).checksums.tolist()

    before = sums()
    assert len(set(before)) == 3 and before == sums(memory=0)
    assert Crops(images, 16, 8).checksums.tolist() == []
    PIL.Image.new("RGB", (8, 16), (9, 0, 0)).save(tmp_path / "b.png")
    after = sums()
    assert after[0] != before[0] and after[1:] == before[1:]
    (tmp_path / "c.png").write_bytes(b"")
    assert sums(skip_broken=True) == [after[0], after[2]]
