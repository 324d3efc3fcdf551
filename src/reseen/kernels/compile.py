"""Numba's compiler, with a cache on disk that helps where it can and never stops the work."""

import functools
import sys
from typing import Any
from zlib import crc32

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache


def njit(function: Any = None, *, cache: bool = False, **options: Any) -> Any:
    """Compile a function as `numba.njit` does, whatever state the cache is in.

    Where numba finds no folder for its cache, or cannot write to it, the function is compiled in
    each process, and standard error says so once. A damaged cache file is compiled and written
    anew.

    Args:
        function: to compile; None gives a decorator.
        cache: keep the compiled code for the next process.
        options: of `numba.njit`.
    """
    if function is None:
        return functools.partial(njit, cache=cache, **options)
    compiled: Any = numba.njit(**options)(function)
    if cache and hasattr(compiled, "py_func"):  # it has none where NUMBA_DISABLE_JIT is set
        try:
            compiled._cache = _Cache(function)
        except (RuntimeError, OSError) as error:  # no folder that numba tries can be written
            compiled._cache = _NoCache(error)
    return compiled


class _Cache(FunctionCache):
    def __init__(self, function: Any):
        super().__init__(function)
        self._cache_file.__class__ = _CacheFile

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever damage does to pickles and object code
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
    """Code with its checksum behind it: damaged machine code would crash the process."""

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
        f"reseen: compiled code cannot be kept ({reason}), so every command compiles for some "
        "15 seconds. Set NUMBA_CACHE_DIR to a folder that can be written and has room."
    )
