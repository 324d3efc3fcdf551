"""The gallery's own cut-offs and unknown people, on invented people."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from reseen.errors import StoreError
from reseen.gallery import unknown
from reseen.gallery.cutoffs import calibrate, guess_cutoffs
from reseen.gallery.facts import facts_of
from reseen.gallery.gallery import Gallery
from reseen.gallery.records import Crop, Cutoffs
from reseen.gallery.unknown import label_crops, propose
from tests.gallery.conftest import CPU
from tests.gallery.people import invented


@pytest.fixture
def filled(empty):
    """A gallery of twelve easy people by three cameras; their features are invented."""
    rows, who, cameras = invented(people=12, crops=5, spread=0.2, dimensions=512)
    crops = [Crop(f"{i:032x}", f"cam{c}", 10.0 * i, added=float(i)) for i, c in enumerate(cameras)]
    with empty.store.changing():
        empty.store.add(crops, rows, [b"picture"] * len(crops))
    ids = {person: [f"{i:032x}" for i in np.flatnonzero(who == person)] for person in range(12)}
    return empty, rows, crops, ids


def test_calibrated_cutoffs_are_kept_and_said(filled):
    gallery, rows, crops, _ = filled
    guess = gallery.cutoffs
    assert "Only a guess" in guess.source and "not been calibrated" in guess.source
    assert guess == guess_cutoffs(rows) and guess.numbers == {}
    found = gallery.calibrate(false_match_rate=0.01)
    assert found == calibrate(rows, facts_of(crops), false_match_rate=0.01) == gallery.cutoffs
    assert gallery.info()["cutoffs"] == asdict(found)
    with Gallery.open(gallery.folder, CPU) as again:
        assert again.cutoffs == found
    assert Cutoffs(**json.loads(json.dumps(asdict(found)))) == found
    match = gallery.search_crop(crops[0].id, top=1)[0]
    assert match.verdict == found.verdict(match.similarity)


def test_another_encoder_in_the_meantime_is_noticed(filled, monkeypatch):
    gallery = filled[0]
    models = iter(["one", "another"])
    monkeypatch.setattr(type(gallery), "model", property(lambda _: next(models)))
    with pytest.raises(StoreError, match="was changed in the meantime"):
        gallery.calibrate()


def test_unknown_people_are_proposed_and_decisions_hold(filled):
    gallery, rows, crops, ids = filled
    proposals = gallery.unknown()
    assert proposals == propose(rows, crops, label_crops(rows, crops), gallery.cutoffs)
    assert gallery.unknown(6) == [] and gallery.unknown(5) == proposals
    assert {frozenset(p.crops) for p in proposals} == {frozenset(own) for own in ids.values()}
    gallery.accept(proposals[2].crops, "Ann")
    left = gallery.unknown()
    assert left == [p for p in proposals if p.number != 3]  # no other number changes
    gallery.unname(proposals[2].crops[:2])
    like = [p for p in gallery.unknown() if p.like]
    assert [(p.like, p.number, set(p.crops)) for p in like] == [
        ("Ann", 3, set(proposals[2].crops[:2]))
    ]
    gallery.deny("Ann", proposals[2].crops[:1])
    assert [p.like for p in gallery.unknown()] == [None] * 12
    gallery.ignore(proposals[2].crops[:2])
    assert gallery.unknown() == left


def test_unknown_people_are_looked_for_again_only_where_something_changed(filled, monkeypatch):
    gallery, *_, ids = filled
    counts = dict.fromkeys(("label_crops", "propose"), 0)

    def counting(what):
        do = getattr(unknown, what)

        def counted(*given, **named):
            counts[what] += 1
            return do(*given, **named)

        monkeypatch.setattr(unknown, what, counted)

    def asked():
        found = gallery.unknown()
        with Gallery.open(gallery.folder, CPU) as again:
            assert again.unknown() == found  # of another process too
        done = tuple(counts.values())
        counts.update(dict.fromkeys(counts, 0))
        return done, found

    for what in counts:
        counting(what)
    assert asked()[0] == (1, 1)
    assert asked()[0] == (0, 0)
    gallery.accept([1, 2], "Ann")
    done, found = asked()
    assert done == (0, 1) and [p.number for p in found] == list(range(3, 13))
    gallery.deny("Ann", ids[5][:1])
    assert asked()[0] == (0, 1)
    gallery.undo()
    assert asked()[0] == (0, 1)
    gallery.calibrate()
    assert asked()[0] == (0, 1)
    gallery.overlapping = True
    assert asked()[0] == (1, 1)
    gallery.forget("Ann")
    assert "Ann" not in str(gallery.store._rows("SELECT * FROM settings"))
    assert asked()[0] == (1, 1)


def test_an_unknown_person_is_accepted_by_its_number(filled):
    gallery, rows, _, _ = filled
    with pytest.raises(StoreError, match="List them first"):
        gallery.accept(3, "Ann")
    third = gallery.unknown()[2]
    assert gallery.accept(3, "Ann") == len(third.crops)
    assert {(c.id, c.by) for c in gallery.crops("Ann")} == {(id, "proposed") for id in third.crops}
    for number in (3, 99):
        with pytest.raises(StoreError, match=f"no unknown person {number} "):
            gallery.accept(number, "Ann")
    with gallery.store.changing():
        gallery.store.add([Crop("a" * 32, added=0.0)], rows[:1], [b"new"])
    with pytest.raises(StoreError, match="have changed, because crops were added"):
        gallery.accept(4, "Ann")


def test_cameras_that_see_the_same_places_say_nothing_about_one_time(empty):
    rows, who, _ = invented(people=8, crops=6, spread=0.2, dimensions=512)
    nth = [int((who[:i] == who[i]).sum()) for i in range(len(rows))]
    crops = [Crop(f"{i:032x}", f"cam{n % 2}", 5.0, added=float(i)) for i, n in enumerate(nth)]
    with empty.store.changing():
        empty.store.add(crops, rows, [b"picture"] * len(crops))
    assert not empty.overlapping
    assert {p.cameras for p in empty.unknown()} == {("cam0",), ("cam1",)}
    pair = [crops[i].id for i in np.flatnonzero(who == 0)[:2]]
    with pytest.raises(StoreError, match="same time at two cameras"):
        empty.name(pair, "Ann")
    empty.overlapping = True
    assert [p.cameras for p in empty.unknown()] == [("cam0", "cam1")] * 8
    empty.name(pair, "Ann")
    empty.overlapping = False
    assert not empty.overlapping


def test_evidence_is_there_to_be_drawn(filled):
    gallery, *_, ids = filled
    assert set(gallery.evidence().kinds) == {"any two crops"}
    gallery.name(ids[0], "Ann")
    gallery.name(ids[1], "Ben")
    kinds = gallery.evidence().kinds
    assert set(kinds) == {"any two crops", "two named people", "one named person"}
    assert kinds["one named person"].min() > kinds["two named people"].max()


def test_a_box_that_overlaps_another_may_be_the_same_person_twice(empty):
    rows, _, _ = invented(people=1, crops=3, spread=0.1, dimensions=512)
    boxes = (0, 0, 10, 20), (1, 1, 11, 21), (30, 0, 40, 20)
    crops = [
        Crop(f"{i:032x}", "gate", 1.0, None, "/film.mp4", 7, box) for i, box in enumerate(boxes)
    ]
    with empty.store.changing():
        empty.store.add(crops, rows, [b"picture"] * 3)
    empty.name([crops[0].id, crops[1].id], "Ann")
    with pytest.raises(StoreError, match="two boxes in frame 7"):
        empty.name([crops[2].id], "Ann")
