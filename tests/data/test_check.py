import errno
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from reseen.data.check import _near, check
from reseen.data.folder import read as read_folder
from reseen.data.market1501 import read
from reseen.records import Dataset, Image
from tests.data.trees import MARKET, picture, tree


def striped(path, seed, **options):
    """A picture of noise, which no other seed makes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), np.uint8)
    PIL.Image.fromarray(noise).resize((32, 64)).save(path, **options)
    return path


@pytest.fixture
def market(tmp_path):
    return read(tree(tmp_path, MARKET))


def problems(dataset):
    return [str(problem) for problem in check(dataset).problems]


def about(dataset, words):
    (found,) = [text for text in problems(dataset) if words in text]
    return found


def test_what_is_found(market):
    text = str(check(market))
    assert "train: 3 images, 2 people, 3 cameras, 8 x 16 pixels (width x height)" in text
    assert "gallery: 3 images, 2 people, 2 cameras" in text and "(1 junk)" in text


def test_nothing_to_say_about_good_data(tmp_path, monkeypatch):
    names = [f"c{i % 2}/{i}.png" for i in range(120)]
    for i, name in enumerate(names):
        striped(tmp_path / name, i)
    monkeypatch.setattr("reseen.data.check.HUNDREDS", 120)
    report = check(read_folder(tmp_path))
    assert report.problems == () and str(report).endswith("No problems were found.")
    assert report.found[0] == str(tmp_path)
    assert "cameras: 0 = c0, 1 = c1" in str(report)


def test_broken_and_truncated_pictures(market):
    market.train[0].path.write_bytes(market.train[0].path.read_bytes()[:-40])
    market.query[0].path.write_text("nothing")
    text = about(market, "cannot be read")
    assert text.startswith("2 pictures") and "--skip-broken" in text
    assert str(market.train[0].path) in text and str(market.query[0].path) in text


def test_tiny_and_wide_pictures(market):
    assert about(market, "smaller than 16 x 32 pixels").startswith("7 pictures")
    picture(market.train[0].path, size=(60, 40))
    assert f"{market.train[0].path}: 60 x 40" in about(market, "wider than high")


def test_copies_within_and_across(market):
    market.train[1].path.write_bytes(market.train[0].path.read_bytes())
    text = about(market, "byte for byte")
    assert f"{market.train[0].path} = {market.train[1].path}" in text
    market.query[0].path.write_bytes(market.train[2].path.read_bytes())
    assert "too good" in about(market, "both in train and in query")


def test_a_picture_listed_as_query_and_gallery_is_no_copy(market):
    both = replace(market, query=market.gallery)
    assert not any("byte for byte" in text for text in problems(both))


def test_cameras(market):
    one = replace(market, train=tuple(replace(image, camera=1) for image in market.train))
    assert "second one" in about(one, "from one camera")
    images = (market.train, market.query, market.gallery)
    parts = (tuple(replace(image, camera=None) for image in part) for part in images)
    none = replace(market, **dict(zip(("train", "query", "gallery"), parts, strict=True)))
    assert not any("camera is" in text for text in problems(none))  # it does not hurt
    assert "no camera is known: training works without" in str(check(none))


def test_few_images(market):
    assert "only 3 training images" in about(market, "training images")
    hundreds = replace(market, train=market.train * 100, format="market_like")
    assert "--preset cpu" in about(hundreds, "300 training images are few")


def test_queries_without_a_match(market):
    assert not any("have no match" in text for text in problems(market))
    same_camera = replace(market.query[0], camera=2)
    stranger = Image(market.query[0].path, person=99, camera=1)
    text = about(replace(market, query=(same_camera, stranger, *market.query)), "have no match")
    assert text.startswith("2 of 3 queries")


def test_queries_that_are_their_own_only_match(market):
    alone = (replace(market.query[0], camera=None),)
    text = about(replace(market, query=alone, gallery=alone), "have no match")
    assert text.startswith("1 of 1 queries")


def test_long_lists_are_cut_and_counted(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}.jpg").write_text("x")
    text = about(read_folder(tmp_path), "cannot be read")
    assert "... and 4 more" in text


def test_pictures_of_a_single_colour(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png", (i, i, i))
        striped(tmp_path / f"other{i}.png", i)
    text = about(read_folder(tmp_path), "single colour")
    assert text.startswith("3 pictures") and "other" not in text


def test_scaled_pictures_are_counted(tmp_path):
    for i, most in enumerate((4000, 4001, 60000)):
        ramp = np.linspace(0, most, 64, dtype=np.uint16).reshape(16, 4)
        PIL.Image.fromarray(ramp).save(tmp_path / f"{i}.png")
    text = str(check(read_folder(tmp_path)))
    assert "2 pictures with more than 8 bits or floats, scaled from 0 to 4095" in text
    assert "1 picture with more than 8 bits or floats, scaled from 0 to 65535" in text


def test_near_duplicates_across_query_and_gallery(tmp_path):
    def image(name, seed, person, camera, **options):
        return Image(striped(tmp_path / name, seed, **options), person, camera)

    query = tuple(image(f"q{i}.png", i, i, 1) for i in range(8))
    gallery = tuple(
        image(f"g{i}.jpg", i if i < 4 else 100 + i, i, 1 if i < 2 else 2, quality=90)
        for i in range(8)
    )
    data = Dataset("x", tmp_path, query[:1], query, gallery)
    text = about(data, "nearly identical")
    assert text.startswith("2 queries")  # those of the query's person and camera are left out
    assert f"{query[2].path} ~ {gallery[2].path}" in text and "q3.png ~" in text
    junk = tuple(replace(i, person=-1) for i in gallery)
    assert not any("nearly" in t for t in problems(replace(data, gallery=junk)))
    moved = tuple(replace(i, camera=None) for i in gallery)
    assert about(replace(data, gallery=moved), "nearly identical").startswith("4 queries")


def test_near_pairs_are_found_among_many():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3000, 8, 9)).astype(np.int16)
    small[1500] = small[7]
    small[1500, 0, :2] = small[7, 0, 1::-1]  # a bit of the hash differs
    assert set(_near(small)) <= {(7, 1500)}
    small[1500, 0, :2] = np.clip(small[7, 0, :2] + 3, 0, 255)
    assert set(_near(small)) == {(7, 1500)}


def test_cameras_that_share_nobody(market):
    people = [replace(image, person=image.camera) for image in market.train]
    text = about(replace(market, train=tuple(people)), "that another one saw")
    assert text.startswith("3 cameras") and "camera 2" in text and "(train)" in text
    shared = tuple(replace(image, person=1) for image in market.train)
    assert not any("another one saw" in t for t in problems(replace(market, train=shared)))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
def test_errors_of_the_system_are_not_told_as_broken_pictures(market, monkeypatch, code):
    def fail(*_):
        raise OSError(code, "the system")

    monkeypatch.setattr("reseen.data.check.scaled", fail)
    with pytest.raises(OSError, match="the system"):
        check(market)


def test_notes_are_shown(market):
    assert "  note: six passed over" in str(check(replace(market, notes=("six passed over",))))


def test_few_images_hurt_where_the_published_settings_are_the_default(market, monkeypatch):
    monkeypatch.setattr("reseen.data.check.FEW", 0)
    told = {
        format: [p.fix for p in check(replace(market, format=format)).problems if "few" in p.what]
        for format in ("market_like", "folder", "tracklets", "")
    }
    assert not told["folder"] + told["tracklets"] + told[""]
    assert len(told["market_like"]) == 1 and "--preset cpu" in told["market_like"][0]
