import numpy as np
import pytest
import torch

from reseen.transfer import send
from tests.fake_gpu import CUDA, fake_gpu


def test_what_is_there_already_is_given_back():
    here = torch.arange(3)
    assert send(here, here.device) is here
    values = np.arange(3)
    assert send(values, "cpu").tolist() == [0, 1, 2]


def test_nothing_waits_for_a_gpu_and_the_fake_one_knows_what_would(monkeypatch):
    with fake_gpu(monkeypatch) as gpu:
        rows, places = send(torch.rand(4, 2), CUDA), torch.tensor([1, 2])
        with gpu.watched():
            assert send(np.ones(3, np.float32), CUDA).device == CUDA
            assert rows[send(places, CUDA)].shape == (2, 2)
            for waits in (
                lambda: torch.ones(3).to(CUDA),
                lambda: rows[places],
                lambda: rows.cpu(),
                lambda: rows + torch.ones(4, 2),
                lambda: bool(rows.any()),
                lambda: rows[rows > 0],
            ):
                with pytest.raises(Exception, match=WAITS):
                    waits()


WAITS = "_to_copy|on the CPU|same device|different devices|local_scalar_dense|nonzero"
