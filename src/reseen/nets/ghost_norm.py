"""Batch-norm statistics of groups of a batch, of one process, or of all processes."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, cat, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from reseen.nets.sharing import SeesShare, Share, collected, share


class _Grouped(SeesShare, _BatchNorm):
    group: int
    world: int = 1
    """Number of processes whose rows are normalised separately, if it sees the whole batch."""

    def groups(self, count: int) -> int:
        """Return the number of groups of `count` images."""
        return max(1, count // self.group) if self.group else 1

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each group by its own statistics (training), or as usual (evaluation)."""
        # in this order, so that a graph traced in evaluation mode takes batches of any size
        if not self.training:
            return super().forward(input)
        whole = share(len(input), 0, self.world).sizes if self.world > 1 else (len(input),)
        sizes = self.share.sizes if self.share else whole
        shares = [input] if self.share else input.split(sizes)
        total = sum(map(self.groups, sizes))
        if total == 1:
            return super().forward(input)
        momentum = self.momentum
        parts = (part for one in shares for part in one.tensor_split(self.groups(len(one))))
        try:
            self.momentum = None if momentum is None else momentum / total
            return cat([super(_Grouped, self).forward(part) for part in parts])
        finally:
            self.momentum = momentum


class _Synchronised(SeesShare, _BatchNorm):
    def forward(self, input: Tensor) -> Tensor:
        """Normalise a share by the statistics of the whole batch (training), or as usual."""
        if not self.training or self.share is None:
            return super().forward(input)
        each = input.numel() // len(input) // input.shape[1]
        counts = [size * each for size in self.share.sizes]
        out, mean, variance = _WholeBatch.apply(  # pyright: ignore[reportGeneralTypeIssues]
            input, self.weight, self.bias, counts, self.eps
        )
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        count = sum(counts)
        with torch.no_grad():
            for kept, now in (
                (self.running_mean, mean),
                (self.running_var, variance * (count / (count - 1))),
            ):
                assert kept is not None
                kept.lerp_(now, self.momentum)
        for name in ("drop", "act"):  # timm's batch norms with activation
            out = getattr(self, name, nn.Identity())(out)
        return out


class _WholeBatch(Function):
    """Batch norm with the mean and variance of the rows of all processes."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, counts: list[int], eps: float):
        dims = [d for d in range(x.ndim) if d != 1]
        shares = x.new_tensor(counts, dtype=torch.float32)[:, None] / sum(counts)
        means, variances = collected(
            torch.stack(torch.var_mean(x.float(), dims, correction=0)[::-1])
        ).unbind(1)
        mean = (shares * means).sum(0)
        variance = (shares * (variances + (means - mean).square())).sum(0)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.count, ctx.dims = sum(counts), dims
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    def backward(ctx, *grads: Tensor):
        x, weight, mean, scale = ctx.saved_tensors
        shape = [1, -1] + [1] * (x.ndim - 2)
        grad = grads[0].float()
        unit = (x.float() - mean.view(shape)) * scale.view(shape)
        own = torch.stack([grad.sum(ctx.dims), (grad * unit).sum(ctx.dims)])
        of_all = own.clone()
        dist.all_reduce(of_all)
        shift, slope = (of_all / ctx.count).unbind()
        passed = grad - shift.view(shape) - unit * slope.view(shape)
        passed = passed * (weight * scale).view(shape)
        return passed.to(x.dtype), own[1], own[0], None, None


@functools.cache
def _of_kind(how: type, kind: type) -> type:
    return type(f"{how.__name__.strip('_')}{kind.__name__}", (how, kind), {})


def ghost_batch_norm(net: nn.Module, group: int) -> nn.Module:
    """Make every batch norm in `net` compute its statistics over groups of `group` images.

    Methods that were published with four GPUs normalised each quarter of the batch separately; on
    one GPU the same settings use the whole batch, and can lose twenty points of mAP. If `group` is
    the number of images per GPU, one device computes what the four did. If the batch is not a
    multiple of it, it is split into nearly equal groups of at least `group` images. The running
    statistics are updated with momentum / groups for each group, about one momentum per batch.
    Names of weights do not change.

    Source: Hoffer et al., Train longer, generalize better, NeurIPS 2017, Algorithm 1.

    Args:
        net: changed in place.
        group: number of images in a group; 0 leaves the net unchanged.

    Returns:
        The same net.
        The same net.
    """
    if group:
        _convert(net, _Grouped, group=group)
    return net


def _convert(net: nn.Module, how: type, **known: int) -> None:
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            if not isinstance(module, how):
                module.__class__ = _of_kind(how, type(module))
            module.__dict__.update(known)


def share_norms(before: nn.Module, behind: nn.Module, world: int, group: int, sync: bool) -> None:
    """Prepare the batch norms of networks for batches that several processes share.

    Args:
        before: networks that get the rows of this process, within `in_part`; changed in place.
        behind: networks that get all rows; changed in place.
        world: number of processes; with 1, nothing changes.
        group: number of images that share statistics within a process; 0 for all of them.
        sync: use the statistics of the whole batch instead.
    """
    if sync and world > 1:
        _convert(before, _Synchronised)
    elif world > 1 or isinstance(behind, _Grouped):
        _convert(before, _Grouped, group=group)
        _convert(behind, _Grouped, group=group, world=world)


@contextmanager
def in_part(net: nn.Module, share: Share) -> Iterator[None]:
    """Process a share of a batch; afterwards the running statistics are those of the whole batch.

    Up to rounding, they are the same as if one process had processed all groups of the batch, one
    after another in the order of the processes.
    """
    if not share.shared:
        yield
        return
    told = [module for module in net.modules() if isinstance(module, SeesShare)]
    alike: dict[float, list[_Grouped]] = {}
    for module in told:
        module.share = share
        if isinstance(module, _Grouped) and module.training and module.track_running_stats:
            alike.setdefault(module.momentum or 0.0, []).append(module)
    before = [_flat(norms) for norms in alike.values()]
    try:
        yield
    finally:
        for module in told:
            module.share = None
    for (momentum, norms), old in zip(alike.items(), before, strict=True):
        groups = [norms[0].groups(size) for size in share.sizes]
        now = old
        for found, count in zip(collected(_flat(norms)), groups, strict=True):
            now = found + (1 - momentum / sum(groups)) ** count * (now - old)
        parts = now.split([len(kept) for kept in _statistics(norms)])
        for kept, part in zip(_statistics(norms), parts, strict=True):
            kept.data.copy_(part)  # the graph refers to them, but does not use them
        for norm in norms:
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(sum(groups) - groups[share.rank])


def _statistics(norms: list[_Grouped]) -> list[Tensor]:
    found = (kept for norm in norms for kept in (norm.running_mean, norm.running_var))
    return [kept for kept in found if kept is not None]


def _flat(norms: list[_Grouped]) -> Tensor:
    return cat(_statistics(norms))
