from dataclasses import replace

import numpy as np
import pytest

from reseen.data.invented import TOWNS, Difficulty
from reseen.data.invented.body import pose
from reseen.data.invented.cameras import make_camera
from reseen.data.invented.crop import Shot, _detect, draw, stand, take
from reseen.data.invented.people import make_person
from reseen.data.invented.render import CONE, TARGET, Cloth, Solid

TOWN, KEYS, SIZE = TOWNS["town-a"], (1, 1), (32, 64)


@pytest.fixture(scope="module")
def eyes():
    return [make_camera(KEYS, n, TOWN.site, 0.7, 48) for n in (1, 2)]


def _target(eye, number=1, where=(0.0, 10.0)):
    who = make_person(KEYS, number, TOWN.wardrobe, 0)
    return stand(eye, pose(who, 0.8), who.cloths, np.array(where), 2.0, TARGET)


def _pixels(eye, who, frame=0):
    shot = Shot("a/b", "train", who, who, eye.number, frame)
    return np.asarray(take(TOWN, eye, shot, 1, SIZE).picture, float)


def test_the_mask_is_what_changes_when_the_person_changes_clothes(eyes):
    scene = _target(eyes[0])
    bare = scene._replace(cloths=scene.cloths * ([0] * 6 + [1] * 4))
    box = _detect(scene, np.random.default_rng(0), 0)
    dressed, mask, hidden = draw(eyes[0], 43200, [scene], box, SIZE)
    naked, same, _ = draw(eyes[0], 43200, [bare], box, SIZE)
    changed = np.abs(dressed - naked).max(2)
    assert hidden == 0 and (mask == same).all() and 0.1 < (mask > 0).mean() < 0.6
    assert (changed[mask > 0] > 1e-4).all()
    edge = (changed > 1e-9) & (mask == 0)  # pixels that the person covers by less than a half
    inside = np.pad(mask > 0, 1)
    near = sum(np.roll(inside, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))[1:-1, 1:-1]
    assert edge.sum() < 0.5 * (mask > 0).sum() and near[edge].mean() > 0.9


def test_only_the_person_and_the_shadow_change_when_the_person_leaves(eyes):
    scene = _target(eyes[0])
    box = _detect(scene, np.random.default_rng(0), 0)
    full, mask, _ = draw(eyes[0], 43200, [scene], box, SIZE)
    empty, none, _ = draw(eyes[0], 43200, [], box, SIZE)
    inside = np.pad(mask > 0, 1)
    near = sum(np.roll(inside, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))[1:-1, 1:-1]
    far = near == 0
    assert not none.any()
    assert (full[far] <= empty[far] + 1e-9).all()  # outside, light is lost to the shadow only


def test_what_stands_in_front_is_cut_out_of_the_mask(eyes):
    scene = _target(eyes[0])
    post = Solid(CONE, (0, 0, 0), (0, 4, 0), 0.12, 0.12, 0)
    thing = stand(eyes[0], [post], [Cloth((0.1, 0.1, 0.1), (0, 0, 0))], (0.0, 9.0), 0.0, 3)
    box = _detect(scene, np.random.default_rng(0), 0)
    _, open_mask, _ = draw(eyes[0], 43200, [scene], box, SIZE)
    _, mask, hidden = draw(eyes[0], 43200, [scene, thing], box, SIZE)
    lost = 1 - (mask > 0).sum() / (open_mask > 0).sum()
    assert 0.15 < hidden < 0.9 and abs(lost - hidden) < 0.05


def test_two_people_differ_more_than_two_frames_of_one(eyes):
    clean = replace(
        TOWN, difficulty=Difficulty(camera_gap=0, look_alikes=0, occlusion=0, box_error=0)
    )

    def middle(who, frame):
        shot = Shot("a/b", "train", who, who, 1, frame)
        crop = take(clean, eyes[0], shot, 1, SIZE)
        return np.asarray(crop.picture, float)[np.asarray(crop.mask) > 0].mean(0)

    first, later = (np.array([middle(w, f) for w in range(1, 13)]) for f in (0, 2))
    same = np.linalg.norm(first - later, axis=1).mean()
    other = np.linalg.norm(first[:, None] - later, axis=2)[~np.eye(12, dtype=bool)].mean()
    assert other > 2 * same


def test_cameras_differ(eyes):
    one, two = (np.mean([_pixels(eye, who).mean((0, 1)) for who in range(1, 9)], 0) for eye in eyes)
    assert np.abs(one - two).max() > 5
    assert not np.array_equal(eyes[0].shady, eyes[1].shady)


def test_any_size(eyes):
    shot = Shot("a/b", "train", 1, 1, 1, 0)
    crop = take(TOWN, eyes[0], shot, 1, (100, 300))
    assert crop.picture.size == crop.mask.size == (100, 300)
