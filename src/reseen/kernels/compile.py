"""Numba's compiler with a cache on disk, whose failures never stop the work."""

import functools
import sys
from typing import Any
from zlib import crc32

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache


def njit(function: Any = None, *, cache: bool = False, **options: Any) -> Any:
    """Compile a function as `numba.njit` does, whatever the state of the cache.

    If numba finds no folder for its cache, or cannot write to it, the function is compiled in
    every process, and a message is printed once. Code with a damaged cache file is compiled and
    saved again.

    Args:
        function: to compile; None returns a decorator.
        cache: save the compiled code for other processes.
        options: of `numba.njit`.
    """
    if function is None:
        return functools.partial(njit, cache=cache, **options)
    compiled: Any = numba.njit(**options)(function)
    if cache and hasattr(compiled, "py_func"):  # not with NUMBA_DISABLE_JIT
        try:
            compiled._cache = _Cache(function)
        except (RuntimeError, OSError) as error:  # numba can write to no folder that it tries
            compiled._cache = _NoCache(error)
    return compiled


class _Cache(FunctionCache):
    def __init__(self, function: Any):
        super().__init__(function)
        self._cache_file.__class__ = _CacheFile

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # any error that damaged pickles and object code can raise
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # the index is damaged
                self.flush()
                super().save_overload(sig, data)
        except OSError as error:
            _say_uncached(error)


class _CacheFile(IndexDataCacheFile):
    """Code followed by its checksum: damaged machine code would crash the process."""

    def _dump(self, obj: Any) -> bytes:
        data = super()._dump(obj)
        return data + crc32(data).to_bytes(4, "big")  # pickle stops reading before it

    def _load_data(self, name: str) -> Any:
        with open(self._data_path(name), "rb") as file:  # noqa: PTH123 (a string, numba's)
            data = file.read()
        if crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
            raise EOFError("damaged")
        return super()._load_data(name)


class _NoCache(NullCache):
    def __init__(self, error: Exception):
        self._error = error

    def save_overload(self, sig: Any, cres: Any) -> None:
        _say_uncached(self._error)


@functools.cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr)


def _say_uncached(error: Exception) -> None:
    reason = error.strerror if isinstance(error, OSError) else "no folder for it can be written"
    _say_once(
        f"reseen: compiled code cannot be saved ({reason}), so every command compiles for about "
        "15 seconds. Set NUMBA_CACHE_DIR to a folder that can be written and has free space."
    )
