"""A plain folder of the user's own crops, or a manifest that lists them."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from io import StringIO
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from reseen.data.listing import (
    PICTURES,
    VIDEOS,
    advice,
    find_pictures,
    folders_in,
    is_picture,
    read_text,
    refuse_line_ends,
    say_passed,
)
from reseen.data.market_like import person_and_camera
from reseen.errors import DataError, SettingsError, counted
from reseen.records import JUNK, Dataset, Image

MANIFESTS = ("manifest.csv", "manifest.jsonl")
COLUMNS = ("path", "camera", "time", "person", "split")
INVENTED = ("viewpoint", "occlusion")
TRACKLET_COLUMNS = ("tracklet", "begin", "end", "film", "frame", "box", "score")
"""Columns of the manifest that `reseen video` writes in addition to path, camera and time."""
REMARKS = (*INVENTED, *TRACKLET_COLUMNS)
"""Columns that a manifest may have and that are not read here."""
FIELDS = ("camera", "person", "time", "_")
FOLDERS = ("auto", "camera", "person")
UNKNOWN = {"nan", "none", "null", "n/a", "<na>"}
"""What programs write for an unknown person or camera."""
PARTS = {
    *("train", "training", "train_all", "trainval", "test", "testing", "val", "valid"),
    *("validation", "query", "queries", "probe", "gallery", "multi-query", "multi_query"),
    *("bounding_box_train", "bounding_box_test", "image_train", "image_query", "image_test"),
    *("mask_train_v2", "mask_test_v2", "bbox_train", "bbox_test"),
    *("images_labeled", "images_detected", "labeled", "detected"),
}
"""Names of folders that are parts of a data set; CUHK03 has pictures labeled and detected."""
MANY = 16
"""Number of sub-folders from which they are probably not cameras."""
FEW = 50
"""Number of pictures in a sub-folder up to which many of them are probably people."""
_CAMERA = re.compile(r"(cam|camera|kamera|c|ch|channel|view)[\W_]*\d*", re.IGNORECASE)
_PERSON = re.compile(r"(person|people|pid|id|identity|subject|human|p)[\W_]*\d+", re.IGNORECASE)


def recognises(root: Path) -> bool:
    """Return True: any path that no benchmark recognises may be read as plain pictures."""
    return root.exists()


def read(root: Path, *, pattern: str | None = None, folders: str = "auto") -> Dataset:
    """Read crops from a folder, from one sub-folder per camera or person, or from a manifest.

    A single image may be given instead of a folder; its camera and person are unknown.

    Without a manifest or pattern, images directly in the folder have no camera, and each sub-folder
    is one camera or one person. If people are known but query and gallery are not defined, every
    image of a known person is a query, a gallery image (a search leaves out the image itself) and a
    training image. An image that a manifest lists twice is read once.

    Args:
        root: folder; one image; a .csv or .jsonl manifest; or a folder with manifest.csv or
            manifest.jsonl. A manifest has the columns path (relative to the manifest), camera,
            time, person and split (train, query or gallery), of which only path is required. A time
            is a number, or ISO 8601, in UTC if it has no time zone.
        pattern: pattern of the paths below the folder, such as `{camera}_{person}_{_}.jpg` or
            `cam{camera}/{time}.png`; `{_}` stands for any text. With a pattern, sub-folders are not
            read as cameras.
        folders: what the sub-folders stand for: `camera`, `person`, or `auto`, which trusts file
            names like those of Market-1501, and otherwise guesses by the names of the folders, by
            their number and by how few images they have, with a note on the guess.

    Raises:
        DataError: there are no images, a line or name cannot be parsed, lines contradict each
            other, or sub-folders are parts of a data set or could be people as well as cameras.
        SettingsError: `folders` is unknown, or contradicts a pattern or manifest.
    """
    if folders not in FOLDERS:
        raise SettingsError(f"folders is {folders!r}. Use one of: {', '.join(FOLDERS)}.")
    manifest = None if pattern else find_manifest(root)
    if folders != "auto" and (pattern or manifest):
        raise SettingsError(
            f"folders is {folders!r}, but {manifest or 'the pattern'} says who and where. Leave "
            "one of them out."
        )
    notes: list[str] = []
    rows = _rows(root, manifest, pattern, folders, notes)
    root = manifest.parent if manifest else root
    return _dataset(root, rows, notes, once=not manifest)


def read_together(roots: Sequence[Path]) -> Dataset:
    """Read several folders, manifests and pictures as one plain data set, pictures last.

    Cameras, and people, with the same name are the same, whichever folder they are in. A picture
    that is given itself and is also in a folder is read once, as in the folder.

    Args:
        roots: one or more, each as in `read`.

    Raises:
        DataError: as in `read`, or two of them contradict each other about a picture.
    """
    notes: list[str] = []
    alone = [root for root in dict.fromkeys(roots) if is_picture(root)]
    rows = [
        {"where": str(root), **row}
        for root in dict.fromkeys(roots)
        if root not in alone
        for row in _rows(root, find_manifest(root), None, "auto", notes)
    ]
    known = {os.path.abspath(row["path"]) for row in rows}  # noqa: PTH100
    rows += [{"path": path} for path in alone if os.path.abspath(path) not in known]  # noqa: PTH100
    above = os.path.commonpath([os.path.abspath(root) for root in roots])  # noqa: PTH100
    return _dataset(Path(above), rows, notes)


def _rows(
    root: Path, manifest: Path | None, pattern: str | None, folders: str, notes: list[str]
) -> list[dict[str, Any]]:
    """Make a row for each picture of `root`; arguments as in `read`."""
    if manifest:
        return list(_manifest_rows(manifest))
    if root.is_dir():
        paths = _pictures(root, notes)
        if pattern:
            return _pattern_rows(root, pattern, paths)
        return _folder_rows(root, folders, paths, notes)
    suffix = root.suffix.lower()
    if suffix in PICTURES and root.is_file():
        return _pattern_rows(root.parent, pattern, [root]) if pattern else [{"path": root}]
    what = (
        "a video."
        if suffix in VIDEOS
        else "not a folder or a .csv or .jsonl manifest, nor a picture that can be read "
        f"({', '.join(sorted(PICTURES))}). Give one of them."
    )
    raise DataError(f"{root} is {what}{advice([suffix])}")


def is_invented(manifest: Path) -> bool:
    """Return whether a manifest is that of an invented town, whose folders say the same."""
    return set(INVENTED) <= _head(manifest)


def is_of_tracklets(root: Path) -> bool:
    """Return whether `root` is or contains a manifest that `reseen video` wrote."""
    manifest = find_manifest(root)
    return manifest is not None and set(TRACKLET_COLUMNS) <= _head(manifest)


def _head(manifest: Path) -> set[str]:
    with manifest.open(encoding="utf-8", errors="replace") as file:
        return set(file.readline().strip().split(","))


def find_manifest(root: Path) -> Path | None:
    """Return the manifest that `root` is or contains, if any."""
    if root.is_file() and root.suffix.lower() in (".csv", ".jsonl"):
        return root
    return next((root / name for name in MANIFESTS if (root / name).is_file()), None)


def has_parts(root: Path) -> bool:
    """Return whether a folder contains several folders named like parts of a data set."""
    return sum(path.name.lower() in PARTS for path in folders_in(root)) > 1


def _pictures(root: Path, notes: list[str]) -> list[Path]:
    paths, passed = find_pictures(root)
    told = say_passed(root, passed)
    if not paths:
        raise DataError(
            f"{root} holds no pictures ({', '.join(sorted(PICTURES))}). Give the folder of your "
            f"crops, or a manifest that lists them. {' '.join(told)}".rstrip()
        )
    notes += told
    return paths


def _folder_rows(
    root: Path, folders: str, paths: Sequence[Path], notes: list[str]
) -> list[dict[str, Any]]:
    """Make rows from sub-folders or file names; `folders` as in `read`."""
    below = [path.relative_to(root).parts for path in paths]
    sizes = Counter(parts[0] for parts in below if len(parts) > 1)
    if folders == "auto":
        _refuse_parts(root, sizes)
        facts = [person_and_camera(path) for path in paths]
        if all(facts):
            notes.append(
                f"People and cameras are read from names such as {paths[0].name}. If that is "
                "wrong, use --pattern, --folders person or --folders camera."
            )
            return [
                {"path": path, "person": fact[0], "camera": fact[1]}
                for path, fact in zip(paths, facts, strict=True)
                if fact
            ]
        odd = [path for path, fact in zip(paths, facts, strict=True) if not fact]
        if 2 * len(odd) < len(paths):
            notes.append(
                f"{len(paths) - len(odd)} names contain a person and a camera as in Market-1501, "
                f"but {len(odd)} do not, the first is {odd[0].name}. So none is read. Rename "
                "those, or use --pattern."
            )
        folders = _guess(root, sizes, notes)
    return [
        {"path": path, folders: parts[0] if len(parts) > 1 else None}
        for path, parts in zip(paths, below, strict=True)
    ]


def _refuse_parts(root: Path, names: Iterable[str]) -> None:
    """Refuse parts of a data set: test images would be trained on, and parts be cameras."""
    parts = [name for name in sorted(names) if name.lower() in PARTS]
    if parts:
        train = next((f", {root / name}" for name in parts if "train" in name.lower()), "")
        case = " The folders of benchmarks must have lower-case names." * any(
            name != name.lower() for name in parts
        )
        raise DataError(
            f"{root} has folders named {', '.join(parts)}: these are parts of a data set, not "
            f"cameras, so test images would be used for training.{case} Give only the training "
            f"part{train} (with --folders person if each folder in it is a person), or a manifest "
            "with a column split. If the folders are cameras after all, use --folders camera."
        )


def _guess(root: Path, sizes: Counter[str], notes: list[str]) -> str:
    """Guess from the names and sizes of sub-folders whether they are cameras or people."""

    def most(expression: str | re.Pattern[str]) -> bool:
        return 2 * sum(bool(re.fullmatch(expression, name)) for name in sizes) > len(sizes)

    if len(sizes) < 2 or most(_CAMERA):
        return "camera"
    middle = int(median(sizes.values()))
    many = f"{len(sizes)} sub-folders of {middle} pictures each (median)"
    if most(_PERSON) or most(r"\d{4,}"):
        reason = f"their names, such as {min(sizes)}, look like those of people"
    elif len(sizes) <= MANY:
        notes.append(
            f"{root} has {many}, read as cameras. If each is a person, use --folders person."
        )
        return "camera"
    elif middle <= FEW:
        reason = "there are many with few pictures each"
    else:
        raise DataError(
            f"{root} has {many}, which could be people or cameras. Use --folders person or "
            "--folders camera."
        )
    notes.append(
        f"{root} has {many}, read as one person each with unknown cameras: {reason}. If they are "
        "cameras, use --folders camera."
    )
    return "person"


def _pattern_rows(root: Path, pattern: str, paths: Sequence[Path]) -> list[dict[str, Any]]:
    expression = _compile(pattern)
    names = [path.relative_to(root).as_posix() for path in paths]
    matches = [expression.fullmatch(name) for name in names]
    wrong = [name for name, match in zip(names, matches, strict=True) if not match]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {counted(len(names), 'picture')} in {root} do not match the pattern "
            f"{pattern!r}, the first is {wrong[0]}. Write the pattern for the whole path below the "
            "folder, with {_} for parts that have no meaning."
        )
    return [
        {"path": path, **match.groupdict(), "where": name}
        for path, name, match in zip(paths, names, matches, strict=True)
        if match
    ]


def _compile(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w*)\}", pattern)
    fields = parts[1::2]
    unknown = [field for field in fields if field not in FIELDS]
    named = [field for field in fields if field != "_"]
    if unknown or not named or len(named) != len(set(named)):
        raise DataError(
            f"The pattern {pattern!r} has the fields {fields}. Use {{camera}}, {{person}} and "
            "{time}, each at most once, and {_} for any text."
        )
    shapes = {field: f"(?P<{field}>[^/]+?)" for field in FIELDS[:3]} | {"_": ".*?"}
    return re.compile(
        "".join(shapes[p] if i % 2 else re.escape(p) for i, p in enumerate(parts)), re.IGNORECASE
    )


def _manifest_rows(manifest: Path) -> Iterator[dict[str, Any]]:
    lines = _csv(manifest) if manifest.suffix.lower() == ".csv" else _jsonl(manifest)
    empty = True
    for number, row in lines:
        empty, where = False, f"{manifest}, line {number}"
        for column in row:
            if column not in COLUMNS + REMARKS:
                near = get_close_matches(str(column), COLUMNS, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise DataError(
                    f"{where}: {_cut(column)!r} is not a column. Use {', '.join(COLUMNS)}.{hint}"
                )
        if not row.get("path") or not isinstance(row["path"], str):
            raise DataError(f"{where}: path is missing or not text. Every line needs a path.")
        path = manifest.parent / row["path"]
        if not os.path.isfile(path):  # noqa: PTH113 (a path that is too long raises nothing)
            raise DataError(
                f"{where}: {_cut(path)} is not a file. Paths are relative to the manifest's folder."
            )
        split = _plain(row.get("split")).lower() or None
        if split not in (None, "train", "query", "gallery"):
            raise DataError(f"{where}: split is {_cut(split)!r}. Use train, query or gallery.")
        yield {**row, "path": path, "split": split, "where": where}
    if empty:
        raise DataError(f"{manifest} lists no pictures. Write one line per picture.")


def _csv(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read cells separated by commas, or by semicolons or tabs if the first line has those."""
    text = read_text(manifest)
    head = text.partition("\n")[0]
    between = next((mark for mark in ",;\t" if mark in head), ",")
    reader = csv.DictReader(StringIO(text), delimiter=between, restkey="more cells than columns")
    number = 1
    try:
        for name, count in Counter(reader.fieldnames or ()).items():
            if count > 1:
                raise DataError(f"{manifest}, line 1: the column {_cut(name)!r} occurs twice.")
        number = reader.line_num + 1
        for row in reader:
            if any("\n" in cell for cell in row.values() if isinstance(cell, str)):
                raise csv.Error("a cell contains a line break")
            yield reader.line_num, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{manifest}, line {number}: {error}. Perhaps a quote is never closed."
        ) from error


def _jsonl(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(read_text(manifest).splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line, object_pairs_hook=_once)
            except (ValueError, RecursionError) as error:  # also for numbers that are too long
                why = getattr(error, "msg", error)
                raise DataError(f"{manifest}, line {number}: not JSON ({why}).") from error
            if not isinstance(row, dict):
                raise DataError(f"{manifest}, line {number}: not an object with a path.")
            yield number, row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a column occurs twice")
    return found


def _cut(text: Any) -> str:
    """Shorten a text for a message."""
    text = str(text)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def _dataset(
    root: Path, rows: list[dict[str, Any]], notes: list[str], once: bool = False
) -> Dataset:
    """Make records of rows; with `once`, if no picture occurs twice, it takes half the memory."""
    refuse_line_ends(row["path"] for row in rows)
    cameras = _numbers((row.get("camera") for row in rows), {"-1": None})
    people = _numbers((row.get("person") for row in rows), {"-1": JUNK})
    parts: dict[str, dict[str, Image]] = {"train": {}, "query": {}, "gallery": {}}
    first: dict[str, tuple[Image, dict[str, Any]]] = {}
    plain, twice = list[Image](), 0
    for row in rows:
        image = Image(
            row["path"],
            people(row.get("person")),
            cameras(row.get("camera")),
            _time(row.get("time"), row.get("where", "")),
        )
        part = parts[row.get("split") or "train"]
        if once:
            plain.append(image)
            continue
        place = os.path.abspath(row["path"])  # noqa: PTH100 (it takes out .. without links)
        known, before = first.setdefault(place, (image, row))
        _refuse_contradiction(known, before, image, row)
        twice += place in part
        part.setdefault(place, known)
    train, query, gallery = (tuple(part.values()) for part in parts.values())
    train = train or tuple(plain)
    if not any(row.get("split") for row in rows):
        query = gallery = tuple(image for image in train if image.person is not None)
    names = {cameras(row.get("camera")): str(row.get("camera")) for row in rows}
    names = dict(sorted((n, name) for n, name in names.items() if n is not None))
    if twice:
        notes.append(f"{counted(twice, 'line')} with a picture of an earlier line.")
    for column in ("person", "camera"):
        wrote = Counter(str(row.get(column)).strip() for row in rows if _unknown(row.get(column)))
        if wrote:
            words = ", ".join(sorted(wrote))
            notes.append(f"{counted(wrote.total(), 'picture')} with {words} as {column}: unknown.")
    return Dataset(root.resolve().name, root, train, query, gallery, names, tuple(notes))


def _refuse_contradiction(
    known: Image, before: dict[str, Any], image: Image, row: dict[str, Any]
) -> None:
    """Refuse lines that contradict each other about a picture; it may be query and gallery."""
    splits = {before.get("split") or "train", row.get("split") or "train"}
    wrong = [c for c in ("person", "camera", "time") if getattr(known, c) != getattr(image, c)]
    if len(splits) > 1 and "train" in splits:
        wrong.append("split")
    if wrong:
        new, old = (_cut(_plain(line.get(wrong[0]))) for line in (row, before))
        raise DataError(
            f"{row['where']}: {wrong[0]} of {_cut(row['path'])} is {new!r}, but {old!r} in "
            f"{before['where']}. Keep one of the two."
        )


def _numbers(values: Iterable[Any], told: Mapping[str, int | None]) -> Callable[[Any], int | None]:
    """Map what a user wrote to numbers: numbers are kept, names are numbered in order.

    If every value is an integer from 0 that fits into 64 bits, all are numbers; otherwise names.

    Args:
        values: the values in all rows.
        told: the meaning of some values, whatever the others are.
    """
    known = {text for value in values if (text := _plain(value))} - told.keys()
    if all(re.fullmatch(r"\d{1,18}", value) for value in known):
        table: dict[str, int | None] = {value: int(value) for value in known}
    else:
        ordered = sorted(known, key=lambda text: (natural(text), text))
        table = {value: i for i, value in enumerate(ordered)}
    table.update(told)
    return lambda value: table.get(_plain(value))


def _plain(value: Any) -> str:
    """Return the text that a user wrote, empty for an unknown value; 7.0 is 7."""
    text = "" if value is None or _unknown(value) else str(value).strip()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def _unknown(value: Any) -> bool:
    """Return whether a program wrote that something is unknown."""
    return value is not None and str(value).strip().lower() in UNKNOWN


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key for the natural order of names: cam2 before cam10."""
    pieces = [(piece, piece.lstrip("0")) for piece in re.findall(r"\d+|\D+", text)]
    return [
        (0, len(number), number) if piece.isdecimal() else (1, 0, piece.lower())
        for piece, number in pieces
    ]


def _time(value: Any, where: str) -> float | None:
    if value in (None, ""):
        return None
    with suppress(TypeError, ValueError, OverflowError):
        if isfinite(number := float(value)):
            return number
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: time is {_cut(value)!r}. Write seconds, or a date and time like "
            "2026-01-31T18:05."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
