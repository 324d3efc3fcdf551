"""Write files as a whole or not at all, and check where they may be written."""

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
"""The lock file of a folder in use; a left-over lock file of a process that died has no effect."""


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` for writing; it replaces `path` when it is complete.

    Readers see the old content or the new one, even if the writer is killed. If writing fails,
    the temporary file is removed.

    Raises:
        SettingsError: `path` is a folder.
        OSError: the operating system refuses, for example because the disk is full.
    """
    if path.is_dir():
        raise SettingsError(f"{path} is a folder. Give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    if beside.is_symlink():  # opening it would write into its target
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
    """Write a text as one file, as a whole or not at all; file names in it keep their bytes.

    Raises:
        SettingsError: `path` is a folder.
        OSError: the operating system refuses, for example because the disk is full.
    """
    with written(path) as file:
        file.write(os.fsencode(text))


def check_out(out: Path, kind: str = "", screen: Screen = QUIET) -> None:
    """Check that an output can be written to a place, before the work starts.

    Args:
        out: the file to write or, if no kind is given, the folder to fill. If only its parent
            folder is missing, it is created when the output is written; if more is missing, the
            path is probably misspelt.
        kind: the suffix that the file must have, such as `.npz`.
        screen: says which folder will be created.

    Raises:
        SettingsError: the suffix is different, a folder is given instead of a file or the other
            way round, or more than the parent folder is missing.
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
                "exists. Check the path, or create the folder first."
            )
        screen.say(f"{above} does not exist and will be created")


def refuse_inside(out: Path, root: Path) -> None:
    """Refuse to write into a folder of pictures, where the output would be read as data next time.

    If a list (.csv, .jsonl) lies beside the pictures, only the pictures in the list are data, and
    other files are allowed.

    Args:
        out: the file or folder to write.
        root: folder of the data.

    Raises:
        SettingsError: `out` is `root` or lies in it.
    """
    if not out.resolve().is_relative_to(root.resolve()):
        return
    if not any(path.suffix.lower() in (".csv", ".jsonl") for path in root.glob("*.*")):
        raise SettingsError(
            f"{out} lies in {root}, a folder of pictures, and would be read as part of the data "
            "next time. Give a place outside of it. If a run is there already, move it."
        )


def safe_name(text: str) -> str:
    """Turn any text into a name for one file or folder.

    Letters of any alphabet, digits and `._=,+@ -` are kept. Everything else becomes `_`, and a
    part of the text's digest is then appended, so that different texts get different names.

    Args:
        text: such as `encoder.weights=../b.pt`.

    Returns:
        At most 90 characters, without separators; never empty, `.` or `..`.
    """
    kept = re.sub(r"[^\w.=,+@ -]", "_", text).strip(" .")[:80]
    digest = sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return kept if kept == text and kept else f"{kept or '_'}-{digest}"


@contextmanager
def alone(folder: Path, started: Collection[str] = ()) -> Iterator[None]:
    """Lock a folder until this process leaves the context or dies; create it if necessary.

    On a file system without locks, other processes are not kept out.

    Args:
        folder: to work in.
        started: names of files that are worthless by themselves. After an error, a folder that
            was created here and contains nothing else is removed.

    Raises:
        SettingsError: another process uses the folder, or it is a file.
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
            f"Another process is using {folder}. Wait until it has finished, stop it, or give "
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
    """Remove folders, the innermost first, if they contain only files with these names."""
    found = list(made[0].iterdir())
    if all(path.name in names for path in found):
        with suppress(OSError):  # a second error would help nobody
            for path in found:
                path.unlink()
            for path in made:
                path.rmdir()
