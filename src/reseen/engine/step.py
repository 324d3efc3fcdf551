"""One step of gradient descent, and the rate it takes."""

import torch
from torch import Tensor

from reseen.errors import ReseenError
from reseen.nets.encoder import Encoder


def step(loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """Go one step down the gradient of `loss`.

    Returns:
        The loss without its graph, still on its device: reading it would wait for the GPU.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def mean_loss(losses: list[Tensor]) -> float:
    """Give the mean of the losses of a round.

    Raises:
        ReseenError: it is not a finite number, so the weights are spoilt.
    """
    mean = float(torch.stack(losses).mean())
    if mean != mean or mean in (float("inf"), float("-inf")):
        raise ReseenError(
            f"The loss became {mean} in this round, which is not kept: the run stands where the "
            "round before ended. Start again with a lower rate or with device.precision float32."
        )
    return mean


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def sgd(encoder: Encoder, backbone_rate: float, weight_decay: float) -> torch.optim.SGD:
    """Make SGD with momentum 0.9, whose backbone learns at a share of the rate.

    Source: authors' code of Lin et al., BUC, AAAI 2019 (there with Nesterov's form, as here).
    `scale_rates` sets the rate.
    """
    inside = {id(weight) for weight in encoder.backbone.parameters()}
    learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in learnt if id(w) in inside], "share": backbone_rate},
        {"params": [w for w in learnt if id(w) not in inside], "share": 1.0},
    ]
    return torch.optim.SGD(groups, 0.1, 0.9, weight_decay=weight_decay, nesterov=True)


def scale_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of an optimiser made by `sgd`, each group its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
