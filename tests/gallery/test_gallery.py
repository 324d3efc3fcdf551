import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from reseen.errors import DataError, SettingsError, StoreError
from reseen.gallery.gallery import Gallery
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
    with pytest.raises(StoreError, match="no camera '9'. There are: 1, 2, 3"):
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
    with pytest.raises(StoreError, match="cannot be Anna: somebody said that it is not"):
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
    with pytest.raises(StoreError, match="same time at two cameras, a and b"):
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
    with pytest.raises(StoreError, match="Carl is a person already"):
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
    with pytest.raises(StoreError, match="no person 'Ana'. Did you mean Anna"):
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


def test_foreign_damaged_and_newer_folders_are_refused(small_encoder, made, tmp_path, gallery):
    with pytest.raises(StoreError, match="holds no gallery"):
        Gallery.open(tmp_path)
    with pytest.raises(StoreError, match="holds a gallery already"):
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
    with pytest.raises(StoreError, match="is not there"):
        Gallery.open(gallery.folder)
