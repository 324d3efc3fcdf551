"""A plain folder of the user's own crops, or a manifest that lists them."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

from reseen.errors import DataError
from reseen.records import Dataset, Image

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
MANIFESTS = ("manifest.csv", "manifest.jsonl")
COLUMNS = ("path", "camera", "time", "person", "split")
REMARKS = ("viewpoint", "occlusion")
"""Columns that a manifest may have and that nobody reads yet; invented people have them."""
FIELDS = ("camera", "person", "time", "_")


def is_picture(path: Path) -> bool:
    """Say whether a file looks like a picture by its name; hidden files do not."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def read(root: Path, *, pattern: str | None = None) -> Dataset:
    """Read crops that lie in a folder, in one sub-folder a camera, or in a manifest.

    Without a manifest or pattern, pictures directly in the folder have no camera, and each
    sub-folder is one camera. Where people are known and nothing says what is query and gallery,
    every image of a known person is both (a search leaves the image itself out), and trains too.

    Args:
        root: the folder; or a .csv or .jsonl manifest, or a folder that holds manifest.csv or
            manifest.jsonl: columns path (beside the manifest), camera, time, person, split (train,
            query or gallery), of which only path must be there. A time is a number, or ISO 8601,
            in UTC where it names no zone.
        pattern: how paths below the folder are made, such as `{camera}_{person}_{_}.jpg` or
            `cam{camera}/{time}.png`; `{_}` is anything. Replaces sub-folders as cameras.

    Raises:
        DataError: nothing is there, or a line or name is not understood.
    """
    manifest = find_manifest(root)
    if manifest and not pattern:
        rows, root = list(_manifest_rows(manifest)), manifest.parent
    elif root.is_dir():
        rows = _pattern_rows(root, pattern) if pattern else _folder_rows(root)
    else:
        raise DataError(f"{root} is not a folder or a .csv or .jsonl manifest. Give one of them.")
    return _dataset(root, rows)


def find_manifest(root: Path) -> Path | None:
    """Give the manifest that `root` is or holds, if any."""
    if root.is_file() and root.suffix.lower() in (".csv", ".jsonl"):
        return root
    return next((root / name for name in MANIFESTS if (root / name).is_file()), None)


def _pictures(root: Path) -> list[Path]:
    paths = sorted(p for p in root.rglob("*") if is_picture(p) and not _is_hidden(p, root))
    if not paths:
        raise DataError(
            f"{root} holds no pictures ({', '.join(sorted(PICTURES))}). Give the folder of your "
            "crops, or a manifest that lists them."
        )
    return paths


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _folder_rows(root: Path) -> list[dict[str, Any]]:
    rows = []
    for path in _pictures(root):
        below = path.relative_to(root).parts
        rows.append({"path": path, "camera": below[0] if len(below) > 1 else None})
    return rows


def _pattern_rows(root: Path, pattern: str) -> list[dict[str, Any]]:
    expression = _compile(pattern)
    paths = _pictures(root)
    names = [path.relative_to(root).as_posix() for path in paths]
    matches = [expression.fullmatch(name) for name in names]
    wrong = [name for name, match in zip(names, matches, strict=True) if not match]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(names)} pictures in {root} do not fit the pattern {pattern!r}, "
            f"first {wrong[0]}. Write the pattern for the whole path below the folder, with "
            "{_} for parts that mean nothing."
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
            "{time}, each once at most, and {_} for anything."
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
                    f"{where}: {column!r} is no column. Use {', '.join(COLUMNS)}.{hint}"
                )
        if not row.get("path") or not isinstance(row["path"], str):
            raise DataError(f"{where}: path is missing or not a text. Every line needs one.")
        path = manifest.parent / row["path"]
        if not path.is_file():
            raise DataError(f"{where}: {path} is not a file. Paths start at the manifest's folder.")
        split = row.get("split") or None
        if split not in (None, "train", "query", "gallery"):
            raise DataError(f"{where}: split is {split!r}. Use train, query or gallery.")
        yield {**row, "path": path, "split": split, "where": where}
    if empty:
        raise DataError(f"{manifest} lists nothing. Write one line a picture.")


def _csv(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(StringIO(_text(manifest)), restkey="more cells than columns")
    for row in reader:
        yield reader.line_num, row


def _jsonl(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(manifest).splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{manifest}, line {number}: not JSON ({error.msg}).") from error
            if not isinstance(row, dict):
                raise DataError(f"{manifest}, line {number}: not an object with a path.")
            yield number, row


def _text(manifest: Path) -> str:
    try:
        return manifest.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{manifest} is not UTF-8 text. Save it again as UTF-8 (in Excel: CSV UTF-8)."
        ) from error


def _dataset(root: Path, rows: Iterable[dict[str, Any]]) -> Dataset:
    rows = list(rows)
    cameras = _numbers(row.get("camera") for row in rows)
    people = _numbers(row.get("person") for row in rows)
    parts: dict[str, list[Image]] = {"train": [], "query": [], "gallery": []}
    for row in rows:
        image = Image(
            row["path"],
            people(row.get("person")),
            cameras(row.get("camera")),
            _time(row.get("time"), row.get("where", "")),
        )
        parts[row.get("split") or "train"].append(image)
    train, query, gallery = (tuple(part) for part in parts.values())
    if not any(row.get("split") for row in rows):
        query = gallery = tuple(image for image in train if image.person is not None)
    names = {cameras(row.get("camera")): str(row.get("camera")) for row in rows}
    names = dict(sorted((n, name) for n, name in names.items() if n is not None))
    return Dataset(root.resolve().name, root, train, query, gallery, names)


def _numbers(values: Iterable[Any]) -> Callable[[Any], int | None]:
    """Make a map from what a user wrote to numbers: numbers stay, names are counted in order."""
    known = {text for value in values if (text := _plain(value))}
    if all(re.fullmatch(r"-?\d+", value) for value in known):
        table = {value: int(value) for value in known}
    else:
        table = {value: i for i, value in enumerate(sorted(known, key=natural))}
    return lambda value: table.get(_plain(value))


def _plain(value: Any) -> str:
    return "" if value is None else str(value).strip()


def natural(text: str) -> list[tuple[int, int, str]]:
    """Give the key by which people sort names: cam2 before cam10."""
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in pieces]


def _time(value: Any, where: str) -> float | None:
    if value in (None, ""):
        return None
    with suppress(TypeError, ValueError):
        if isfinite(number := float(value)):
            return number
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: time is {value!r}. Write seconds, or a date and time like 2026-01-31T18:05."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
