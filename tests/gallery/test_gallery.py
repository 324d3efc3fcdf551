import csv
import json
import time as clock
from dataclasses import replace
from io import BytesIO

import numpy as np
import PIL.Image
import pytest
import torch

from reseen import training
from reseen.errors import DataError, SettingsError, StoreError
from reseen.gallery.embedding import Embedder
from reseen.gallery.gallery import Gallery
from reseen.gallery.judge import ranked
from reseen.nets import encoder as encoders
from reseen.records import Image
from tests.conftest import TINY
from tests.gallery.conftest import CPU


@pytest.fixture
def by_person(gallery, town):
    """The ids of the crops of each person, in the order of the files."""
    people = {str(image.path.absolute()): image.person for image in town.train}
    found: dict[int, list[str]] = {}
    for crop in gallery.crops(limit=None):
        found.setdefault(people[crop.source], []).append(crop.id)
    return [found[person] for person in sorted(found)]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (40, 20, 3), np.uint8)


def test_what_is_added_is_there_with_what_is_known_of_it(gallery, town):
    crops = gallery.crops(limit=None)
    assert len(crops) == len(town.train) == 72
    by_source = {crop.source: crop for crop in crops}
    for image in town.train:
        crop = by_source[str(image.path.absolute())]
        assert crop.camera == str(image.camera) and crop.person is None and not crop.ignored
        assert gallery.picture(crop.id) == image.path.read_bytes()
    assert gallery.cameras() == {"1": 24, "2": 24, "3": 24}
    features, ids = gallery.features()
    assert features.shape == (72, 512) and len(set(ids)) == 72
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_an_empty_gallery_answers(empty, tmp_path):
    assert empty.search(picture()) == [[]] and empty.seen(picture()) == []
    assert empty.people() == empty.unknown() == empty.check() == []
    assert empty.info()["crops"] == empty.export(tmp_path / "all.npz") == empty.expire(0) == 0
    with pytest.raises(StoreError, match="holds no crops, so it cannot be calibrated"):
        empty.calibrate()
    assert empty.undo() is None


def test_adding_again_embeds_nothing(gallery, town, monkeypatch):
    embedder = gallery.embedder()
    monkeypatch.setattr(type(embedder), "embed", lambda *_: pytest.fail("embedded again"))
    added = gallery.add(town.train)
    assert (added.new, added.known, added.broken) == (0, 72, 0) and len(added.ids) == 72
    assert gallery.store.count() == 72


def test_pictures_in_memory_files_and_folders_are_taken(empty, tmp_path):
    first = empty.add([picture(1), PIL.Image.fromarray(picture(2))], camera="gate", time=5.0)
    again = empty.add(picture(1))
    assert (first.new, again.new, again.known) == (2, 0, 1) and first.ids[0] == again.ids[0]
    crop = empty.crop(first.ids[0])
    assert (crop.camera, crop.time, crop.source) == ("gate", 5.0, "")
    with PIL.Image.open(BytesIO(empty.picture(first.ids[0]))) as found:
        assert np.array_equal(np.array(found), picture(1))
    file = tmp_path / "x.png"
    PIL.Image.fromarray(picture(3)).save(file)
    assert empty.add(file).new == 1 and empty.add([str(file)]).known == 1


def test_broken_pictures_are_counted_and_the_others_added(empty, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no picture")
    PIL.Image.fromarray(picture()).save(tmp_path / "in" / "good.png")
    added = empty.add(tmp_path / "in")
    assert (added.new, added.broken, len(added.ids)) == (1, 1, 1)
    assert "bad.jpg" in added.lines[0] and "cannot identify" in added.lines[0]


def test_frames_of_a_tracklet_are_crops_that_know_it(empty, video):
    added = empty.add(video.train[:2])
    crops = [empty.crop(id) for id in added.ids]
    assert len(crops) == 8 and len({(c.camera, c.tracklet) for c in crops}) == 2
    (matches,) = empty.search(video.train[:1], top=3)
    assert {m.crop.tracklet for m in matches} == {video.train[0].path.parent.name}


def test_search_finds_the_nearest_but_not_the_picture_itself(gallery, town):
    features, ids = gallery.features()
    images = town.train[:5]
    found = gallery.search(images, top=4)
    for image, matches in zip(images, found, strict=True):
        (itself,) = [c.id for c in gallery.crops(limit=None) if c.source == str(image.path)]
        scores = features @ features[ids.index(itself)]
        scores[ids.index(itself)] = -1
        order = np.argsort(-scores)[:4]
        assert [m.crop.id for m in matches] == [ids[i] for i in order]
        assert [m.rank for m in matches] == [1, 2, 3, 4]
        assert np.allclose([m.similarity for m in matches], scores[order], atol=1e-5)
        by_crop = gallery.search_crop(itself, top=4)
        assert [m.crop for m in by_crop] == [m.crop for m in matches]


def test_search_filters_by_camera_and_time(empty, gallery, town):
    image = next(image for image in town.train if image.camera == 2)
    (other,) = gallery.search(image, top=99, same_camera=False)
    assert {m.crop.camera for m in other} == {"1", "3"} and len(other) == 48
    (one,) = gallery.search(image, top=99, camera="1")
    assert {m.crop.camera for m in one} == {"1"} and len(one) == 24
    with pytest.raises(StoreError, match=r"no camera '9'. There are: 1, 2, 3"):
        gallery.search(image, camera="9")
    for time in (1.0, 2.0, 3.0, None):
        empty.add(picture(int(time or 0)), time=time)
    (some,) = empty.search(picture(9), since=2.0, until=2.5)
    assert [m.crop.time for m in some] == [2.0]
    assert len(empty.search(picture(9))[0]) == 4


def test_re_ranking_changes_the_order_only(gallery, town):
    (plain,) = gallery.search(town.train[0], top=71)
    (ranked,) = gallery.search(town.train[0], top=71, rerank=True)
    score = {m.crop.id: m.similarity for m in plain}
    assert {m.crop.id: m.similarity for m in ranked} == score
    assert [m.crop.id for m in ranked] != [m.crop.id for m in plain]


def test_wrong_questions_are_refused(gallery, tmp_path):
    with pytest.raises(SettingsError, match="top is 0"):
        gallery.search(picture(), top=0)
    with pytest.raises(StoreError, match="no crop abc"):
        gallery.crop("abc")
    with pytest.raises(StoreError, match="no crop abc"):
        gallery.picture("abc")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad.jpg cannot be read"):
        gallery.search(tmp_path / "bad.jpg")


def test_names_are_given_and_taken_back(gallery, by_person):
    gallery.name(by_person[0][:5], "Anna")
    gallery.name(by_person[1], "Berta")
    anna, berta = gallery.people()
    assert (anna.name, anna.crops, berta.name, berta.crops) == ("Anna", 5, "Berta", 9)
    assert berta.cameras == ("1", "2", "3") and not berta.ignored
    assert {c.id for c in gallery.crops(person="Anna")} == set(by_person[0][:5])
    assert gallery.crop(by_person[0][0]).by == "hand"
    gallery.unname(by_person[0][:2])
    assert gallery.people()[0].crops == 3
    assert gallery.undo() == "2 crops without a name" and gallery.people()[0].crops == 5
    assert gallery.undo() == "9 crops named Berta" and len(gallery.people()) == 1
    assert gallery.undo() == "5 crops named Anna" and gallery.people() == []
    assert gallery.undo() is None


def test_a_denied_crop_is_not_named_so(gallery, by_person):
    first, second = by_person[0][:2]
    gallery.name([first, second], "Anna")
    gallery.deny("Anna", [second])
    assert gallery.crop(second).person is None
    with pytest.raises(StoreError, match="cannot be Anna: it was recorded that"):
        gallery.name([second], "Anna")
    gallery.allow("Anna", [second])
    gallery.name([second], "Anna")
    for _ in range(2):
        gallery.undo()
    with pytest.raises(StoreError, match="cannot be Anna"):
        gallery.accept([second], "Anna")
    assert gallery.undo() == "1 crop not Anna" and gallery.crop(second).person == "Anna"
    assert gallery.store.denials() == set()


def added_at(gallery, seed, **facts):
    """Add a picture with facts that only a video knows."""
    crops = [replace(gallery.crop(gallery.add(picture(seed)).ids[0]), **facts)]
    vectors, _ = gallery.features([crops[0].id])
    content = gallery.picture(crops[0].id)
    with gallery.store.changing():
        gallery.store.delete([crops[0].id])
        gallery.store.add(crops, vectors, [content])
    return crops[0].id


def test_two_boxes_of_a_frame_and_one_time_at_two_cameras_are_never_one_person(empty):
    frame = dict(source="/film.mp4", frame=7)
    one = added_at(empty, 1, **frame, box=(0, 0, 9, 9), camera="a", time=1.0)
    two = added_at(empty, 2, **frame, box=(20, 0, 29, 9), camera="a", time=1.0)
    three = added_at(empty, 3, camera="b", time=1.0)
    four = added_at(empty, 4, camera="b", time=2.0)
    with pytest.raises(StoreError, match=r"two boxes in frame 7 of /film.mp4. Nothing was changed"):
        empty.name([one, two], "Anna")
    assert empty.people() == []
    empty.name([one], "Anna")
    with pytest.raises(StoreError, match="two boxes"):
        empty.name([two], "Anna")
    with pytest.raises(StoreError, match="same time by two cameras, a and b"):
        empty.name([three], "Anna")
    empty.name([two], "Berta")
    with pytest.raises(StoreError, match="two boxes"):
        empty.merge("Berta", "Anna")
    empty.name([four], "Anna")


def test_people_are_merged_split_renamed_and_ignored(gallery, by_person):
    gallery.name(by_person[0], "Anna")
    gallery.name(by_person[1], "Berta")
    gallery.deny("Berta", by_person[2])
    assert gallery.merge("Berta", "Anna") == 9
    assert [p.name for p in gallery.people()] == ["Anna"] and gallery.people()[0].crops == 18
    with pytest.raises(StoreError, match="cannot be Anna"):  # it was not Berta either
        gallery.name(by_person[2], "Anna")
    gallery.split("Anna", by_person[1], "Carl")
    with pytest.raises(StoreError, match="is not named Anna"):
        gallery.split("Anna", by_person[1], "Dora")
    with pytest.raises(StoreError, match="Carl already exists"):
        gallery.rename("Anna", "Carl")
    gallery.rename("Carl", "Dora")
    assert {p.name: p.crops for p in gallery.people()} == {"Anna": 9, "Dora": 9}
    assert gallery.ignore("Dora") == 9 and gallery.people()[1].ignored
    assert len(gallery.search_crop(by_person[0][0], top=99)) == 72 - 9 - 1
    gallery.name(by_person[3][:1], "Dora")
    assert gallery.crop(by_person[3][0]).ignored  # as all of Dora
    for _ in range(6):
        assert gallery.undo()
    assert {p.name: p.crops for p in gallery.people()} == {"Anna": 9, "Berta": 9}
    assert len(gallery.search_crop(by_person[0][0], top=99)) == 71
    gallery.name(by_person[3][:1], "Berta")
    with pytest.raises(StoreError, match=r"no person 'Ana'. Did you mean Anna"):
        gallery.merge("Ana", "Berta")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "x" * 101, "a\nb"])
def test_what_is_no_name_is_refused(gallery, by_person, name):
    with pytest.raises(SettingsError, match="cannot be used"):
        gallery.name(by_person[0], name)


def test_sightings_are_stays_at_a_camera(empty):
    same = dict.fromkeys((0.0, 30.0, 200.0), "gate") | {90.0: "yard"}
    base = picture(1)
    ids = []
    for n, (time, camera) in enumerate(sorted(same.items())):
        one = base.copy()
        one[0, 0, 0] = n  # nearly the same picture, with an id of its own
        ids += empty.add(one, camera=camera, time=time).ids
    empty.add(255 - base)
    found = empty.seen(base, gap=60)
    told = [(s.camera, s.begin, s.end, len(s.crops), s.verdict) for s in found]
    assert told[:3] == [
        ("gate", 0.0, 30.0, 2, "same"),
        ("yard", 90.0, 90.0, 1, "same"),
        ("gate", 200.0, 200.0, 1, "same"),
    ]
    empty.name(ids[:1], "Anna")
    assert [s.begin for s in empty.seen("Anna", since=50)][:2] == [90.0, 200.0]
    empty.deny("Anna", ids[2:3])
    assert 90.0 not in [s.begin for s in empty.seen("Anna")]
    with pytest.raises(StoreError, match="no person 'Nobody'"):
        empty.seen("Nobody")


def test_enrolling_adds_and_names(gallery, town):
    added = gallery.enrol("Anna", [town.query[0], picture(5)])
    assert added.new == 2 and gallery.people()[0].crops == 2


def test_a_gallery_opens_again(gallery, by_person):
    gallery.name(by_person[0], "Anna")
    gallery.close()
    with Gallery.open(gallery.folder, CPU) as again:
        assert again.people()[0].crops == 9
        assert again.search_crop(by_person[0][0], top=1)[0].rank == 1


def test_a_creation_that_was_killed_begins_anew(small_encoder, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("reseen.gallery.gallery.write_facts", killed)
    with pytest.raises(KeyboardInterrupt):
        Gallery.create(tmp_path / "g", small_encoder, onnx=False, device=CPU)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="holds no gallery"):
        Gallery.open(tmp_path / "g")
    with Gallery.create(tmp_path / "g", small_encoder, onnx=False, device=CPU) as gallery:
        assert gallery.add(picture()).new == 1


def test_foreign_damaged_and_newer_folders_are_refused(small_encoder, made, tmp_path, gallery):
    with pytest.raises(StoreError, match="holds no gallery"):
        Gallery.open(tmp_path)
    with pytest.raises(StoreError, match="already holds a gallery"):
        Gallery.create(made, small_encoder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty"):
        Gallery.create(tmp_path / "mine", small_encoder)
    facts = json.loads((gallery.folder / "gallery.json").read_text())
    (gallery.folder / "gallery.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(StoreError, match="newer version"):
        Gallery.open(gallery.folder)
    (gallery.folder / "gallery.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        Gallery.open(gallery.folder)
    (gallery.folder / "gallery.json").write_text(json.dumps(facts))
    gallery.close()
    for end in ("-wal", "-shm"):
        (gallery.folder / f"gallery.sqlite{end}").unlink(missing_ok=True)
    (gallery.folder / "gallery.sqlite").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Gallery.open(gallery.folder)
    (gallery.folder / "gallery.sqlite").unlink()
    with pytest.raises(StoreError, match="does not exist"):
        Gallery.open(gallery.folder)


def files_of(gallery) -> bytes:
    return b"".join(path.read_bytes() for path in gallery.folder.rglob("*") if path.is_file())


def test_forgetting_deletes_every_byte(gallery, by_person):
    gallery.name(by_person[0], "Anna Nym")
    gallery.name(by_person[1], "Berta")
    gallery.deny("Anna Nym", by_person[1][:1])
    gone, kept = by_person[0][0], by_person[1][0]
    of = {id: gallery.picture(id) for id in (gone, kept)}
    vectors = {id: gallery.features([id])[0].tobytes() for id in (gone, kept)}
    gallery.search_crop(kept)
    before = files_of(gallery)
    pieces = (of[gone][-80:-16], vectors[gone][:64], b"Anna Nym", gone.encode())
    assert all(piece in before for piece in pieces)
    assert gallery.forget("Anna Nym") == 9
    left = files_of(gallery)
    assert not any(piece in left for piece in pieces)
    assert of[kept][-80:-16] in left and vectors[kept][:64] in left and kept.encode() in left
    assert gallery.store.count() == 63 and [p.name for p in gallery.people()] == ["Berta"]
    assert len(gallery.search_crop(kept, top=99)) == 62
    assert gallery.undo() == "9 crops named Berta" and gallery.undo() is None
    with pytest.raises(StoreError, match="no person 'Anna Nym'"):
        gallery.forget("Anna Nym")


def test_what_is_old_expires(empty):
    now = clock.time()
    old = empty.add(picture(1), time=now - 100).ids[0]
    empty.add(picture(2), time=now - 10)
    empty.add(picture(3))  # of unknown time: as old as its stay
    named = empty.add(picture(4), time=now - 100).ids[0]
    empty.name([named], "Anna")
    content, vector = empty.picture(old), empty.features([old])[0].tobytes()
    assert content[100:200] in files_of(empty) and vector[:64] in files_of(empty)
    assert empty.expire(50, keep_named=True) == 1 and empty.expire(50, keep_named=True) == 0
    left = files_of(empty)
    assert content[100:200] not in left and vector[:64] not in left
    assert empty.expire(50) == 1 and empty.store.count() == 2 and empty.people() == []
    with pytest.raises(SettingsError, match="Use 0 or more"):
        empty.expire(-1)


@pytest.fixture(scope="module")
def other_encoder():
    torch.manual_seed(1)
    return CPU.place(encoders.build(replace(TINY, width=32))).eval()


def test_a_rebuild_makes_all_vectors_anew_and_keeps_decisions(gallery, by_person, other_encoder):
    gallery.name(by_person[0], "Anna")
    gallery.deny("Anna", by_person[1])
    before, ids = gallery.features()
    with Gallery.open(gallery.folder, CPU) as user:  # somebody else has it open
        user.search_crop(ids[0])
        assert gallery.rebuild(other_encoder, onnx=False) == 72
        after, _ = gallery.features(ids)
        assert not np.allclose(before, after)
        expected = Embedder(other_encoder).embed(
            [Embedder(other_encoder).decode(gallery.picture(id)) for id in ids], [None] * 72
        )
        assert np.allclose(after, expected, atol=1e-5)
        assert gallery.people()[0].crops == 9 and len(gallery.store.denials()) == 9
        matches = user.search_crop(ids[0], top=99)
        scores = after @ after[0]
        assert np.allclose([m.similarity for m in matches], np.sort(scores)[::-1][1:], atol=1e-5)
        assert user.add(picture()).new == 1  # by the new encoder
        assert user.info()["model"] == Embedder(other_encoder).model
    assert gallery.rebuild(other_encoder, onnx=False) == 0
    assert not (gallery.folder / "encoder-next").exists()


def test_a_rebuild_that_is_stopped_goes_on(gallery, other_encoder, monkeypatch):
    monkeypatch.setattr("reseen.gallery.gallery.BATCH", 30)
    real, calls = Embedder.embed, []

    def stopping(self, pictures, cameras):
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, pictures, cameras)

    before, ids = gallery.features()
    monkeypatch.setattr(Embedder, "embed", stopping)
    with pytest.raises(KeyboardInterrupt):
        gallery.rebuild(other_encoder, onnx=False)
    assert np.array_equal(gallery.features(ids)[0], before)  # old vectors until all new are there
    assert gallery.rebuild(other_encoder, onnx=False) == 42 and calls == [30, 30, 30, 12]
    assert gallery.check() == []


def test_a_rebuild_killed_at_its_end_is_ended_when_it_is_used(gallery, other_encoder, monkeypatch):
    monkeypatch.setattr(Gallery, "_settle", lambda self: None)
    gallery.rebuild(other_encoder, onnx=False)
    monkeypatch.undo()
    with Gallery.open(gallery.folder, CPU) as again:
        assert again.search(picture())
    assert not (gallery.folder / "encoder-next").exists()


def test_vectors_of_another_model_are_refused(gallery, other_encoder, monkeypatch):
    real = Embedder.embed

    def slow(self, pictures, cameras):
        vectors = real(self, pictures, cameras)
        monkeypatch.undo()
        with Gallery.open(gallery.folder, CPU) as other:  # meanwhile
            other.rebuild(other_encoder, onnx=False)
        return vectors

    monkeypatch.setattr(Embedder, "embed", slow)
    with pytest.raises(StoreError, match="they cannot be compared"):
        gallery.add(picture())
    assert gallery.store.count() == 72 and gallery.add(picture()).new == 1


@pytest.mark.parametrize("kind", ["csv", "json", "npz"])
def test_what_is_known_is_exported(gallery, by_person, tmp_path, kind):
    gallery.name(by_person[0], "Anna")
    assert gallery.export(tmp_path / f"out.{kind}") == 72
    if kind == "npz":
        with np.load(tmp_path / "out.npz") as file:
            rows = [
                {"id": i, "person": p, "camera": c}
                for i, p, c in zip(file["ids"], file["people"], file["cameras"], strict=True)
            ]
            features, ids = gallery.features(list(file["ids"]))
            assert np.array_equal(file["features"], features) and len(ids) == 72
            assert np.isnan(file["times"]).all()
    elif kind == "json":
        rows = json.loads((tmp_path / "out.json").read_text())
    else:
        rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["id"] for row in rows if row["person"] == "Anna"} == set(by_person[0])
    assert {row["camera"] for row in rows} == {"1", "2", "3"}


def test_an_export_is_refused_a_wrong_place(gallery, tmp_path):
    with pytest.raises(SettingsError, match=r"does not end in one of .csv, .json, .npz"):
        gallery.export(tmp_path / "out.txt")


def test_the_gallery_tells_what_it_is(gallery, by_person):
    gallery.name(by_person[0], "Anna")
    told = gallery.info()
    assert (told["crops"], told["people"], told["named"], told["centring"]) == (72, 1, 9, "off")
    assert told["cameras"] == {"1": 24, "2": 24, "3": 24} and told["first"] is None
    assert told["bytes"] > sum(len(gallery.picture(id)) for id in by_person[0])


def test_damage_is_found(gallery):
    assert gallery.check() == []
    rows = gallery.store._rows
    with gallery.store.changing():
        rows("UPDATE pictures SET content = ? WHERE seq = 3", [b"other"])
        rows("DELETE FROM vectors WHERE seq IN (5, 6)")
    wrong = gallery.check()
    assert wrong[0] == "2 crops have no vector." and "is damaged" in wrong[1] and len(wrong) == 2


def test_a_list_of_reseen_video_says_frame_box_and_time(empty, tmp_path):
    place = tmp_path / "gate" / "t1"
    place.mkdir(parents=True)
    rows = ["path,camera,time,tracklet,begin,end,film,frame,box,score"]
    for number in (10, 20):
        PIL.Image.fromarray(picture(number)).save(place / f"{number}.png")
        rows.append(f"gate/t1/{number}.png,gate,{number}.5,t1,10.5,20.5,f.mp4,{number},1 2 3 4,0.9")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    added = empty.add(Image(place / "10.png", time=10.5, frames=("10.png", "20.png")))
    last = empty.crop(added.ids[1])
    assert (last.camera, last.time, last.tracklet, last.source) == ("gate", 20.5, "t1", "f.mp4")
    assert (last.frame, last.box) == (20, (1, 2, 3, 4))


def test_a_gallery_gives_the_map_of_evaluate(town, tmp_path):
    """Same person and camera left out, as Market-1501 does; the very same number comes out."""
    encoder = training.load("reseen-tiny", device=CPU)
    with Gallery.create(tmp_path / "g", encoder, onnx=False, device=CPU) as gallery:
        gallery.add(town.gallery)
        ranking = ranked(gallery, town)
    expected = training.evaluate(encoder, town, quiet=True)
    assert ranking.mean_ap == expected.mean_ap and ranking.cmc(1) == expected.cmc(1)
    assert 0 < ranking.mean_ap < 1


@pytest.mark.slow  # it exports a network
def test_onnx_runtime_gives_the_vectors_of_torch(town, tmp_path):
    images = town.train[:7]
    for onnx in (False, True):
        with Gallery.create(tmp_path / str(onnx), "reseen-tiny", onnx=onnx, device=CPU) as gallery:
            gallery.add(images)
            assert (gallery.folder / "encoder" / "encoder.onnx").exists() == onnx
    with Gallery.open(tmp_path / "False", CPU) as one, Gallery.open(tmp_path / "True", CPU) as two:
        vectors, ids = one.features()
        assert np.abs(two.features(ids)[0] - vectors).max() < 1e-4
        assert np.abs(two.embed(images) - one.embed(images)).max() < 1e-4
        assert one.model == two.model
