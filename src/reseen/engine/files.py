"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


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
