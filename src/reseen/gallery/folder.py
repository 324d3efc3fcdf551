"""The folder of a gallery: its files, and checks before it is used.

gallery.json      format, store, model, settings; written last: a folder that has it is a gallery
encoder/          a copy of the encoder, as `save_pretrained` writes it
gallery.sqlite    the embedded store: crops, pictures, vectors, decisions
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from reseen.errors import StoreError
from reseen.gallery.embedded import FILE, Embedded
from reseen.gallery.server import Server, without_password
from reseen.gallery.store import Store

FORMAT = 1
"""Version of the layout of a gallery's folder."""
FACTS, ENCODER, NEXT = "gallery.json", "encoder", "encoder-next"
EMBEDDED = "embedded"
_FILES = tuple(f"{FILE}{end}" for end in ("", "-wal", "-shm"))


def begin(folder: Path) -> None:
    """Create a folder, and remove what an interrupted creation has left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (ENCODER, NEXT):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds anything except an interrupted creation.

    Raises:
        StoreError: it does.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file. Give the name of a folder for the gallery.")
    if (folder / FACTS).exists():
        raise StoreError(
            f"{folder} already holds a gallery. Add to it, change its encoder (reseen gallery "
            "rebuild), or give a new folder."
        )
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    ours = {ENCODER, NEXT, f"{FACTS}.tmp", *_FILES}
    if names - ours or (names and f"{FACTS}.tmp" not in names and ENCODER not in names):
        raise StoreError(f"{folder} is not empty and holds no gallery. Give a new folder.")


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write the facts of a gallery, as a whole or not at all."""
    from reseen.engine.files import write_text

    write_text(folder / FACTS, json.dumps(facts, indent=2) + "\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """Read the facts of a gallery.

    Raises:
        StoreError: the folder holds no gallery, a damaged one, or one of a newer version.
    """
    path = folder / FACTS
    if not path.is_file():
        raise StoreError(
            f"{folder} holds no gallery (no {FACTS}). Give a folder that `reseen gallery create` "
            "made."
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or type(facts.get("format")) is not int:
        raise StoreError(f"{path} is damaged or not of a gallery. Restore it from a backup.")
    if facts["format"] > FORMAT:
        raise StoreError(
            f"{folder} was made by a newer version of reseen (format {facts['format']}; this one "
            f"supports {FORMAT}). Install a newer version."
        )
    if not isinstance(facts.get("store"), str):
        raise StoreError(f"{path} is damaged: it names no store. Restore it from a backup.")
    return facts


def digest_in(folder: Path) -> str | None:
    """Read the digest of an encoder in a folder, None if there is no complete one."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_store(folder: Path, store: str | None, dimensions: int) -> tuple[Store, dict[str, Any]]:
    """Create the store of a new gallery.

    Args:
        folder: of the gallery.
        store: `postgresql://...`, or None for the embedded one.
        dimensions: of the vectors, D.

    Returns:
        The store, and the facts with which it is opened again.

    Raises:
        SettingsError: as `server.check_store`.
        StoreError: it cannot be created.
    """
    if store is None:
        return Embedded(folder, new=True), {"format": FORMAT, "store": EMBEDDED}
    made = Server(store, dimensions=dimensions)
    kept = {"store": without_password(store), "schema": made.schema}
    return made, {"format": FORMAT} | kept


def open_store(folder: Path, facts: dict[str, Any]) -> Store:
    """Open the store of a gallery."""
    if facts["store"] == EMBEDDED:
        return Embedded(folder)
    schema = facts.get("schema")
    if not (isinstance(schema, str) and re.fullmatch(r"reseen_[0-9a-f]{12}", schema)):
        raise StoreError(
            f"{folder / FACTS} is damaged: it names no schema. Restore it from a backup."
        )
    return Server(facts["store"], schema)
