"""One optimiser step, and learning rates."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from reseen.checks import above_zero, at_least, below_one, shares
from reseen.engine import processes
from reseen.errors import ReseenError
from reseen.nets.attention import Attention
from reseen.nets.attention.gate import Gate
from reseen.nets.backbones import Backbone
from reseen.nets.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class NewLayerSettings:
    """How new layers (attention and its gate), which are not pre-trained, learn.

    The papers have no gates, and do not say that attention learns differently from the rest. For
    the same learning rate and weight decay everywhere, use `--new-rate 1 --gate-rate 1 --new-decay
    1`.
    """

    new_rate: float = 1.0
    """Learning rate of attention layers, as a multiple of that of other new layers (neck,
    heads)."""
    gate_rate: float = 30.0
    """Learning rate of the gate, as a multiple of that of other new layers. Adam changes a
    parameter by about its learning rate in each step, so that with 1 the gate would stay nearly
    closed in a short run."""
    new_decay: float = 0.0
    """Weight decay of gates, of the layers behind them, and of the norms and biases of attention,
    as a share of the usual weight decay. The gradient of a layer behind a nearly closed gate is
    tiny, so that weight decay alone would move its weights to 0."""

    def __post_init__(self):
        above_zero(self, "new_rate", "gate_rate")
        shares(self, "new_decay")

    def groups(self, *nets: nn.Module, decay: float, backbone: float = 1.0) -> list[dict[str, Any]]:
        """Sort the weights of networks into parameter groups of an optimiser.

        Args:
            nets: networks; a backbone, attention and gates are found anywhere in them.
            decay: weight decay.
            backbone: learning rate of a backbone, as a multiple of that of everything else.

        Returns:
            Groups with their own weight decay, and with `share`, the factor of the learning rate in
            `set_rate`. Without attention there is one group, or two if there is a backbone.
        """
        modules = [module for net in nets for module in net.modules()]
        terms: dict[nn.Parameter, tuple[float, float]] = {}  # factors of the rate and of the decay
        for module in modules:
            if isinstance(module, Backbone):
                terms |= dict.fromkeys(module.parameters(), (backbone, 1.0))
        for module in modules:
            if isinstance(module, Attention):
                for weight in module.parameters():
                    terms[weight] = self.new_rate, 1.0 if weight.ndim > 1 else self.new_decay
        for module in modules:
            if isinstance(module, Gate):
                terms |= dict.fromkeys(module.new.parameters(), (self.new_rate, self.new_decay))
                terms[module.gate] = self.gate_rate, self.new_decay
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for weight in (weight for net in nets for weight in net.parameters()):
            if weight.requires_grad:
                groups.setdefault(terms.get(weight, (1.0, 1.0)), []).append(weight)
        return [
            {"params": weights, "share": share, "weight_decay": decay * kept}
            for (share, kept), weights in groups.items()
        ]


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings(NewLayerSettings):
    """Adam, with a learning rate that falls in steps.

    The defaults are those of Cluster Contrast; each method states the values of its paper.
    """

    rate: float = 3.5e-4
    """Learning rate of Adam at the start."""
    rate_step: int = 20
    """Number of rounds after which the learning rate is divided by 10, repeatedly; 0 keeps it
    constant."""
    weight_decay: float = 5e-4
    """Weight decay of Adam. A usual value is 5e-4."""

    def __post_init__(self):
        super().__post_init__()
        above_zero(self, "rate")
        at_least(self, 0, "rate_step")
        below_one(self, "weight_decay")

    def adam(self, *nets: nn.Module, done: int = 0) -> torch.optim.Adam:
        """Create Adam for all trainable weights of networks, after `done` rounds."""
        optimizer = torch.optim.Adam(self.groups(*nets, decay=self.weight_decay))
        set_rate(optimizer, self.rate_at(done))
        return optimizer

    def rate_at(self, done: int) -> float:
        """Return the learning rate after `done` rounds."""
        return self.rate * 0.1 ** (done // self.rate_step if self.rate_step else 0)


@dataclass(frozen=True, kw_only=True)
class SgdSettings(NewLayerSettings):
    """SGD with momentum 0.9, a smaller learning rate of the backbone, and one fall of the rate.

    The defaults are those of the authors' code of Lin et al., BUC, AAAI 2019.
    """

    rate: float = 0.1
    """Learning rate of SGD (momentum 0.9) in the first stage. BUC and SSL: 0.1."""
    rate_hold: int = 16
    """Number of rounds, including the first stage, after which the learning rate is divided by 10.
    BUC: 16; SSL: 15."""
    gate_rate: float = 1.0
    """Learning rate of the gate, as a multiple of that of other new layers. SGD needs no more than
    1, because the gradient of a gate is a sum over the whole feature map; with 10, at a rate of
    0.1, the gate diverges."""
    backbone_rate: float = 0.1
    """Learning rate of the backbone, as a share of the learning rate. BUC: 0.1."""
    weight_decay: float = 5e-4
    """Weight decay of SGD. BUC: 5e-4."""

    def __post_init__(self):
        super().__post_init__()
        above_zero(self, "rate", "backbone_rate")
        at_least(self, 0, "rate_hold")
        below_one(self, "weight_decay")

    def sgd(self, encoder: Encoder) -> torch.optim.SGD:
        """Create SGD with Nesterov momentum for an encoder."""
        groups = self.groups(encoder, decay=self.weight_decay, backbone=self.backbone_rate)
        return torch.optim.SGD(groups, self.rate, 0.9, nesterov=True)

    def set_rates(self, optimizer: torch.optim.Optimizer, done: int) -> None:
        """Set the learning rates of an optimiser from `sgd` after `done` rounds."""
        set_rate(optimizer, self.rate * (0.1 if done >= self.rate_hold else 1.0))


def step(loss: Tensor, optimizer: torch.optim.Optimizer, **terms: Tensor) -> dict[str, Tensor]:
    """Take one optimiser step on `loss`, which several processes compute together.

    Args:
        loss: a scalar.
        optimizer: of the weights to train.
        terms: the terms of the loss, by name and without their weights.

    Returns:
        What `averaged` averages over a round: `loss`, `loss_` and the name of each term, and
        `rate`, the learning rate of the first parameter group. All are detached and still on
        their device: reading them would wait for the GPU.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    processes.average(weight.grad for weight in weights if weight.grad is not None)
    optimizer.step()
    group = optimizer.param_groups[0]
    rate = torch.tensor(group["lr"] / group.get("share", 1.0))
    return {
        "loss": loss.detach(),
        **{f"loss_{name}": term.detach() for name, term in terms.items()},
        "rate": rate,
    }


def averaged(steps: list[dict[str, Tensor]]) -> dict[str, float]:
    """Average the results of `step` over a round, for the log.

    Raises:
        ReseenError: the loss is not finite, so the weights are useless.
    """
    names = dict.fromkeys(name for one in steps for name in one)
    mean = {n: float(torch.stack([one[n] for one in steps if n in one]).mean()) for n in names}
    if not isfinite(mean["loss"]):
        raise ReseenError(
            f"The loss became {mean['loss']} in this round, which is not saved: the run is as "
            "after the round before. Start again with a lower learning rate or with "
            "--device.precision float32."
        )
    return mean


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group, times its `share` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
