import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseen.losses.soft_labels import soft_labels


def drawn(B=5, K=4, D=3):
    generator = torch.Generator().manual_seed(0)
    points, centres = (torch.randn(n, D, generator=generator) for n in (B, K))
    return points, centres, torch.tensor([0, 3, 1, 1, 2])


@pytest.mark.parametrize("normalised", [False, True])
def test_weights_are_their_loop(normalised):
    points, centres, own = drawn()
    found = soft_labels(points, centres, own, epsilon=0.7, floor=0.5, normalised=normalised)
    for i, point in enumerate(points.double().numpy()):
        wanted = []
        for centre in centres.double().numpy():
            squared = max(0.5, sum((a - b) ** 2 for a, b in zip(point, centre, strict=True)))
            wanted.append(1 / (4 * squared))
        if normalised:
            wanted = [0.3 * w / sum(wanted) for w in wanted]
        wanted[own[i]] += 0.7
        np.testing.assert_allclose(found[i].numpy(), wanted, rtol=1e-5)


def test_normalised_weights_do_not_know_the_scale():
    points, centres, own = drawn()
    one, two = (
        soft_labels(scale * points, scale * centres, own, floor=1e-9, normalised=True)
        for scale in (1, 9)
    )
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(one.sum(1), torch.ones(5))


def test_a_point_on_its_centre_has_a_bound():
    centres = torch.eye(2)
    weights = soft_labels(centres, centres, torch.tensor([0, 1]), epsilon=0.9, floor=0.1)
    torch.testing.assert_close(weights, torch.tensor([[5.9, 0.25], [0.25, 5.9]]))


def test_the_loss_is_equation_5():
    points, centres, own = drawn()
    scores, weights = torch.randn(5, 4), soft_labels(points, centres, own)
    likely = scores.double().softmax(1).log()
    wanted = -sum(float(weights[i, k]) * float(likely[i, k]) for i in range(5) for k in range(4))
    assert float(F.cross_entropy(scores, weights)) == pytest.approx(wanted / 5, rel=1e-5)
