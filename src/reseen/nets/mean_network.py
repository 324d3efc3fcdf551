"""Mean network: the average of a network over its own past."""

from collections import deque
from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


class MeanNetwork(Generic[Net]):
    """A copy of a network whose weights are an exponential moving average of the network's weights.

    theta* = zeta theta* + (1 - zeta) theta (ConsLearn, Eq. 2), for weights and for the running
    statistics of batch norm. Statistics that have seen n batches are updated by 10 / n if that is
    more than 1 - zeta, because new layers have no statistics at the start and those of their first
    batches should be forgotten, as the network itself does (PyTorch's momentum of 0.1).

    Source: Yin et al., ConsLearn, Sec. 3.1; Tarvainen and Valpola, Mean teachers, NeurIPS 2017.

    Args:
        learning: the network that is trained.
        momentum: zeta, the share of the weights that is kept at each update, 0 to 1; with 0 the
            copy equals the network.
        ages: ages, in updates, of the network weights that are averaged first: 0 is the current
            weights, 1 those of one update ago, and so on (ConsLearn, Table 6).

    Attributes:
        net: the copy, in evaluation mode.
    """

    def __init__(self, learning: Net, *, momentum: float, ages: tuple[int, ...] = (0,)):
        self.net: Net = deepcopy(learning).eval().requires_grad_(False)
        self._learning = learning
        self._momentum = momentum
        self._ages = ages
        self._past: deque[dict[str, Tensor]] = deque(maxlen=max(ages) + 1)

    def forget(self) -> None:
        """Discard past weights and start from the current ones, as a resumed run does."""
        self._past.clear()
        self._remember()

    @torch.no_grad()
    def update(self, momentum: float | None = None) -> None:
        """Update the copy after a step of the network; `momentum` replaces zeta for this update."""
        stays = self._momentum if momentum is None else momentum
        self._remember()
        past = [self._past[min(age, len(self._past) - 1)] for age in self._ages]
        for name, mean in self.net.state_dict().items():
            if mean.is_floating_point():
                seen = [weights[name] for weights in past]
                entering = seen[0] if len(seen) == 1 else torch.stack(seen).mean(0)
                mean.lerp_(entering, self._share(name, 1 - stays))
            else:
                mean.copy_(self._past[0][name])

    def _share(self, name: str, share: float) -> float | Tensor:
        """Give the share of the network that enters the mean at an update, of what has a name."""
        layer, _, statistic = name.rpartition(".")
        if statistic not in ("running_mean", "running_var"):
            return share
        seen = self._past[0][f"{layer}.num_batches_tracked"]
        return (10 / seen).clamp(share, 1)

    def _remember(self) -> None:
        weights = self._learning.state_dict()
        if max(self._ages):  # they will change under our hands
            weights = {name: value.clone() for name, value in weights.items()}
        self._past.appendleft(weights)
