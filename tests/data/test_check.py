from dataclasses import replace

import pytest

from reseen.data.check import check
from reseen.data.folder import read as read_folder
from reseen.data.market1501 import read
from reseen.records import Image
from tests.data.trees import MARKET, picture, tree


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
    assert "train: 3 images, 2 people, 3 cameras, 16 x 8 pixels" in text
    assert "gallery: 3 images, 2 people, 2 cameras" in text and "(1 junk)" in text


def test_nothing_to_say_about_good_data(tmp_path):
    names = [f"c{i % 2}/{i}.png" for i in range(120)]
    for i, name in enumerate(names):
        picture(tmp_path / name, (i, 2 * i, 255 - i), size=(32, 64))
    report = check(read_folder(tmp_path))
    assert report.problems == () and str(report).endswith("Nothing that would hurt.")
    assert "cameras: 0 = c0, 1 = c1" in str(report)


def test_broken_and_truncated_pictures(market):
    market.train[0].path.write_bytes(market.train[0].path.read_bytes()[:-40])
    market.query[0].path.write_text("nothing")
    text = about(market, "cannot be read")
    assert text.startswith("2 pictures") and "--skip-broken" in text
    assert str(market.train[0].path) in text and str(market.query[0].path) in text


def test_tiny_and_wide_pictures(market):
    assert about(market, "smaller than 32 x 16 pixels").startswith("7 pictures")
    picture(market.train[0].path, size=(60, 40))
    assert str(market.train[0].path) in about(market, "wider than high")


def test_copies_within_and_across(market):
    market.train[1].path.write_bytes(market.train[0].path.read_bytes())
    text = about(market, "byte for byte")
    assert f"{market.train[0].path} = {market.train[1].path}" in text
    market.query[0].path.write_bytes(market.train[2].path.read_bytes())
    assert "too good" in about(market, "stand in train and again")


def test_a_picture_listed_as_query_and_gallery_is_no_copy(market):
    both = replace(market, query=market.gallery)
    assert not any("byte for byte" in text for text in problems(both))


def test_cameras(market):
    one = replace(market, train=tuple(replace(image, camera=1) for image in market.train))
    assert "second one" in about(one, "from one camera")
    none = replace(market, train=tuple(replace(image, camera=None) for image in market.train))
    assert "one sub-folder" in about(none, "No camera is known")


def test_few_images(market):
    assert "only 3 training images" in about(market, "training images")


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
