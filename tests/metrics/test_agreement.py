import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from reseen.errors import DataError
from reseen.metrics.agreement import agreement, stability
from reseen.records import NOISE, PseudoLabels


def labelled(ids):
    """Renumber without gaps, NOISE kept."""
    ids = np.asarray(ids)
    found = np.unique(ids[ids != NOISE])
    return PseudoLabels(np.where(ids == NOISE, NOISE, np.searchsorted(found, ids)))


def plain_pairs(ids, person):
    """Count over all pairs: in one cluster, of one person, both."""
    pairs = list(combinations(range(len(ids)), 2))
    together = {(a, b) for a, b in pairs if ids[a] == ids[b] != NOISE}
    same = {(a, b) for a, b in pairs if person[a] == person[b]}
    return len(together), len(same), len(together & same)


def library(function, left, right, **more):
    """The library warns when most points are classes of their own, as noise is here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(left, right, **more)


@given(st.integers(1, 60), st.integers(0, 10_000), st.integers(1, 12))
@settings(deadline=None, max_examples=80)
def test_equals_all_pairs_and_the_library(n, seed, clusters):
    draw = np.random.default_rng(seed)
    labels = labelled(draw.integers(NOISE, clusters, n))
    person = draw.integers(100, 100 + clusters, n)
    together, same, both = plain_pairs(labels.ids, person)
    found = agreement(labels, person)
    assert found["precision"] == (both / together if together else 0)
    assert found["recall"] == (both / same if same else 0)
    assert found["pairwise_f"] == pytest.approx(2 * both / (together + same) if both else 0)
    singletons = np.where(labels.ids == NOISE, 1000 + np.arange(n), labels.ids)
    nmi = library(normalized_mutual_info_score, person, singletons)
    assert found["ari"] == pytest.approx(library(adjusted_rand_score, person, singletons))
    assert found["nmi"] == pytest.approx(nmi, abs=1e-12)
    kept = labels.ids != NOISE
    pair = person[kept], labels.ids[kept]
    nmi = library(normalized_mutual_info_score, *pair, average_method="geometric")
    assert found["nmi_labelled"] == pytest.approx(nmi if kept.any() else 0, abs=1e-12)
    assert (found["clusters"], found["noise"]) == (labels.clusters, labels.noise)


def test_a_hand_worked_case():
    """Clusters {0, 1}, {2, 3}, noise 4; people {0, 1, 2}, {3, 4}: 1 pair right of 2, of 4."""
    found = agreement(PseudoLabels(np.array([0, 0, 1, 1, NOISE])), np.array([5, 5, 5, 6, 6]))
    assert (found["precision"], found["recall"]) == (0.5, 0.25)
    assert found["pairwise_f"] == pytest.approx(1 / 3)
    assert (found["clusters"], found["noise"]) == (2, 0.2)


def test_perfect_and_useless_labels():
    person = np.repeat([3, 9, 4], 5)
    perfect = agreement(labelled(person), person)
    assert [perfect[key] for key in ("ari", "pairwise_f", "recall")] == [1, 1, 1]
    assert perfect["nmi"] == pytest.approx(1)
    noise = agreement(PseudoLabels(np.full(15, NOISE)), person)
    assert [noise[key] for key in ("ari", "pairwise_f", "precision", "recall")] == [0, 0, 0, 0]
    assert (noise["clusters"], noise["noise"]) == (0, 1)
    one = agreement(PseudoLabels(np.zeros(15, int)), person)
    assert (one["nmi"], one["ari"], one["recall"]) == (0, 0, 1)


def test_noise_counts_in_one_nmi_and_not_in_the_other():
    """Two pure clusters of two people, and two images in none: what is labelled is right."""
    ids = np.array([0, 0, 1, 1, NOISE, NOISE])
    found = agreement(PseudoLabels(ids), np.array([5, 5, 6, 6, 5, 6]))
    assert found["nmi_labelled"] == pytest.approx(1) and found["nmi"] < 0.8
    assert agreement(PseudoLabels(np.full(6, NOISE)), ids)["nmi_labelled"] == 0


@given(st.integers(2, 60), st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_stability_is_the_librarys_ari_on_points_clustered_twice(n, seed):
    draw = np.random.default_rng(seed)
    before, after = (labelled(draw.integers(NOISE, 5, n)) for _ in range(2))
    kept = (before.ids != NOISE) & (after.ids != NOISE)
    found = stability(before, after)
    if kept.sum() < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(
            library(adjusted_rand_score, before.ids[kept], after.ids[kept])
        )


def test_stability_ignores_names_and_needs_two_points():
    assert stability(labelled([0, 0, 1, NOISE]), labelled([1, 1, 0, 0])) == 1
    assert np.isnan(stability(labelled([0, NOISE]), labelled([0, 0])))


def test_labels_of_other_images_are_refused():
    with pytest.raises(DataError, match="2 images have labels, but 3"):
        agreement(labelled([0, 1]), np.zeros(3))
    with pytest.raises(DataError, match="same images"):
        stability(labelled([0, 1]), labelled([0]))
