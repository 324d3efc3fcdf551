"""Copies of arrays and tensors to the device of a network."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def send(values: "np.ndarray | Tensor", device: "torch.device | str") -> "Tensor":
    """Copy to a device without waiting for its current work.

    `Tensor.to` would wait, because the memory can be paged out. Here, values on the CPU are first
    copied into pinned memory, which torch keeps until the GPU has read it.

    Args:
        values: a numpy array or a tensor; one that is already on the device is returned.
        device: the target.
    """
    import torch

    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
