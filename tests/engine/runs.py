"""Methods and runs that the tests of run folders share."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from reseen.engine.device import Device
from reseen.engine.run import Run
from reseen.records import PseudoLabels
from reseen.training import train
from tests.conftest import TINY

CPU = Device(name="cpu", precision="float32")


def new_run(folder, **options):
    return Run(folder, {"method": "Nothing", "settings": {"a": 1}}, device=CPU, **options)


def grow(run, rounds, stop_in=None):
    """A method that only adds chance to one weight; its optimiser counts the rounds."""
    encoder = run.build(TINY)
    counter = nn.Linear(1, 1)
    for epoch in run.rounds(rounds, encoder=encoder, counter=counter):
        assert run.round == epoch + 1
        with torch.no_grad():
            encoder.neck.weight += torch.randn(1)
            counter.weight += float(run.rng("weight").normal())
        if run.round == stop_in:
            raise KeyboardInterrupt
        run.log(weight=counter.weight.item())
    return encoder, counter


@dataclass(frozen=True, kw_only=True)
class Growing:
    """A method whose every round adds chance to one weight."""

    epochs: int = 3

    def fit(self, images, run):
        encoder = run.build(TINY)
        run.load(images, encoder)
        for _ in run.rounds(self.epochs, encoder=encoder):
            run.label(PseudoLabels(np.arange(len(images)) % 3), str)
            with torch.no_grad():
                encoder.neck.weight += float(run.rng("weight").normal())
        return encoder


def grown(town, folder, **options):
    return train(Growing(), town, folder, device=CPU, evaluate_every=1, **options)
