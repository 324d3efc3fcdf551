import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reseen.data.loading import Loading
from reseen.engine.folder import checkpoint, read_metrics, read_paths
from reseen.errors import CheckpointError, DataError, SettingsError
from reseen.records import Dataset, Image
from reseen.report.attention import draw_pairs
from reseen.report.clusters import show_clusters
from reseen.report.curves import show_run
from reseen.report.evidence import Evidence, found, titles
from reseen.report.report import notes
from reseen.report.thumbnails import Thumbnails, draw
from reseen.training import evaluate, extract, load


def test_features_clusters_and_people_belong_together(run, town, evidence):
    images, features, labels, before = evidence.learnt
    assert [image.path for image in images] == read_paths(run)
    assert {i.path: (i.person, i.camera) for i in images} == {
        i.path: (i.person, i.camera) for i in town.train
    }
    for number, of in ((3, labels), (2, before)):
        np.testing.assert_array_equal(of.ids, np.load(run / "labels" / f"{number:04d}.npy"))
    alone, _ = extract(load(run), images, quiet=True)
    np.testing.assert_array_equal(features, alone)


def test_the_search_is_that_of_evaluate(run, town, evidence):
    assert evidence.searchable
    ranking = evaluate(load(run), town, quiet=True)
    assert evidence.tested.ranking.summary() == ranking.summary()
    assert ranking.mean_ap == pytest.approx(read_metrics(run)[-1]["mAP"], abs=1e-6)
    assert len(evidence.tested.features) == len(evidence.tested.images)


def test_pictures_of_both_parts_are_read_once(town, run, monkeypatch):
    from reseen.engine import extract as extraction

    read = []
    true = extraction.load
    monkeypatch.setattr(
        extraction, "load", lambda images, *a: read.append(images) or true(images, *a)
    )
    both = replace(town, query=town.train, gallery=town.train)
    evidence = Evidence(run, both)
    assert len(evidence.learnt.images) == len(evidence.tested.images)
    assert len(read) == 1
    assert np.array_equal(
        evidence.tested.features[0],
        evidence.learnt.features[
            [i.path for i in evidence.learnt.images].index(evidence.tested.images[0].path)
        ],
    )


def test_without_data_the_run_names_its_images(blind_run):
    evidence = Evidence(blind_run)
    images, features, labels, _ = evidence.learnt
    assert {image.camera for image in images} == {image.person for image in images} == {None}
    assert len(images) == len(features) == len(labels.ids)
    assert not evidence.searchable and not evidence.first_frames


def test_places_in_a_ranking_are_those_of_what_was_searched(run, town):
    """A query of whom nothing is known and a picture that cannot be read are left out before."""
    gone = Image(town.root / "gone.jpg", 1, 0)
    query = (replace(town.query[0], person=None), *town.query[1:])
    data = replace(town, query=query, gallery=(gone, *town.gallery))
    evidence = Evidence(run, data, loading=Loading(skip_broken=True))
    ranking, searched = evidence.tested.ranking, evidence.tested.data
    assert searched.query == query[1:] and searched.gallery == town.gallery
    for row, place in enumerate(ranking.queries):
        for hit, right in zip(ranking.top[row], ranking.right[row], strict=True):
            if hit >= 0:
                shown = searched.gallery[hit].person
                assert (shown == searched.query[place].person) == right
    for pair in draw_pairs(evidence):
        assert (pair.asked.person == pair.found.person) == (pair.kind == "right")


def test_clusters_that_lost_all_their_pictures_are_not_counted(blind_run, tmp_path):
    moved = Path(shutil.copytree(blind_run, tmp_path / "run"))
    paths, ids = read_paths(moved), np.load(moved / "labels" / "0002.npy")
    lost = ids == 0
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    names = [broken if gone else path for path, gone in zip(paths, lost, strict=True)]
    (moved / "images.txt").write_text("".join(f"{name}\n" for name in names))
    evidence = Evidence(moved, loading=Loading(skip_broken=True))
    learnt = evidence.learnt
    assert f"{lost.sum()} training images of run cannot be read" in " ".join(
        notes([evidence], moved)
    )
    assert len(learnt.images) == len(learnt.features) == len(learnt.labels.ids) == (~lost).sum()
    np.testing.assert_array_equal(learnt.labels.ids, np.maximum(ids[~lost] - 1, -1))
    assert len(learnt.before.ids) == (~lost).sum()


def test_data_may_lie_elsewhere_by_now(run, town, town_folder, tmp_path):
    from reseen.data.reading import read

    moved = tmp_path / "moved"
    shutil.copytree(town_folder, moved)
    images = found(read_paths(run), read(moved))
    assert [i.path.name for i in images] == [p.name for p in read_paths(run)]
    assert all(image.path.is_relative_to(moved) for image in images)


def test_the_longest_path_below_the_root_decides():
    data = Dataset("x", Path("new"), (Image(Path("new/a/1.jpg")), Image(Path("new/1.jpg"))))
    images = found([Path("old/a/1.jpg"), Path("old/1.jpg")], data)
    assert [i.path.as_posix() for i in images] == ["new/a/1.jpg", "new/1.jpg"]
    with pytest.raises(DataError, match=r"trained on old/2\.jpg, which is not among the 2"):
        found([Path("old/2.jpg")], data)


def test_pictures_that_are_gone_are_said(blind_run, tmp_path):
    shutil.copytree(blind_run, tmp_path / "run")
    (tmp_path / "run" / "images.txt").write_text("gone/a.jpg\ngone/b.jpg\n")
    with pytest.raises(DataError, match=r"2 of the 2 training images .* first is gone/a\.jpg"):
        _ = Evidence(tmp_path / "run").learnt


def test_a_run_that_has_only_begun(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    checkpoint(tmp_path / "run", "last").unlink()
    (tmp_path / "run" / "metrics.jsonl").unlink()
    evidence = Evidence(tmp_path / "run")
    assert not evidence.trained and evidence.rows == [] and evidence.labels is None
    with pytest.raises(CheckpointError, match="holds no run"):
        Evidence(tmp_path)


def test_labels_are_those_of_the_last_round_that_made_some(run, town, tmp_path):
    """BUC ends in a round that labels nothing; DAAL begins with one."""
    moved = Path(shutil.copytree(run, tmp_path / "run"))
    (moved / "labels" / "0003.npy").unlink()
    evidence = Evidence(moved, town)
    assert (evidence.round, evidence.labelled) == (3, 2)
    np.testing.assert_array_equal(evidence.labels.ids, np.load(moved / "labels" / "0002.npy"))
    np.testing.assert_array_equal(
        evidence.labels_before.ids, np.load(moved / "labels" / "0001.npy")
    )
    section = show_clusters([evidence], Thumbnails(pictures=False))
    assert "Round 3 made no clusters, so those of round 2 are shown." in section.html


def test_a_round_without_a_checkpoint_does_not_count(run, town, tmp_path):
    moved = Path(shutil.copytree(run, tmp_path / "run"))
    with (moved / "metrics.jsonl").open("a") as file:
        file.write('{"round": 4, "clusters": 0, "noise": 1.0}\n')
    np.save(moved / "labels" / "0004.npy", np.full(72, -1))
    evidence = Evidence(moved, town)
    assert evidence.rows[-1]["round"] == evidence.labelled == 3 and evidence.labels.clusters
    assert "Round 4 of run failed or is not finished" in show_run([evidence], Thumbnails()).html
    assert "failed or is not finished" not in show_run([Evidence(run, town)], Thumbnails()).html


def test_a_round_that_ends_meanwhile(run, town, tmp_path):
    moved = Path(shutil.copytree(run, tmp_path / "run"))
    state = torch.load(checkpoint(moved, "last"), weights_only=True)
    earlier = {**state, "round": 2, "metrics": state["metrics"][:-1]}
    torch.save(earlier, checkpoint(moved, "last"))
    evidence = Evidence(moved, town)
    assert evidence.rows[-1]["round"] == 2
    torch.save(state, checkpoint(moved, "last"))
    np.testing.assert_array_equal(evidence.labels.ids, np.load(moved / "labels" / "0003.npy"))
    assert evidence.rows[-1]["round"] == evidence.round == 3


def test_a_tracklet_is_seen_by_its_first_sound_frame(run, video, tmp_path):
    folder = tmp_path / "c1"
    folder.mkdir()
    for path in video.train[0].paths:
        shutil.copy(path, folder)
    broken = replace(video.train[0], path=folder / video.train[0].path.name)
    broken.path.write_bytes(b"no picture")
    data = Dataset("video", tmp_path, (broken,), (broken,), (video.train[1],))
    evidence = Evidence(run, data, loading=Loading(skip_broken=True))
    seen = {image.path: image for image in evidence.tested.images}[broken.path]
    assert seen.frames == broken.frames[1:] and len(evidence.crops([seen]).images) == 1
    assert draw(seen).size


def test_titles_tell_runs_apart(tmp_path):
    folders = [tmp_path / name for name in ("a/run", "b/run", "b/other")]
    assert titles(folders[1:]) == ["run", "other"]
    assert titles(folders) == ["a/run", "b/run", "b/other"]


def test_the_encoder_that_ships_has_no_run(town, town_folder):
    evidence = Evidence("reseen-tiny", town)
    assert evidence.trained and evidence.shipped and evidence.title == "reseen-tiny"
    assert evidence.learnt.images == town.train and evidence.labels is None
    assert evidence.encoder.settings.height == 128 and evidence.left_out == 0
    with pytest.raises(SettingsError, match="so a report needs crops"):
        Evidence("reseen-tiny")
