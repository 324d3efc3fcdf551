"""Mean network: the average of a network over its own past."""

from collections import deque
from copy import deepcopy

import torch
from torch import Tensor, nn


class MeanNetwork:
    """A copy of networks whose weights follow slowly and learn nothing by themselves.

    theta* = zeta theta* + (1 - zeta) theta (ConsLearn, Eq. 2), for weights and for the running
    statistics of batch norm alike.

    Source: Yin et al., ConsLearn, Sec. 3.1; Tarvainen and Valpola, Mean teachers, NeurIPS 2017.

    Args:
        nets: the networks that learn.
        momentum: zeta, the share that stays, 0 to 1; at 0 the copy is the network itself.
        ages: which of the last weights are averaged before they enter: 0 is the weights now, 1
            those of one update ago ... (ConsLearn, Table 6).

    Attributes:
        nets: the copies, in evaluation mode.
    """

    def __init__(self, *nets: nn.Module, momentum: float, ages: tuple[int, ...] = (0,)):
        self.nets = [deepcopy(net).eval().requires_grad_(False) for net in nets]
        self._learning = nets
        self._momentum = momentum
        self._ages = ages
        self._past: deque[list[Tensor]] = deque(maxlen=max(ages) + 1)

    def forget(self) -> None:
        """Begin the past anew with the weights now, as a run that resumes does."""
        self._past.clear()
        self._past.appendleft(_copies(self._learning) if max(self._ages) else [])

    @torch.no_grad()
    def update(self) -> None:
        """Follow the networks, after a step of theirs."""
        now = _tensors(self._learning)
        self._past.appendleft([value.clone() for value in now] if max(self._ages) else now)
        ages = [min(age, len(self._past) - 1) for age in self._ages]
        for i, mean in enumerate(_tensors(self.nets)):
            if mean.is_floating_point():
                seen = sum(self._past[age][i] for age in ages) / len(ages)
                mean.lerp_(seen, 1 - self._momentum)
            else:
                mean.copy_(now[i])


def _tensors(nets) -> list[Tensor]:
    return [value for net in nets for value in net.state_dict().values()]


def _copies(nets) -> list[Tensor]:
    return [value.clone() for value in _tensors(nets)]
