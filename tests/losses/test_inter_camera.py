import math

import pytest
import torch

from reseen.losses.inter_camera import inter_camera
from tests.losses.plain import TARGETS, dot, unit

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


def test_gradients_are_those_of_small_steps():
    known = unit(7, 5, seed=1), CLUSTERS, CAMERAS, TARGETS, SEEN_BY

    def loss(vectors):
        return inter_camera(vectors, *known, temperature=0.3, negatives=2)

    torch.autograd.gradcheck(loss, unit(7, 5).requires_grad_())
