"""Mean network: a moving average of the weights of a network."""

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
        self._means, self._learning = (of.state_dict(keep_vars=True) for of in (self.net, learning))
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
        means: list[Tensor] = []
        entering: list[Tensor] = []
        for name, mean in self._means.items():
            layer, _, kind = name.rpartition(".")
            if not mean.is_floating_point():
                mean.copy_(self._past[0][name])
                continue
            seen = [weights[name] for weights in past]
            now = seen[0] if len(seen) == 1 else torch.stack(seen).mean(0)
            if kind in ("running_mean", "running_var"):
                batches = self._past[0][f"{layer}.num_batches_tracked"]
                mean.lerp_(now, (10 / batches).clamp(1 - stays, 1))
            else:
                means.append(mean)
                entering.append(now)
        if means:  # a head without a projection has no weights
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                means, entering, 1 - stays
            )

    def _remember(self) -> None:
        weights = self._learning
        if max(self._ages):  # copies, because the weights change in place
            weights = {name: value.detach().clone() for name, value in weights.items()}
        self._past.appendleft(weights)
