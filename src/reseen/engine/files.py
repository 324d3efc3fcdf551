"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from reseen.errors import SettingsError

LOCK = "lock"
"""The file in a folder at work that keeps other processes out; it says nothing when left behind."""


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` to write; it takes the place of `path` once it is whole.

    Whoever reads sees the old content or the new one, whenever the writer is killed.

    Raises:
        SettingsError: `path` is a folder.
        OSError: the system refuses, as when the disk is full; the file beside is removed.
    """
    if path.is_dir():
        raise SettingsError(f"{path} is a folder. Give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        cause = error.__context__
        if isinstance(error, RuntimeError) and isinstance(cause, OSError):  # from torch.save
            cause.filename = cause.filename or str(path)
            raise cause from None
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)
        raise


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder until this one is done or dies; make it if need be.

    Where the file system knows no locks, nobody is kept out.

    Raises:
        SettingsError: another process is at work in it, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is a file. Give a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SettingsError(
            f"Another process is at work in {folder}. Wait until it is done, stop it, or give "
            "another folder."
        ) from None
    except NotImplementedError:
        pass
    try:
        yield
    finally:
        lock.release()
