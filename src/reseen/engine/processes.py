"""Several processes that work on one training run together, as torchrun starts them.

Every process runs the same program with the same seeds. The first process alone writes files,
prints, and computes labels. In a single process, these functions do the obvious thing and start
nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from reseen.errors import SettingsError

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long processes wait for each other: labels of a million images take long, and torchrun stops
processes that wait for one that has died."""

_groups = count()
_stores: list[Any] = []
"""The stores of the current group, which work even if the group is broken."""


@contextmanager
def group(store: Any = None, rank: int = 0, world: int | None = None) -> Iterator[None]:
    """Join the processes that torchrun has started; do nothing in a single process.

    A group that exists already is used, and not destroyed.

    Args:
        store: of torch.distributed, through which the processes find each other. By default the
            one of torchrun, from its environment variables, which also give `rank` and `world`.
        rank: number of this process, from 0.
        world: number of processes.

    Raises:
        SettingsError: this build of torch has no distributed package.
    """
    if world is None:
        world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or started():
        yield
        return
    if not dist.is_available():
        raise SettingsError("This build of torch cannot use several processes. Start only one.")
    if store is None:
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"reseen/{attempt}/{next(_groups)}", store)
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    _stores.append(store)
    yield  # no barrier after an error: the others may be waiting for this process
    dist.barrier()
    _stores.clear()
    dist.destroy_process_group()


def started() -> bool:
    """Return whether this process works in a group with others."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if started() else 0


def world() -> int:
    """Return the number of processes that work together, 1 for a single one."""
    return dist.get_world_size() if started() else 1


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def first() -> bool:
    """Return whether this process is the one that writes, prints, and computes labels."""
    return rank() == 0


def barrier() -> None:
    """Wait for all processes."""
    if started():
        dist.barrier()


def once(make: Callable[..., T], *args: Any, **named: Any) -> T:
    """Call a function in the first process, and return its result, or raise its error, in all.

    Args:
        make: the function; its result must be picklable.
        args, named: its arguments.
    """
    if not started():
        return make(*args, **named)
    told: list[Any] = [None, None]
    if first():
        try:
            told[0] = make(*args, **named)
        except Exception as error:
            told[1] = error
    dist.broadcast_object_list(told, device=torch.device("cpu"))
    made, error = told
    if error is not None:
        raise error
    return made


def everywhere(value: T) -> list[T]:
    """Return the values of all processes, in the order of their numbers.

    Args:
        value: of this process; must be picklable.
    """
    if not started():
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value)
    return found


def average(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their means over all processes, in place; all get identical bits.

    Args:
        tensors: floating point, the same shapes on every process.
    """

    def mean(flat: Tensor) -> None:
        dist.all_reduce(flat)
        flat /= world()

    _exchange(tensors, mean)


def copy_first(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by those of the first process, in place.

    Args:
        tensors: the same shapes on every process.
    """
    _exchange(tensors, partial(dist.broadcast, src=0))


@torch.no_grad()
def _exchange(tensors: Iterable[Tensor], change: Callable[[Tensor], Any]) -> None:
    """Change tensors in place together with the other processes, in one message for each dtype."""
    if not started():
        return
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.flatten() for tensor in alike])
        change(flat)
        parts = flat.split([tensor.numel() for tensor in alike])
        for tensor, part in zip(alike, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def speaks() -> bool:
    """Return whether this process should print why all of them stop: the first that asks.

    The others fail only because one has failed, and would say that they lost the connection.
    """
    if not _stores:
        return os.environ.get("RANK", "0") == "0"
    try:
        return _stores[-1].add("stopped", 1) == 1
    except RuntimeError:  # torchrun itself has stopped
        return first()


def lost(error: BaseException) -> bool:
    """Return whether an error means that another process has died."""
    return (
        started()
        and isinstance(error, RuntimeError)
        and (isinstance(error, dist.DistError) or "gloo" in str(error))
    )
