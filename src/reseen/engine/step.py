"""One step of gradient descent, and the rate it takes."""

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from reseen.checks import above_zero, at_least, below_one
from reseen.errors import ReseenError
from reseen.nets.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """Adam, whose rate falls in steps.

    The defaults are those of Cluster Contrast; a method says which its paper has.
    """

    rate: float = 3.5e-4
    """Learning rate of Adam at the start."""
    rate_step: int = 20
    """The learning rate is divided by 10 every so many rounds; 0 is never."""
    weight_decay: float = 5e-4
    """Weight decay of Adam. Usual: 5e-4."""

    def __post_init__(self):
        above_zero(self, "rate")
        at_least(self, 0, "rate_step")
        below_one(self, "weight_decay")

    def adam(self, *nets: nn.Module, done: int = 0) -> torch.optim.Adam:
        """Make Adam for all weights of networks that learn, after `done` rounds."""
        learnt = [weight for net in nets for weight in net.parameters() if weight.requires_grad]
        return torch.optim.Adam(learnt, self.rate_at(done), weight_decay=self.weight_decay)

    def rate_at(self, done: int) -> float:
        """Give the learning rate after `done` rounds."""
        return self.rate * 0.1 ** (done // self.rate_step if self.rate_step else 0)


@dataclass(frozen=True, kw_only=True)
class SgdSettings:
    """SGD with momentum 0.9, whose backbone learns slower and whose rate falls once.

    The defaults are those of the authors' code of Lin et al., BUC, AAAI 2019.
    """

    rate: float = 0.1
    """Learning rate of SGD (momentum 0.9) in the first stage. BUC and SSL: 0.1."""
    rate_hold: int = 16
    """Rounds, first stage included, after which the rate is a tenth. BUC: 16; SSL: 15."""
    backbone_rate: float = 0.1
    """Share of the rate that the backbone learns with. BUC: 0.1."""
    weight_decay: float = 5e-4
    """Weight decay of SGD. BUC: 5e-4."""

    def __post_init__(self):
        above_zero(self, "rate", "backbone_rate")
        at_least(self, 0, "rate_hold")
        below_one(self, "weight_decay")

    def sgd(self, encoder: Encoder) -> torch.optim.SGD:
        """Make SGD with Nesterov's form of momentum for an encoder."""
        inside = {id(weight) for weight in encoder.backbone.parameters()}
        learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
        groups = [
            {"params": [w for w in learnt if id(w) in inside], "share": self.backbone_rate},
            {"params": [w for w in learnt if id(w) not in inside], "share": 1.0},
        ]
        return torch.optim.SGD(
            groups, self.rate, 0.9, weight_decay=self.weight_decay, nesterov=True
        )

    def set_rates(self, optimizer: torch.optim.Optimizer, done: int) -> None:
        """Set the rates of an optimiser made by `sgd` after `done` rounds."""
        rate = self.rate * (0.1 if done >= self.rate_hold else 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]


def step(loss: Tensor, optimizer: torch.optim.Optimizer, **terms: Tensor) -> dict[str, Tensor]:
    """Go one step down the gradient of `loss`.

    Args:
        loss: a scalar.
        optimizer: of the weights that learn.
        terms: what the loss is a weighted sum of, by name and without their weights.

    Returns:
        What `averaged` averages over a round: `loss`, `loss_` and the name of each term, and
        `rate`, the learning rate of the first parameter group. All are without a graph and still on
        their device: reading them would wait for the GPU.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    group = optimizer.param_groups[0]
    rate = torch.tensor(group["lr"] / group.get("share", 1.0))
    return {
        "loss": loss.detach(),
        **{f"loss_{name}": term.detach() for name, term in terms.items()},
        "rate": rate,
    }


def averaged(steps: list[dict[str, Tensor]]) -> dict[str, float]:
    """Average over a round what each `step` gave, to be logged.

    Raises:
        ReseenError: the loss is not a finite number, so the weights are spoilt.
    """
    names = dict.fromkeys(name for one in steps for name in one)
    mean = {n: float(torch.stack([one[n] for one in steps if n in one]).mean()) for n in names}
    if not isfinite(mean["loss"]):
        raise ReseenError(
            f"The loss became {mean['loss']} in this round, which is not kept: the run stands "
            "where the round before ended. Start again with a lower rate or with device.precision "
            "float32."
        )
    return mean


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
