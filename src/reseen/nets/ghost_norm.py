"""Batch norm over small groups of a batch, so that one device learns like several."""

import functools

from torch import Tensor, cat, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Grouped(_BatchNorm):
    group: int

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each group by its own statistics (training), or as usual (evaluation)."""
        # in this order: a graph that is traced in evaluation takes batches of any size
        if not self.training or (groups := len(input) // self.group) < 2:
            return super().forward(input)
        momentum = self.momentum
        try:
            self.momentum = None if momentum is None else momentum / groups
            return cat([super(_Grouped, self).forward(part) for part in input.tensor_split(groups)])
        finally:
            self.momentum = momentum


@functools.cache
def _grouped(kind: type) -> type:
    return type(f"Ghost{kind.__name__}", (_Grouped, kind), {})


def ghost_batch_norm(net: nn.Module, group: int) -> nn.Module:
    """Make every batch norm in `net` take its statistics over groups of `group` images.

    Methods published with four GPUs normalised a quarter of the batch at a time; on one GPU the
    same settings see the whole batch and can lose twenty points of mAP. With `group` set to the
    images that one GPU held, one device computes what four did. A batch that is no multiple is
    split into nearly equal groups of at least `group` images. The running statistics move by
    momentum / groups for each group, about one momentum a batch. Names of weights do not change.

    Source: Hoffer et al., Train longer, generalize better, NeurIPS 2017, Algorithm 1.

    Args:
        net: changed in place.
        group: images a group; 0 leaves the net as it is.

    Returns:
        The same net.
    """
    if group:
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.__class__ = _grouped(type(module))
                module.__dict__["group"] = group
    return net
