"""The way of numbers from the CPU to where networks compute."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def send(values: "np.ndarray | Tensor", device: "torch.device | str") -> "Tensor":
    """Copy to a device without waiting for what it still computes.

    `Tensor.to` waits twice: for memory that can be paged, and for the copy. Here what lies on the
    CPU is first copied into pinned memory, which torch keeps until the GPU has read it.

    Args:
        values: an array of numpy or a tensor; one that is on the device already is given back.
        device: where to.
    """
    import torch

    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
