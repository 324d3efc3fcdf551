import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.records import JUNK, NOISE, Image
from reseen.report import maps
from reseen.report.evidence import Evidence
from reseen.report.thumbnails import Thumbnails


@pytest.fixture
def blobs():
    """Three tight groups of twenty, far from each other."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(8, dtype=np.float32)[:3], 20, 0) + 0.02 * rng.normal(size=(60, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


umap = [
    pytest.mark.skipif(find_spec("umap") is None, reason="umap-learn is not installed"),
    pytest.mark.filterwarnings("ignore::ImportWarning"),  # it would like tensorflow as well
]
kinds = pytest.mark.parametrize("kind", ["tsne", "pca", pytest.param("umap", marks=umap)])


@kinds
def test_groups_stay_together(blobs, kind):
    points = maps.project(blobs, kind)
    assert points.shape == (60, 2) and np.isfinite(points).all()
    gaps = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert (gaps.argmin(1) // 20 == np.arange(60) // 20).all()
    np.testing.assert_array_equal(points, maps.project(blobs, kind))


def test_pca_is_that_of_the_singular_values():
    rows = np.random.default_rng(0).normal(size=(30, 4)) * (5, 3, 1, 1)
    middle = rows - rows.mean(0)
    _, _, axes = np.linalg.svd(middle, full_matrices=False)
    np.testing.assert_allclose(
        np.abs(maps.project(rows, "pca")), np.abs(middle @ axes[:2].T), atol=1e-9
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
@kinds
def test_few_images_have_a_map_too(blobs, count, kind):
    assert maps.project(blobs[:count], kind).shape == (count, 2)


def test_what_cannot_be_drawn_is_said(monkeypatch):
    with pytest.raises(SettingsError, match=r"map is 'sne'\. Use one of: tsne, pca, umap"):
        maps.check_map("sne")
    monkeypatch.setattr("reseen.errors.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'reseen\[umap\]'"):
        maps.project(np.eye(6, dtype=np.float32), "umap")


def test_clusters_are_drawn_whole_and_every_image_as_often():
    ids = np.array([0] * 6 + [1] * 3 + [2] * 5 + [NOISE] * 10)
    times = np.zeros(24)
    for seed in range(600):
        drawn = maps.draw_points(ids, 24, 8, seed)
        times[drawn] += 1
        assert len(drawn) == 8 and (np.diff(drawn) > 0).all()
        part = [k for k in range(3) if 0 < (ids[drawn] == k).sum() < (ids == k).sum()]
        assert len(part) <= 1  # the last one, where it does not fit
    np.testing.assert_allclose(times / 600, 8 / 24, atol=0.12)
    np.testing.assert_array_equal(maps.draw_points(ids, 24, 100), np.arange(24))
    assert len(np.unique(maps.draw_points(None, 24, 7))) == 7


def test_groups_are_what_is_known():
    images = [Image(Path("a"), 7, 2), Image(Path("b"), JUNK, None), Image(Path("c"), 3, 2)]
    groups = maps.groups_of(images, np.array([4, NOISE, 9]), {2: "door"})
    assert {name: (g.ids.tolist(), list(g.names)) for name, g in groups.items()} == {
        "cluster": ([0, -1, 1], ["cluster 4", "cluster 9"]),
        "camera": ([0, -1, 0], ["camera door"]),
        "person": ([1, -1, 0], ["person 3", "person 7"]),
    }
    assert maps.groups_of([Image(Path("a"))], None, {}) == {}
    assert maps.groups_of([Image(Path("a"))], np.array([NOISE]), {}) == {}


@pytest.mark.parametrize("groups", [3, 40])
def test_a_figure_has_every_point(groups):
    rng = np.random.default_rng(0)
    ids = np.concatenate([np.arange(groups), rng.integers(-1, groups, 60)])
    points = rng.normal(size=(len(ids), 2))
    named = maps.Groups(ids, [f"g{k}" for k in range(groups)], "none")
    figure = maps.plot_map(points, named, "title")
    drawn = np.concatenate([part.get_offsets() for part in figure.axes[0].collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, points))
    assert bool(figure.legends) == (groups <= maps.LEGEND)
    assert len(maps.plot_map(points).axes[0].collections) == 1


def test_a_page_has_every_point_and_its_crop(evidence):
    pictures = Thumbnails()
    section = maps.show_map([evidence], pictures, "pca", most=50)
    told = json.loads(re.search(r'application/json">(.*?)</script>', section.html).group(1))
    head, *rows = section.tables["map-points"]
    assert head == ["path", "x", "y", "cluster", "camera", "person"]
    assert len(rows) == len(told["x"]) == len(told["y"]) == len(set(told["thumb"])) == 50
    person = told["groups"]["person"]
    known = {image.path.as_posix(): image.person for image in evidence.learnt.images}
    for row, i in zip(rows, person["ids"], strict=True):
        assert row[5] == person["names"][i] == f"person {known[row[0]]}"
    xs = np.array([row[1:3] for row in rows], float)
    np.testing.assert_allclose(np.corrcoef(xs[:, 0], told["x"])[0, 1], 1, atol=1e-4)
    np.testing.assert_allclose(np.corrcoef(xs[:, 1], told["y"])[0, 1], -1, atol=1e-4)
    assert set(section.figures) == {"map-cluster", "map-camera", "map-person"}
    assert "50 of 72 images" in section.html


def test_runs_share_the_points(evidence, blind_run):
    pictures = Thumbnails(pictures=False)
    section = maps.show_map([evidence, Evidence(blind_run)], pictures, "pca", most=60)
    assert [len(section.tables[f"map-{i}-points"]) - 1 for i in (1, 2)] == [30, 30]
    assert set(section.figures) >= {"map-1-person", "map-2-cluster"} and len(pictures) == 0
    assert "map-2-person" not in section.figures and '"thumb":[]' in section.html


def test_names_cannot_end_the_script():
    groups = {"camera": maps.Groups(np.array([0]), ["</script><b>"], "")}
    html = maps.map_html(np.zeros((1, 2)), groups, [Image(Path("a"))], Thumbnails(pictures=False))
    assert html.count("</script>") == 1 and "<b>" not in html
