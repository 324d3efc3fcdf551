from dataclasses import replace

import numpy as np
import pytest

from reseen.cluster.survey import survey
from reseen.errors import DataError, SettingsError


def crops(sizes, spread=0.6, d=64, seed=0):
    """Unit rows around one random direction a person; `spread` is the length of what is added."""
    draw = np.random.default_rng(seed)
    rows = np.repeat(draw.standard_normal((len(sizes), d)) / np.sqrt(d), sizes, axis=0)
    rows += spread * draw.standard_normal(rows.shape) / np.sqrt(d)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("size, people", [(3, 10), (4, 60), (9, 60), (16, 50)])
def test_images_a_person_are_found_and_settings_follow(size, people):
    found = survey(crops([size] * people))
    assert found.per_person == pytest.approx(size, rel=0.25)
    assert found.expected == pytest.approx(people, rel=0.25)
    assert found.clusters[0] < people < found.clusters[1]
    assert size <= found.k1 <= max(10, 3 * size)
    assert found.found == pytest.approx(people, rel=0.25)


def test_people_of_many_sizes():
    sizes = np.random.default_rng(1).integers(2, 20, 60)
    found = survey(crops(sizes))
    assert found.per_person == pytest.approx((sizes**2).sum() / sizes.sum(), rel=0.35)
    assert found.clusters[0] < 60 < found.clusters[1]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 11, 30])
def test_few_images_have_settings_too(n):
    found = survey(crops([1] * n))
    assert 1 <= found.k2 <= found.k1 <= max(2, n // 2)
    assert 0 < found.eps < 1 and found.per_person >= 1
    assert 0 < found.clusters[0] <= found.clusters[1] <= max(2, n)


def test_copies_are_one_person():
    found = survey(np.repeat(crops([1] * 10), 6, axis=0))
    assert found.per_person == pytest.approx(6)


def test_cameras_are_counted_where_they_are_known():
    rows = crops([4] * 5)
    assert survey(rows).cameras == 0
    assert survey(rows, np.repeat([0, 3, -1, 7, 7], 4)).cameras == 3


def test_what_is_given_is_not_estimated_and_everything_follows():
    rows = crops([4] * 60)
    found = survey(rows, per_person=16)
    assert found.per_person == 16 and found.expected == 15 and found.clusters == (7.5, 30.0)
    assert (found.k1, found.k2, found.min_samples) == (24, 6, 4)
    assert survey(rows, per_person=4) == replace(survey(rows), per_person=4, clusters=(30, 120))


@pytest.mark.parametrize("given", [0.5, -3, 241, np.nan, np.inf])
def test_what_cannot_be_is_refused(given):
    with pytest.raises(SettingsError, match=r"images_per_person is .* for 240 images"):
        survey(crops([4] * 60), per_person=given)


def test_unusable_features_are_refused():
    with pytest.raises(DataError):
        survey(np.zeros((8, 4), np.float32))
