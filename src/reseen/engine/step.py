"""One step of gradient descent, and the rate it takes."""

import torch
from torch import Tensor

from reseen.errors import ReseenError


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
