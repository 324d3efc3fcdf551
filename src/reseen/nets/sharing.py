"""Batches shared by several processes: each computes its rows, and all get all vectors."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function


@dataclass(frozen=True)
class Share:
    """The rows of a batch that a process computes."""

    rank: int
    """Number of the process."""
    sizes: tuple[int, ...]
    """Number of rows of each process, in the order of their numbers; a single one if the batch is
    not shared and every process computes all of it."""

    @property
    def count(self) -> int:
        """B, the number of rows of the whole batch."""
        return sum(self.sizes)

    @property
    def shared(self) -> bool:
        """Whether other processes compute the rest."""
        return len(self.sizes) > 1

    @property
    def rows(self) -> slice:
        """The rows of this process."""
        if not self.shared:
            return slice(0, self.count)
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])


def share(count: int, rank: int, world: int) -> Share:
    """Divide a batch into equal parts; if that is not possible, the first ones have one more row.

    A batch with fewer than two images per process is not shared, because batch norm needs two.

    Args:
        count: B, number of rows of the batch.
        rank: number of this process.
        world: number of processes.
    """
    if world == 1 or count < 2 * world:
        return Share(0, (count,))
    return Share(rank, tuple((count + world - 1 - r) // world for r in range(world)))


class SeesShare(nn.Module):
    """A layer that must know about the whole batch when it processes only a share."""

    share: Share | None = None
    """The share of the batch that it processes; None for a whole batch."""


def collected(part: Tensor) -> Tensor:
    """Collect tensors of equal shape from all processes, (world, ...); without gradient."""
    found = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(found, part)
    return torch.stack(found)


def gathered(part: Tensor, share: Share) -> Tensor:
    """Collect the rows of all processes: (B, D), with identical bits in each.

    Every process computes the same loss from them. So the gradient of a process's own rows is
    complete, and it is passed on times the number of processes: averaged over the processes, the
    gradients of all weights, before and after this function, are then those of a single process
    that computes the whole batch.

    Args:
        part: (b, D), the rows of this process.
        share: the rows of each process.
    """
    return _Gathered.apply(part, share) if share.shared else part  # pyright: ignore[reportReturnType]


class _Gathered(Function):
    @staticmethod
    def forward(ctx, part: Tensor, share: Share) -> Tensor:
        ctx.share = share
        room = part.new_zeros(max(share.sizes), *part.shape[1:])
        room[: len(part)] = part
        found = collected(room)
        return torch.cat([rows[:size] for rows, size in zip(found, share.sizes, strict=True)])

    @staticmethod
    def backward(ctx, *grads: Tensor):
        return grads[0][ctx.share.rows] * len(ctx.share.sizes), None
