import pytest
import torch

from reseen.errors import SettingsError
from reseen.nets.pooling import GeM, pooling


def test_each_pooling_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert pooling("mean")(x).item() == 3
    assert pooling("max")(x).item() == 6
    assert pooling("mean+max")(x).item() == 9
    assert pooling("gem")(x).item() == pytest.approx(((1 + 8 + 27 + 216) / 4) ** (1 / 3))


def test_gem_learns_its_exponent_and_does_not_overflow_in_bfloat16():
    gem = GeM()
    x = torch.full((2, 3, 4, 2), 300.0, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = gem(x)
    assert y.dtype == torch.float32 and y.shape == (2, 3)
    assert torch.isfinite(y).all()
    (gem(torch.rand(2, 3, 4, 2)).sum() + y.sum()).backward()
    assert gem.p.grad is not None and gem.p.grad != 0


@pytest.mark.parametrize(("height", "rows"), [(4, [(0, 2), (2, 4)]), (3, [(0, 2), (1, 3)])])
def test_stripes_stand_side_by_side_from_top_to_bottom(height, rows):
    x = torch.rand(2, 3, height, 2)
    for name in ("mean", "gem"):
        whole, striped = pooling(name), pooling(name, 2)
        wanted = torch.cat([whole(x[:, :, top:bottom]) for top, bottom in rows], 1)
        assert torch.equal(striped(x), wanted)
    assert len(list(striped.parameters())) == 1  # one exponent


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"'soft'.*mean, max, mean\+max, gem"):
        pooling("soft")
