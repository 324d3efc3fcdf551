"""Losses of the house method beside their formulas, one number at a time, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from reseen.losses.contrastive import cluster_nce
from reseen.losses.instances import many_instances
from reseen.losses.inter_camera import inter_camera
from reseen.losses.neighbours import neighbour_agreement, neighbour_weights, ramp, refined_labels
from reseen.losses.prototypes import two_prototypes

TARGETS = torch.tensor([0, 1, 2, 3, 3, 0, 2])


def unit(*shape, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, dtype=torch.float64, generator=chance), dim=-1)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(numbers):
    powers = [math.exp(number) for number in numbers]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("margin", [0.0, 0.2, 50.0])
def test_two_prototypes_equal_the_sum_written_out(margin):
    vectors, mean, hard = unit(7, 5), unit(4, 5, seed=1), unit(4, 5, seed=2)
    sums = []
    for centres in (mean.tolist(), hard.tolist()):
        told = 0.0
        for x, own in zip(vectors.tolist(), TARGETS.tolist(), strict=True):
            told -= math.log(softmax([dot(x, c) / 0.3 for c in centres])[own])
        sums.append(told / len(vectors))
    expected = (sums[0] + max(0.0, sums[1] - margin)) / 2
    loss = two_prototypes(vectors, mean, hard, TARGETS, 0.3, margin)
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    same = two_prototypes(vectors, mean, mean, TARGETS, 0.3, 0.0)
    assert float(same) == pytest.approx(float(cluster_nce(vectors, mean, TARGETS, 0.3)))


def apart():
    """Three neighbourhoods: {0, 5}, {2, 6, 3}, and images alone."""
    distances = torch.full((7, 7), torch.inf, dtype=torch.float64).fill_diagonal_(0)
    for i, j, d in ((0, 5, 0.1), (2, 6, 0.02), (2, 3, 0.15), (6, 3, 0.07)):
        distances[i, j] = distances[j, i] = d
    return distances


@pytest.mark.parametrize("farther", [False, True])
def test_refined_labels_equal_the_sum_written_out(farther):
    distances, scores, taught = apart(), 3 * unit(7, 4), 3 * unit(7, 4, seed=1)
    weights = neighbour_weights(distances, 0.05, farther=farther)
    wanted = refined_labels(scores, taught, TARGETS, weights, 0.1)
    sign = 1 if farther else -1
    for i in range(7):
        near = [j for j in range(7) if distances[i, j] < math.inf]
        share = softmax([sign * float(distances[i, j]) / 0.05 for j in near])
        for k in range(4):
            said = [(softmax(scores[j].tolist())[k], softmax(taught[j].tolist())[k]) for j in near]
            mixed = sum(w * (a + b) / 2 for w, (a, b) in zip(share, said, strict=True))
            expected = 0.1 * (int(TARGETS[i]) == k) + 0.9 * mixed
            assert float(wanted[i, k]) == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(wanted.sum(1), torch.ones(7, dtype=torch.float64))


def test_of_the_signs_one_prefers_the_near_and_one_the_far():
    near, far = (neighbour_weights(apart(), 0.05, farther=way)[2] for way in (False, True))
    assert near[2] > near[6] > near[3] > near[0] == 0
    assert far[3] > far[6] > far[2] > far[0] == 0


def test_agreement_equals_the_sum_written_out():
    distances, scores, taught = apart(), 3 * unit(7, 4), 3 * unit(7, 4, seed=1)
    total = 0.0
    for i in range(7):
        near = [j for j in range(7) if distances[i, j] < math.inf]
        for k in range(4):
            p = sum(softmax(scores[j].tolist())[k] for j in near) / len(near)
            total += p * (math.log(p) - math.log(softmax(taught[i].tolist())[k]))
    loss = neighbour_agreement(scores, taught, distances)
    assert float(loss) == pytest.approx(total / 7, rel=1e-12)
    alone = torch.full((7, 7), torch.inf, dtype=torch.float64).fill_diagonal_(0)
    assert float(neighbour_agreement(scores, scores, alone)) == pytest.approx(0, abs=1e-12)


def test_the_ramp_rises_to_one():
    assert ramp(0, 50) == pytest.approx(math.exp(-5))
    assert ramp(25, 50) == pytest.approx(math.exp(-1.25)) and ramp(50, 50) == 1


CLUSTERS = torch.tensor([0, 0, 1, 2, 2, 2, 3])
CAMERAS = torch.tensor([0, 1, 0, 0, 1, 2, 1])
SEEN_BY = torch.tensor([0, 0, 1, 1, 2, 1, 9])


@pytest.mark.parametrize("negatives", [2, 50])
def test_inter_camera_equals_the_sum_written_out(negatives):
    vectors, centres = unit(7, 5), unit(7, 5, seed=1)
    losses = []
    for i, x in enumerate(vectors.tolist()):
        score = [dot(x, c) / 0.3 for c in centres.tolist()]
        own = [g for g in range(7) if CLUSTERS[g] == TARGETS[i] and CAMERAS[g] != SEEN_BY[i]]
        others = sorted((score[g] for g in range(7) if CLUSTERS[g] != TARGETS[i]), reverse=True)
        total = sum(math.exp(s) for s in [score[g] for g in own] + others[:negatives])
        if own:
            losses.append(-sum(score[g] - math.log(total) for g in own) / len(own))
    assert 0 < len(losses) < 7  # some clusters were seen by no other camera
    loss = inter_camera(
        *(vectors, centres, CLUSTERS, CAMERAS, TARGETS, SEEN_BY),
        temperature=0.3,
        negatives=negatives,
    )
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-12)


@pytest.mark.parametrize("proxies", [7, 0])
def test_without_other_cameras_the_inter_camera_loss_is_nothing(proxies):
    vectors = unit(7, 5).requires_grad_()
    known = unit(7, 5, seed=1)[:proxies], CLUSTERS[:proxies], torch.zeros(proxies)
    loss = inter_camera(vectors, *known, TARGETS, torch.zeros(7), temperature=0.3, negatives=50)
    loss.backward()
    assert float(loss.detach()) == 0 and vectors.grad is not None and not vectors.grad.any()


def test_many_instances_equal_the_sum_written_out():
    vectors, rows, total = unit(7, 5), unit(4, 3, 5, seed=1), 0.0
    for x, own in zip(vectors.tolist(), TARGETS.tolist(), strict=True):
        similar = [[dot(x, row) for row in rows[k].tolist()] for k in range(4)]
        logits = [(min if k == own else max)(similar[k]) / 0.3 for k in range(4)]
        total -= math.log(softmax(logits)[own])
    loss = many_instances(vectors, rows, TARGETS, 0.3)
    assert float(loss) == pytest.approx(total / 7, rel=1e-12)


LOSSES = {
    "prototypes": lambda v: two_prototypes(v, unit(4, 5, seed=1), unit(4, 5, seed=2), TARGETS, 1, 0.2),
    "agreement": lambda v: neighbour_agreement(v, unit(7, 5, seed=1), apart()),
    "cameras": lambda v: inter_camera(
        *(v, unit(7, 5, seed=1), CLUSTERS, CAMERAS, TARGETS, SEEN_BY), temperature=0.3, negatives=2
    ),
    "instances": lambda v: many_instances(v, unit(4, 3, 5, seed=1), TARGETS, 0.3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_small_steps(name):
    torch.autograd.gradcheck(LOSSES[name], unit(7, 5).requires_grad_())


def test_refined_labels_have_no_gradient():
    scores = unit(7, 4).requires_grad_()
    weights = neighbour_weights(apart(), 0.05)
    assert not refined_labels(scores, scores, TARGETS, weights, 0.1).requires_grad
