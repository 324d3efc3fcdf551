import math

import pytest
import torch

from reseen.losses.neighbours import neighbour_agreement, neighbour_weights, ramp, refined_labels
from tests.losses.plain import TARGETS, softmax, unit


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


def test_gradients_are_those_of_small_steps():
    def loss(vectors):
        return neighbour_agreement(vectors, unit(7, 5, seed=1), apart())

    torch.autograd.gradcheck(loss, unit(7, 5).requires_grad_())


def test_refined_labels_have_no_gradient():
    scores = unit(7, 4).requires_grad_()
    weights = neighbour_weights(apart(), 0.05)
    assert not refined_labels(scores, scores, TARGETS, weights, 0.1).requires_grad
