from dataclasses import replace

import numpy as np
import pytest

from reseen.cluster.density import DensitySettings
from reseen.cluster.survey import survey
from reseen.gallery.facts import cannot_be_one
from reseen.gallery.records import Crop, Cutoffs
from reseen.gallery.unknown import CAREFUL, _parted, alike, group_unknown, label_crops, propose
from reseen.records import NOISE
from tests.gallery.people import facts, invented

EASY = DensitySettings(k1=6, k2=2, eps=0.5, min_samples=2)
CUTOFFS = Cutoffs(0.8, 0.6, "")


def labelled(rows):
    """Group crops by density, with settings that suit them."""
    return EASY.label(rows).ids


def proposed(rows, crops, *more):
    """Propose unknown people."""
    return propose(rows, crops, label_crops(rows, crops), *more)


@pytest.fixture(scope="module")
def easy():
    """Ten people who are easy to tell apart."""
    return invented(people=10, crops=6, spread=0.2)


def partition(groups):
    """Give groups as sets of positions."""
    return {frozenset(np.flatnonzero(groups == g)) for g in np.unique(groups[groups != NOISE])}


def test_unknown_people_are_found(easy):
    rows, who, cameras = easy
    labels = label_crops(rows, crops_of(who, cameras))
    groups = group_unknown(rows, facts(len(rows), cameras), labels)
    assert partition(groups) == partition(who)
    firsts = [np.flatnonzero(groups == g)[0] for g in range(10)]
    assert firsts == sorted(firsts)


def test_a_name_takes_its_crops_out_and_changes_no_number(easy):
    rows, who, cameras = easy
    before = group_unknown(rows, facts(len(rows), cameras), labelled(rows))
    people = np.where(np.isin(who, who[:3]), who, -1)
    named = facts(len(rows), cameras, names=tuple("abcdefghij"), people=people)
    after = group_unknown(rows, named, labelled(rows))
    assert (after == np.where(people >= 0, NOISE, before)).all() and (people >= 0).any()
    ignored = group_unknown(rows, facts(len(rows), cameras, ignored=people >= 0), labelled(rows))
    assert (ignored == after).all()


def test_crops_of_a_tracklet_stay_together(easy):
    rows, who, _ = easy
    stray = np.flatnonzero(who == 3)[0]
    rows = rows.copy()
    rows[stray] = np.random.default_rng(5).normal(size=rows.shape[1])
    rows[stray] /= np.linalg.norm(rows[stray])
    given = facts(len(rows), tracklets=np.where(who == 3, 3, -1))
    assert partition(group_unknown(rows, given, labelled(rows))) == partition(who)
    alone = group_unknown(rows, replace(given, tracklets=given.tracklets * 0 - 1), labelled(rows))
    assert alone[stray] == NOISE


@pytest.mark.parametrize("seed", range(4))
def test_what_cannot_be_one_person_is_never_together(seed):
    rows, who, cameras = invented(people=6, crops=10, spread=0.3, seed=seed)
    frames = np.random.default_rng(seed).integers(0, 20, len(rows))
    given = facts(len(rows), cameras, frames=frames)
    groups = group_unknown(rows, given, labelled(rows))
    apart = cannot_be_one(given)
    bad = who[apart[:, 0]] == who[apart[:, 1]]
    assert bad.any() and (groups >= 0).any()
    i, j = apart.T
    assert not ((groups[i] == groups[j]) & (groups[i] >= 0)).any()


def test_a_group_is_parted_by_who_is_nearer():
    rows, who, _ = invented(people=2, crops=5, spread=0.3, seed=1)
    a, b = np.flatnonzero(who == 0)[0], np.flatnonzero(who == 1)[0]
    parts = _parted(rows, np.arange(10), np.array([[a, b]]))
    assert partition(parts) == partition(who)
    one = _parted(rows, np.zeros(10, np.int64), np.array([[a, b]]))
    assert set(one.tolist()) == {0}


def test_likeness_is_a_plain_loop(easy):
    rows, who, _ = easy
    n = len(rows)
    people = np.where(who < 2, who, -1)
    given = facts(n, names=("Ann", "Ben"), people=people, ignored=(who == 1) & (np.arange(n) < 20))
    groups = np.where(who >= 7, who - 7, NOISE)
    found = alike(rows, given, groups, np.array([[np.flatnonzero(who == 0)[0], i] for i in [0]]))
    for group in range(3):
        for person in range(2):
            own = np.flatnonzero(groups == group)
            theirs = np.flatnonzero((people == person) & ~given.ignored)
            best = [max(float(rows[i] @ rows[j]) for j in theirs) for i in own]
            barred = person == 0 and groups[0] == group
            wanted = -np.inf if barred else np.median(best)
            assert found[group, person] == pytest.approx(wanted, abs=1e-6)


def crops_of(who, cameras, **known):
    return [
        Crop(f"c{i:03}", str(c), float(i), added=float(i), person=known.get("names", {}).get(w))
        for i, (w, c) in enumerate(zip(who.tolist(), cameras.tolist(), strict=True))
    ]


def test_proposals_say_where_when_and_whom_they_look_like(easy):
    rows, who, cameras = easy
    crops = crops_of(who, cameras)
    third = np.flatnonzero(who == 3)
    for i in third[:3]:
        crops[i] = replace(crops[i], person="Ann")
    found = proposed(rows, crops, CUTOFFS)
    assert {frozenset(p.crops) for p in found} == {
        frozenset(crops[i].id for i in part if crops[i].person is None) for part in partition(who)
    }
    like = [p for p in found if p.like]
    assert [p.like for p in like] == ["Ann"] and set(like[0].crops) == {
        crops[i].id for i in third[3:]
    }
    assert like[0].similarity is not None and like[0].similarity > 0.6
    for proposal in found:
        own = [c for c in crops if c.id in proposal.crops]
        assert proposal.cameras == tuple(sorted({str(c.camera) for c in own}))
        assert (proposal.first, proposal.last) == (own[0].time, own[-1].time)
    denied = proposed(rows, crops, CUTOFFS, [(like[0].crops[0], "Ann")])
    assert [p.like for p in denied] == [None] * len(found)
    assert [(p.number, p.crops) for p in denied] == [(p.number, p.crops) for p in found]


def test_the_order_of_crops_does_not_matter(easy):
    rows, who, cameras = easy
    crops = crops_of(who, cameras)
    found = proposed(rows, crops, CUTOFFS)
    order = np.random.default_rng(1).permutation(len(rows))
    assert proposed(rows[order], [crops[i] for i in order], CUTOFFS) == found


@pytest.mark.parametrize("names", [{}, {3: "Ann"}])
def test_where_everything_may_be_the_same_nobody_is_like_a_person_who_is_not_there(easy, names):
    rows, who, cameras = easy
    crops = crops_of(who, cameras, names=names)
    every = Cutoffs(1.0, -1.0, "")
    found = proposed(rows, crops, every)
    assert {p.like for p in found} == ({"Ann"} if names else {None})
    denied = [(crop.id, "Ann") for crop in crops]
    assert {p.like for p in proposed(rows, crops, every, denied)} == {None}


def test_crops_are_labelled_as_settings_by_a_survey_say(easy):
    rows, who, _ = easy
    rng = np.random.default_rng(0)
    rows = np.repeat(rows, 2, axis=0) + 0.05 * rng.normal(size=(120, rows.shape[1]))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    crops = crops_of(np.repeat(who, 2), np.arange(120) % 2)
    centred = DensitySettings(centring="deviation").centred(rows, np.arange(120) % 2)
    assert not np.array_equal(centred, rows)
    found = survey(centred)
    settings = DensitySettings(
        **dict(k1=found.k1, k2=found.k2, min_samples=found.min_samples, eps=found.eps - CAREFUL)
    )
    assert (label_crops(rows, crops) == settings.label(centred).ids).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_crops_are_no_unknown_people(n):
    rows, who, cameras = invented(people=1, crops=2)
    assert proposed(rows[:n], crops_of(who[:n], cameras[:n]), CUTOFFS) == []
