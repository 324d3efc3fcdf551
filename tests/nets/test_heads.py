import pytest
import torch

from reseen.errors import SettingsError
from reseen.nets.heads import ProjectionHead, classifier


@pytest.mark.parametrize(("kind", "weights"), [("none", 0), ("linear", 2), ("shared", 1)])
def test_kinds_of_projection(kind, weights):
    head, x = ProjectionHead(6, 4, kind), torch.randn(3, 6)
    assert len(list(head.parameters())) == len(head.state_dict()) == weights
    assert torch.equal(head.project(x), head.classify(x)) == (kind != "linear")
    assert head.classify(x).shape == ((3, 6) if kind == "none" else (3, 4))


def test_no_such_kind():
    with pytest.raises(SettingsError, match="projection is 'deep'"):
        ProjectionHead(6, 4, "deep")


def test_a_classifier_begins_at_the_centres():
    centres = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    layer = classifier(centres)
    torch.testing.assert_close(layer(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]))
    assert layer.weight.requires_grad


def test_normal_weights_spread_by_the_outputs():
    torch.manual_seed(0)
    spread = ProjectionHead(64, 512, "shared", "normal").project.weight.std().item()
    assert spread == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    with pytest.raises(SettingsError, match="init is 'zero'"):
        ProjectionHead(6, 4, "shared", "zero")
