from dataclasses import replace

import numpy as np
import pytest
import torch

from reseen.data.loading import Loading, decode
from reseen.engine.evaluate import Judge, search
from reseen.errors import DataError, SettingsError
from reseen.kernels.centring import CameraStatistics
from reseen.nets.encoder import build
from reseen.records import Dataset, PseudoLabels, distinct
from reseen.training import extract
from tests.conftest import TINY


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build(TINY).eval()


def slow_map(encoder, town):
    """Mean average precision, one query and one gallery image after the other."""
    vectors = {}
    for image in (*town.query, *town.gallery):
        pixels = torch.from_numpy(decode(image.path, 48, 24))[None]
        with torch.no_grad():
            vectors[image.path] = encoder(pixels)[0]
    precisions = []
    for query in town.query:
        scored = []
        for image in town.gallery:
            if image.person == -1 or (image.person, image.camera) == (query.person, query.camera):
                continue
            similarity = float(vectors[query.path] @ vectors[image.path])
            scored.append((-similarity, image.person == query.person))
        right = [same for _, same in sorted(scored)]
        hits = [sum(right[: i + 1]) / (i + 1) for i, same in enumerate(right) if same]
        if hits:
            precisions.append(sum(hits) / len(hits))
    return float(np.mean(precisions))


def test_search_equals_the_loop(encoder, town):
    ranking = Judge(town).search(encoder)
    assert 0.05 < ranking.mean_ap < 0.99
    assert ranking.mean_ap == pytest.approx(slow_map(encoder, town), abs=1e-4)


def test_the_order_of_files_changes_nothing(encoder, town):
    turned = replace(town, query=town.query[::-1], gallery=town.gallery[::-1])
    assert Judge(turned).search(encoder).mean_ap == pytest.approx(
        Judge(town).search(encoder).mean_ap, abs=1e-9
    )


def test_images_that_are_query_and_gallery_do_not_find_themselves(encoder, town):
    images = tuple(replace(image, camera=None) for image in town.gallery if image.person != -1)
    both = Dataset("both", town.root, (), images, images)
    ranking = Judge(both).search(encoder)
    place = {image.path: i for i, image in enumerate(images)}
    mine = np.array([place[images[q].path] for q in ranking.queries])
    assert not (ranking.top == mine[:, None]).any()
    assert ranking.mean_ap < 1


def test_reranking_gives_another_order(encoder, town):
    judge = Judge(town)
    assert judge.search(encoder, rerank=True).mean_ap != judge.search(encoder).mean_ap


def test_nothing_to_search_is_said(encoder, town):
    with pytest.raises(DataError, match="0 queries and 0 gallery"):
        Judge(Dataset("half", town.root, town.train)).search(encoder)


def test_broken_gallery_pictures_are_left_out_when_asked(encoder, town, tmp_path):
    bad = tmp_path / "0001_c1s1_000000_00.jpg"
    bad.write_text("no picture")
    broken = replace(town, gallery=(replace(town.gallery[0], path=bad), *town.gallery))
    with pytest.raises(DataError, match="1 of"):
        Judge(broken).search(encoder)
    skipped = Judge(broken, Loading(skip_broken=True)).search(encoder)
    assert skipped.mean_ap == Judge(town).search(encoder).mean_ap


def test_labels_are_judged_in_the_order_of_the_images(town):
    judge = Judge(town)
    images = town.unlabelled(3)
    truth = {image.path: image.person for image in town.train}
    ids = np.unique([truth[image.path] for image in images], return_inverse=True)[1]
    assert judge.labels(images, PseudoLabels(ids))["nmi"] == pytest.approx(1)
    assert judge.labels(images[::-1], PseudoLabels(ids))["nmi"] < 0.9


def test_labels_without_truth_are_not_judged(town):
    unknown = replace(town, train=town.unlabelled(0))
    ids = PseudoLabels(np.zeros(len(town.train), np.int64))
    assert Judge(unknown).labels(unknown.train, ids) == {}


def test_people_seen_once_are_nothing_to_search(encoder, town):
    alone = replace(town, query=town.query[:1], gallery=town.query[:1])
    assert Judge(town).can_search and not Judge(alone).can_search
    with pytest.raises(DataError, match="no query has a match"):
        Judge(alone).search(encoder)


def test_tracklets_are_searched_as_a_loop_would(encoder, video):
    """Query and gallery are the same tracklets; the same person by the same camera is left out."""
    vectors = {}
    for image in video.query:
        pixels = np.stack([decode(path, 48, 24) for path in image.paths])
        with torch.no_grad():
            vector = encoder(torch.from_numpy(pixels)).mean(0)
        vectors[image.path] = vector / vector.norm()
    precisions = []
    for query in video.query:
        others = [i for i in video.gallery if (i.person, i.camera) != (query.person, query.camera)]
        others.sort(key=lambda image: -float(vectors[image.path] @ vectors[query.path]))
        ranks = [k for k, image in enumerate(others, 1) if image.person == query.person]
        precisions.append(np.mean([found / k for found, k in enumerate(ranks, 1)]))
    ranking = Judge(video).search(encoder)
    assert ranking.mean_ap == pytest.approx(np.mean(precisions), abs=1e-4)
    bounded = Judge(video, Loading(frames=1)).search(encoder)
    assert bounded.mean_ap != ranking.mean_ap


def test_centred_searches_equal_a_search_by_centred_features(encoder, town):
    judge = Judge(town)
    with pytest.raises(SettingsError, match="this encoder has no camera statistics"):
        judge.compare(encoder, ("off", "mean"))
    images = distinct(town.query, town.gallery)
    features, _ = extract(encoder, images, quiet=True)
    moments = np.random.default_rng(0).random((3, 2, features.shape[1]), np.float32)
    first, second = sorted({str(image.camera) for image in images})[:2]
    encoder.camera_statistics = CameraStatistics((first, second), moments)
    found = judge.compare(encoder, ("off", "deviation"))
    assert found["off"].summary() == judge.search(encoder).summary()
    names = [str(image.camera) for image in images]
    centred = encoder.camera_statistics.centred(features, names, "deviation")
    assert found["deviation"].summary() == search(town, images, centred).summary()
    assert found["deviation"].mean_ap != found["off"].mean_ap
    named = replace(town, cameras={int(first): second, int(second): first})
    swapped = Judge(named).compare(encoder, ("deviation",))["deviation"]
    assert swapped.mean_ap != found["deviation"].mean_ap
