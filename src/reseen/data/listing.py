"""Find the pictures in a folder, and count the files that are skipped."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from PIL import features

from reseen.errors import DataError, counted

PICTURES = {
    *(".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
    *((".avif",) if "avif" in features.get_supported_modules() else ()),
}
VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
_NOBODYS = {"__MACOSX", "Thumbs.db", "desktop.ini"}
"""Files of operating systems beside pictures; hidden files and folders are skipped too."""


def is_picture(path: Path) -> bool:
    """Return whether a file exists and its name is that of a picture; hidden files are not."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file()


def find_pictures(root: Path) -> tuple[list[Path], Counter[str]]:
    """Find all pictures in a folder, also through links; each folder is read once.

    Returns:
        The pictures in the order of their paths, and the number of skipped files by suffix.

    Raises:
        DataError: a folder cannot be opened, or a name contains a line break.
    """
    folders, links = [root], list[Path]()
    seen = {_identity(parent) for parent in root.resolve().parents}
    pictures, passed = list[Path](), Counter[str]()
    while folders or links:  # links come last, so that folders are read by their own names
        folder = folders.pop() if folders else links.pop(0)
        if (identity := _identity(folder)) in seen:
            passed["linked folder that was read already"] += 1
            continue
        seen.add(identity)
        for entry in _entries(folder):
            path = Path(entry.path)
            suffix = path.suffix.lower()
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(path)
            elif suffix not in PICTURES:
                passed[suffix or "without a suffix"] += 1
            elif path.is_file() if entry.is_symlink() else entry.is_file():
                pictures.append(path)
            else:
                passed[f"{suffix} that is not a file"] += 1
    refuse_line_ends(pictures)
    return sorted(pictures), passed


def folders_in(root: Path) -> list[Path]:
    """Return the folders directly in a folder, in the order of their names, without hidden ones."""
    return [Path(entry.path) for entry in _entries(root) if _is_folder(entry)]


def say_passed(root: Path, passed: Counter[str]) -> tuple[str, ...]:
    """Return a note on the number of skipped files by suffix, if any."""
    if not passed:
        return ()
    counts = ", ".join(f"{count} {what}" for what, count in passed.most_common())
    return (f"Below {root} are files that are not read: {counts}.{advice(passed)}",)


def advice(suffixes: Iterable[str]) -> str:
    """Return what can be done about files with these suffixes, if anything."""
    suffixes = set(suffixes)
    heic = " Save .heic as JPEG to have it read." if suffixes & {".heic", ".heif"} else ""
    return heic + (_CROP_FIRST if suffixes & VIDEOS else "")


_CROP_FIRST = (
    " Of a video, crops of people are read: reseen video FILE --out CROPS makes them, and every "
    "command reads that folder."
)


def refuse_line_ends(paths: Iterable[Path]) -> None:
    """Refuse names with line breaks, which lists of pictures cannot contain.

    Raises:
        DataError: there is such a name; the error has the first and their number.
    """
    wrong = [path for path in paths if {"\n", "\r"} & set(str(path))]
    if wrong:
        raise DataError(
            f"{counted(len(wrong), 'picture')} with a line break in the path, the first is "
            f"{str(wrong[0])!r}. Rename them."
        )


def read_text(path: Path) -> str:
    """Read a list or table as UTF-8.

    Raises:
        DataError: it has another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text. Save it again as UTF-8 (in Excel: CSV UTF-8)."
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder or a link to one; a link to itself is not."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [
                e
                for e in entries
                if not e.name.startswith(".") and e.name not in _NOBODYS
                if not e.name.endswith(".reseen")  # the figures of a report
            ]
    except PermissionError as error:
        raise DataError(
            f"{folder} cannot be read ({error.strerror}). Change its permissions, or move it away."
        ) from error
    return sorted(found, key=lambda entry: entry.name)
