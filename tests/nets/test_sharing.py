import pytest
import torch
from torch import nn

from reseen.errors import SettingsError
from reseen.nets.encoder import EncoderSettings, build
from reseen.nets.ghost_norm import share_norms
from reseen.nets.sharing import share
from tests.conftest import TINY


@pytest.mark.parametrize("count", [4, 7, 8, 9, 256])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_shares_are_the_batch_in_order_nearly_equal_and_large_enough(count, world):
    shares = [share(count, rank, world) for rank in range(world)]
    rows = [torch.arange(count)[one.rows].tolist() for one in shares]
    if not shares[0].shared:
        assert world == 1 or count < 2 * world
        assert all(of == list(range(count)) for of in rows)
    else:
        assert [row for of in rows for row in of] == list(range(count))
        assert [len(of) for of in rows] == [
            len(part) for part in torch.arange(count).tensor_split(world)
        ]
        assert min(map(len, rows)) >= 2
    assert all(one.count == count for one in shares)


def test_behind_the_vectors_the_shares_of_processes_stay_apart():
    plain, neck = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    share_norms(nn.Identity(), neck, 2, 0, False)
    x = torch.randn(7, 3) * 2 + 1
    assert torch.equal(neck(x), torch.cat([plain(x[:4]), plain(x[4:])]))
    assert torch.equal(neck(x[:3]), plain(x[:3]))  # too small to be shared
    share_norms(nn.Identity(), neck, 1, 0, False)
    assert torch.equal(neck(x), plain(x))


def test_an_encoder_of_one_process_sees_all():
    encoder = build(TINY)
    assert encoder.rows(5) == slice(0, 5)
    encoder.share_batches(1, 2)
    assert encoder.rows(5) == slice(3, 5)
    encoder.share_batches(0, 1)
    assert encoder(torch.zeros(5, 3, 48, 24)).shape[0] == 5


def test_statistics_of_all_and_of_groups_contradict_each_other():
    with pytest.raises(SettingsError, match=r"sync_norm.*ghost_group, 64"):
        EncoderSettings(sync_norm=True, ghost_group=64)
