"""A batch that several processes share: each network sees its rows, all get the vectors of all."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function


@dataclass(frozen=True)
class Share:
    """Which rows of a batch a process sees."""

    rank: int
    """Number of the process."""
    sizes: tuple[int, ...]
    """Rows of each process, in the order of their numbers; one alone where the batch is not shared,
    and every process sees all of it."""

    @property
    def count(self) -> int:
        """B, rows of the whole batch."""
        return sum(self.sizes)

    @property
    def shared(self) -> bool:
        """Whether there are others who see the rest."""
        return len(self.sizes) > 1

    @property
    def rows(self) -> slice:
        """The rows of this process."""
        if not self.shared:
            return slice(0, self.count)
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])


def share(count: int, rank: int, world: int) -> Share:
    """Share a batch out in equal parts, the first ones a row larger where they cannot be equal.

    A batch of fewer than two images a process is not shared, as batch norm needs two.

    Args:
        count: B, rows of the batch.
        rank: number of this process.
        world: number of processes.
    """
    if world == 1 or count < 2 * world:
        return Share(0, (count,))
    return Share(rank, tuple((count + world - 1 - r) // world for r in range(world)))


class SeesShare(nn.Module):
    """A layer that has to know of the whole batch when it sees its share alone."""

    share: Share | None = None
    """Of the batch that it sees a part of; None when it sees all."""


def collected(part: Tensor) -> Tensor:
    """Give what each process has, (world, ...), of tensors of one shape; without gradient."""
    found = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(found, part)
    return torch.stack(found)


def gathered(part: Tensor, share: Share) -> Tensor:
    """Give the rows of all processes: (B, D), the same bits on each.

    The loss is computed from them on every process alike. So the gradient of a process's own rows
    is whole, and it flows on, times the number of processes: averaged over the processes, the
    gradients of the weights are those of one process that sees the whole batch, those of weights
    in front of this as well as those of weights behind it.

    Args:
        part: (b, D), the rows of this process.
        share: says whose rows are where.
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
