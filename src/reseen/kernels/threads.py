"""Loops over several threads.

Numba's own parallel loops take several times as long to compile, and silently turn `x += y` into
a sum over threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from numba.core import config


def thread_count() -> int:
    """Return the number of threads: numba's (NUMBA_NUM_THREADS).

    `numba.get_num_threads` would start numba's own thread pool, and so set the number of threads of
    torch, which shares its OpenMP runtime, to all cores, whatever `torch.set_num_threads` said.
    """
    return config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]


def spread(work: Callable, *args) -> None:
    """Run work(t, threads, *args) in threads t = 0 .. threads - 1, and wait for all.

    Args:
        work: a function of `njit(nogil=True)` that iterates over range(t, n, threads), and writes
            only to the elements of these.
        args: passed on.
    """
    threads = thread_count()
    if threads == 1:
        work(0, 1, *args)
    else:
        for done in [_pool(threads).submit(work, t, threads, *args) for t in range(threads)]:
            done.result()


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "kernels")


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
