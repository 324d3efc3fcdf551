"""Files that are whole or not there, and the places where they may be written."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from reseen.engine.progress import QUIET, Screen
from reseen.errors import SettingsError

LOCK = "lock"
"""The file in a folder at work that keeps other processes out; it says nothing when left behind."""


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` to write; it takes the place of `path` once it is whole.

    Whoever reads sees the old content or the new one, whenever the writer is killed. A writer that
    fails leaves nothing beside it.

    Raises:
        SettingsError: `path` is a folder.
        OSError: the system refuses, as when the disk is full.
    """
    if path.is_dir():
        raise SettingsError(f"{path} is a folder. Give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    if beside.is_symlink():  # opening it would write into what it leads to
        beside.unlink()
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


def write_text(path: Path, text: str) -> None:
    """Write a text as one file, whole or not at all; names of files in it keep their bytes.

    Raises:
        SettingsError: `path` is a folder.
        OSError: the system refuses, as when the disk is full.
    """
    with written(path) as file:
        file.write(os.fsencode(text))


def check_out(out: Path, kind: str = "", screen: Screen = QUIET) -> None:
    """Refuse a place in which nothing can be written, before the work that is to go there.

    Args:
        out: the file to write, or, where no kind is given, the folder to fill. One missing folder
            above it is made when it is written; if more are missing, the path may be misspelt.
        kind: the suffix that the file must have, such as `.npz`.
        screen: says which folder will be made.

    Raises:
        SettingsError: another suffix, a folder where a file is to go or the other way round, or
            more than one folder above is missing.
    """
    above = out.parent
    if kind and out.suffix.lower() != kind:
        raise SettingsError(f"{out} does not end in {kind}. Give the name of a {kind} file.")
    if kind and out.is_dir():
        raise SettingsError(f"{out} is a folder. Give the name of a {kind} file.")
    if not kind and out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file. Give a folder.")
    if above.exists() and not above.is_dir():
        raise SettingsError(f"{above} is a file, so {out} cannot be written. Give another place.")
    if not above.exists():
        if not above.parent.is_dir():
            raise SettingsError(
                f"{out} cannot be written: neither {above} nor {above.parent} is a folder that "
                "exists. Check the path, or make the folder first."
            )
        screen.say(f"{above} does not exist and will be made")


def refuse_inside(out: Path, root: Path) -> None:
    """Refuse to write into a folder of pictures: what lies there is read as data the next time.

    Where a list (.csv, .jsonl) lies beside the pictures, it says what the data is, and anything
    else may lie there too.

    Args:
        out: the file or folder to write.
        root: the folder of the data.

    Raises:
        SettingsError: `out` is `root` or lies in it.
    """
    if not out.resolve().is_relative_to(root.resolve()):
        return
    if not any(path.suffix.lower() in (".csv", ".jsonl") for path in root.glob("*.*")):
        raise SettingsError(
            f"{out} lies in {root}, a folder of pictures, and would be read as part of the data "
            "the next time. Give a place outside of it. A run that is there already can be moved."
        )


def safe_name(text: str) -> str:
    """Give a name for one file or folder that is made from words of a user.

    Letters of any alphabet, digits and `._=,+@ -` stay. Everything else becomes `_`, and so that
    different texts keep different names, a part of their digest is added where they changed.

    Args:
        text: such as `encoder.weights=../b.pt`.

    Returns:
        At most 90 characters, never empty, `.` or `..`, without separators.
    """
    kept = re.sub(r"[^\w.=,+@ -]", "_", text).strip(" .")[:80]
    digest = sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return kept if kept == text and kept else f"{kept or '_'}-{digest}"


@contextmanager
def alone(folder: Path, started: Collection[str] = ()) -> Iterator[None]:
    """Keep other processes out of a folder until this one is done or dies; make it if need be.

    Where the file system knows no locks, nobody is kept out.

    Args:
        folder: to work in.
        started: names of files that are worth nothing by themselves. After a failure a folder that
            was made here and holds nothing else is removed again.

    Raises:
        SettingsError: another process is at work in it, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is a file. Give a folder.")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
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
    except BaseException:
        if made:
            _discard(made, {LOCK, *started})
        raise
    finally:
        lock.release()


def _discard(made: list[Path], names: set[str]) -> None:
    """Remove folders, the innermost first, if it holds files of these names alone."""
    found = list(made[0].iterdir())
    if all(path.name in names for path in found):
        with suppress(OSError):  # nobody is helped by a second error
            for path in found:
                path.unlink()
            for path in made:
                path.rmdir()
