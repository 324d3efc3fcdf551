import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reseen.errors import DataError, SettingsError
from reseen.metrics.ranking import cosine_blocks, rank
from reseen.records import JUNK


def in_blocks(distances, size=3):
    for start in range(0, len(distances), size):
        yield start, distances[start : start + size]


def plain(distances, person, persons, camera, cameras, itself, top):
    """Sort every row in full; give AP, first match, INP, list and rights of each query."""
    answers = []
    for q, row in enumerate(distances):
        keys = []
        for g in range(len(row)):
            same = persons[g] == person[q]
            seen_here = same and camera[q] != -1 and cameras[g] == camera[q]
            if persons[g] != JUNK and not seen_here and g != itself[q]:
                keys.append((float(row[g]), same, g))
        keys.sort()
        places = [place for place, key in enumerate(keys, 1) if key[1]]
        if places:
            precision = np.mean([n / place for n, place in enumerate(places, 1)])
            listed = [key[2] for key in keys[:top]] + [-1] * (top - len(keys))
            rights = [bool(key[1]) for key in keys[:top]] + [False] * (top - len(keys))
            answers.append((q, precision, places[0], len(places) / places[-1], listed, rights))
    return answers


def invented(queries, images, seed, levels):
    """Distances of few levels (many ties), few people, few cameras, junk and unknown cameras."""
    draw = np.random.default_rng(seed)
    return {
        "distances": (draw.integers(levels, size=(queries, images)) / levels).astype(np.float32),
        "person": draw.integers(0, 5, queries),
        "persons": draw.integers(JUNK, 5, images),
        "camera": draw.integers(-1, 3, queries),
        "cameras": draw.integers(-1, 3, images),
        "itself": draw.integers(-1, images, queries),
        "top": int(draw.integers(1, 12)),
    }


@given(
    st.integers(1, 12), st.integers(1, 60), st.integers(0, 10_000), st.sampled_from([1, 4, 10**6])
)
@settings(deadline=None, max_examples=60)
def test_equals_the_plain_loop(queries, images, seed, levels):
    case = invented(queries, images, seed, levels)
    expected = plain(**case)

    def fast():
        return rank(
            in_blocks(case["distances"]),
            query_person=case["person"],
            gallery_person=case["persons"],
            query_camera=case["camera"],
            gallery_camera=case["cameras"],
            query_itself=case["itself"],
            top=case["top"],
        )

    if not expected:
        with pytest.raises(DataError, match="No query of"):
            fast()
        return
    found = fast()
    judged, precision, first, penalty, listed, rights = zip(*expected, strict=True)
    assert found.queries.tolist() == list(judged)
    assert found.skipped == queries - len(judged)
    np.testing.assert_allclose(found.average_precision, precision, rtol=1e-12)
    np.testing.assert_array_equal(found.first_match, first)
    np.testing.assert_allclose(found.inverse_penalty, penalty, rtol=1e-12)
    np.testing.assert_array_equal(found.top, listed)
    np.testing.assert_array_equal(found.right, rights)


def test_a_hand_worked_query():
    """Person 7 on camera 1 asks.

    Position 0 is the same shot's camera, 1 is junk: both are out. What is left, by distance:
    wrong 3 and right 2 tie at 0.2 (wrong first), wrong 5 at 0.3, right 4 at 0.4, wrong 6 at 0.5.
    Matches at ranks 2 and 4: AP = (1/2 + 2/4) / 2 = 0.5, INP = 2 / 4.
    """
    found = rank(
        [(0, np.array([[0.0, 0.1, 0.2, 0.2, 0.4, 0.3, 0.5]], np.float32))],
        query_person=np.array([7]),
        gallery_person=np.array([7, JUNK, 7, 8, 7, 9, 8]),
        query_camera=np.array([1]),
        gallery_camera=np.array([1, 2, 2, 1, 3, 1, 2]),
        top=6,
    )
    assert found.mean_ap == 0.5
    assert found.first_match.tolist() == [2]
    assert found.mean_inp == 0.5
    assert found.top.tolist() == [[3, 2, 5, 4, 6, -1]]
    assert found.right.tolist() == [[False, True, False, True, False, False]]
    assert (found.cmc(1), found.cmc(2)) == (0, 1)


def test_without_cameras_nothing_is_taken_out():
    case = {"query_person": np.array([1]), "gallery_person": np.array([1, 2])}
    distances = [(0, np.array([[0.1, 0.2]], np.float32))]
    assert rank(distances, **case).mean_ap == 1
    with pytest.raises(DataError, match="No query of 1 has"):
        rank(distances, **case, query_camera=np.array([0]), gallery_camera=np.array([0, 0]))
    unknown = rank(distances, **case, query_camera=np.array([-1]), gallery_camera=np.full(2, -1))
    assert unknown.mean_ap == 1


def test_the_query_itself_is_taken_out():
    case = {"query_person": np.array([1, 1]), "gallery_person": np.array([1, 2, 1])}
    distances = np.array([[0, 0.2, 0.3], [0.3, 0.2, 0]], np.float32)
    assert rank(in_blocks(distances), **case).first_match.tolist() == [1, 1]
    alone = rank(in_blocks(distances), **case, query_itself=np.array([0, 2]))
    assert alone.first_match.tolist() == [2, 2]
    assert alone.top[:, :2].tolist() == [[1, 2], [1, 0]]


def test_the_order_of_files_does_not_help_when_all_distances_tie():
    persons = np.array([1, 1, 2, 2, 2])
    ties = [(0, np.zeros((1, 5), np.float32))]
    for order in (persons, persons[::-1]):
        found = rank(ties, query_person=np.array([1]), gallery_person=order)
        assert found.first_match.tolist() == [4]
        assert found.mean_ap == pytest.approx((1 / 4 + 2 / 5) / 2)


def test_cosine_blocks_are_distances():
    draw = np.random.default_rng(0)
    query, gallery = (draw.standard_normal((n, 8)) for n in (11, 30))
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    blocks = [(s, block.copy()) for s, block in cosine_blocks(query, gallery, 4 * 30 * 4)]
    assert [start for start, _ in blocks] == [0, 4, 8]
    np.testing.assert_allclose(
        np.concatenate([b for _, b in blocks]), 1 - query @ gallery.T, atol=1e-6
    )


def two_by_two(blocks, **changes):
    return rank(blocks, **{"query_person": [1, 1], "gallery_person": [1, 2], **changes})


@pytest.mark.parametrize(
    ("blocks", "what"),
    [
        ([(0, np.zeros((1, 2)))], "distances of 1 of 2 queries"),
        ([(1, np.zeros((1, 2)))], "starts at query 1"),
        ([(0, np.zeros((3, 2)))], "but query 0 of 2"),
        ([(0, np.zeros((2, 3)))], r"shape \(2, 3\)"),
        ([(0, np.full((2, 2), np.nan))], "2 queries are NaN"),
    ],
)
def test_distances_that_do_not_fit_are_refused(blocks, what):
    with pytest.raises(DataError, match=what):
        two_by_two(blocks)


def test_numbers_that_do_not_fit_are_refused():
    blocks = [(0, np.zeros((2, 2)))]
    with pytest.raises(DataError, match="gallery_camera has shape"):
        two_by_two(blocks, gallery_camera=[1])
    with pytest.raises(SettingsError, match="top is 0"):
        two_by_two(blocks, top=0)
