"""No method waits for a GPU within its steps or mixes devices, as a fake one shows."""

from contextlib import contextmanager

import pytest
import torch

from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings
from tests.fake_gpu import CUDA, fake_gpu
from tests.scripts import script

steps = script("benchmarks/steps.py")

SMALL = {"layers": "(1, 1, 1, 1)", "channels": "(8, 8, 16, 16)"}
ENCODER = EncoderSettings(
    **dict(backbone="resnet18", weights="none", height=32, width=16, options=SMALL, ghost_group=8)
)
CASES = [
    *((name, {}, "fed") for name in METHODS if name != "conslearn"),
    ("cluster-contrast", dict(memory_update="hard"), "kept"),
    ("cluster-contrast", dict(memory_update="mean", teacher=True), "kept"),
    ("conslearn", dict(classifier="memory", alpha=0.4), "kept"),
    ("adtc", dict(loss="memory"), "kept"),
    ("spcl", dict(outliers=False), "source"),
    ("daal", dict(pretrain=1, attention="two"), "kept"),
    ("ssl", dict(dropout=0.5), "kept"),
]


def place(encoder):
    encoder.precision = "bfloat16"
    return encoder.to(CUDA).to(memory_format=torch.channels_last)


def name_of(part):
    return part if isinstance(part, str) else "+".join(map(str, part.values())) or "default"


@pytest.mark.parametrize(("name", "how", "data"), CASES, ids=name_of)
def test_no_step_waits(name, how, data, monkeypatch):
    class Watched(steps.Steps):
        @contextmanager
        def training(self):
            with gpu.watched():
                yield

    with fake_gpu(monkeypatch) as gpu:
        run = Watched(place, 32, kept=data != "fed")
        run.fit(steps.settings(name, ENCODER, 4, 4, 1, **how), source=data == "source")
    assert run.steps and run.gradient.device == CUDA
    assert all(one["loss"].device == CUDA for one in run.told)
