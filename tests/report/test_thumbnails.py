import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from reseen.records import Image
from reseen.report.thumbnails import ACROSS, DOWN, HEIGHT, WIDTH, Thumbnails, draw, where


@pytest.fixture
def images(tmp_path):
    """Pictures of one colour each, of many shapes."""

    def make(count, shape=(20, 40)):
        made = []
        for i in range(count):
            path = tmp_path / f"{i}.png"
            PIL.Image.new("RGB", shape, (i % 250, 255 - i % 250, 40)).save(path)
            made.append(Image(path))
        return made

    return make


def sheets(css):
    found = re.findall(r"\.s(\d+)\{background-image:url\(data:image/jpeg;base64,([^)]+)\)", css)
    assert [int(number) for number, _ in found] == list(range(len(found)))
    return [np.asarray(PIL.Image.open(BytesIO(b64decode(data)))) for _, data in found]


def test_each_picture_is_where_its_element_says(images):
    count = ACROSS * DOWN + ACROSS + 3
    made, kept = images(count), Thumbnails()
    shown = [kept.html(image, 'a "label"') for image in made]
    pages = sheets(kept.css())
    assert len(pages) == 2 and pages[0].shape == (DOWN * HEIGHT, ACROSS * WIDTH, 3)
    for i, html in enumerate(shown):
        sheet, x, y = map(int, re.search(r"s(\d+)\" style=\"--x:(\d+);--y:(\d+)", html).groups())
        cut = pages[sheet][y * HEIGHT :, x * WIDTH :][:HEIGHT, :WIDTH].reshape(-1, 3).mean(0)
        np.testing.assert_allclose(cut, (i % 250, 255 - i % 250, 40), atol=6)
        assert 'title="a &quot;label&quot;"' in html
        assert (sheet, x, y) == where(i)


def test_a_picture_is_kept_once(images):
    first, second = images(2)
    kept = Thumbnails()
    assert [kept.place(i) for i in (first, second, first)] == [0, 1, 0]
    assert len(kept) == 2
    assert kept.pixels(second).shape == (HEIGHT, WIDTH, 3) and len(kept) == 2


@pytest.mark.parametrize("shape", [(64, 128), (30, 31), (100, 20), (1, 1)])
def test_every_shape_fits_and_keeps_its_proportions(images, shape):
    [image] = images(1, shape)
    pixels = np.asarray(draw(image)).astype(int)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    own = np.abs(pixels - (0, 255, 40)).sum(2) < 10
    scale = min(WIDTH / shape[0], HEIGHT / shape[1])
    assert own.any(0).sum() == pytest.approx(shape[0] * scale, abs=1)
    assert own.any(1).sum() == pytest.approx(shape[1] * scale, abs=1)


def test_blur_hides_the_upper_quarter_only(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "a.png")
    clear, blurred = (
        np.asarray(draw(Image(tmp_path / "a.png"), blur=blur)).astype(float)
        for blur in (False, True)
    )
    np.testing.assert_array_equal(clear, noise)
    np.testing.assert_array_equal(blurred[32:], noise[32:])
    assert blurred[:32].std() < noise[:32].std() / 10


def test_heat_lies_over_the_picture_and_black_where_it_is_hidden(images):
    image = images(1, (WIDTH, HEIGHT))[0]
    plain = np.asarray(draw(image), int)
    heat = np.array([[0, 1], [0, np.nan]])
    warm = np.asarray(draw(image, heat=heat), int)
    half = HEIGHT // 2, WIDTH // 2
    np.testing.assert_array_equal(warm[:, : half[1]], plain[:, : half[1]])
    assert not warm[half[0] :, half[1] :].any()
    hot = 255 * np.array([0.4796, 0.01583, 0.01055])  # the end of turbo (Mikhailov, 2019)
    expected = 0.25 * plain[0, 0] + 0.75 * hot
    assert np.abs(warm[: half[0], half[1] :] - expected).max() < 1
    kept = Thumbnails()
    places = {kept.place(image), kept.place(image, heat), kept.place(image, 1 - heat)}
    assert places == {0, 1, 2} and kept.place(image, heat.copy()) == 1
    smooth = np.asarray(draw(image, heat=np.array([[0.0], [1.0]])), int)
    assert len(np.unique(smooth[:, 0, 0])) > 10 and (smooth[:, 0] == smooth[:, -1]).all()
