"""An encoder as a folder that can be shared, without the run that it comes from.

    model.safetensors   the weights, and the camera statistics if there are any
    README.md           the model card
    config.json         settings, digest, names of the cameras; written last: a folder that has it
                        is complete

The functions here convert the state of an encoder (`encoder.save`) to these files and back.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as tensors
from torch import Tensor

from reseen.errors import CheckpointError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
_MOMENTS = "camera_statistics"


def digest_of(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of what an encoder computes, the same in every process and file format.

    It does not depend on where the weights came from (`weights` in the settings), nor on how
    several processes trained them (`sync_norm`).

    Args:
        settings: of the encoder, by name.
        weights: its state dict.

    Returns:
        64 hexadecimal digits.
    """
    counted = {
        name: value for name, value in settings.items() if name not in ("weights", "sync_norm")
    }
    found = sha256(json.dumps(counted, sort_keys=True).encode())
    for name, value in sorted(weights.items()):
        plain = value.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def without_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the path of the file of weights, of which only the name is kept."""
    return {**settings, "weights": Path(settings["weights"]).name}


def is_pretrained(folder: Path) -> bool:
    """Return whether a folder is an encoder that `save_pretrained` wrote, and not a run."""
    return (folder / CONFIG).is_file() and not (folder / "run.json").exists()


def contents(state: Mapping[str, Any], card: str) -> dict[str, bytes]:
    """Return the files of a folder by name, in the order in which they must be written.

    Args:
        state: of an encoder, from `encoder.save`.
        card: text of the model card.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in state["encoder"].items()}
    settings, cameras = state["encoder_settings"], state.get("camera_statistics")
    config = {
        "format": FORMAT,
        "library_name": "reseen",
        "digest": digest_of(settings, weights),
        "encoder_settings": without_paths(settings),
    }
    if cameras is not None:
        config["cameras"] = cameras["names"]
        weights[_MOMENTS] = cameras["moments"]
    stored = tensors.save(weights, {"format": "pt"})
    config["weights_sha256"] = sha256(stored).hexdigest()
    told = json.dumps(config, indent=2, sort_keys=True) + "\n"
    return {WEIGHTS: stored, CARD: card.encode(), CONFIG: told.encode()}


def from_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert settings of an encoder from JSON, which has no tuples."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}


def read(folder: Path) -> dict[str, Any]:
    """Read such a folder as the state of an encoder (see `encoder.save`), with its `digest`.

    Raises:
        CheckpointError: a file is missing, damaged, or of a newer version.
    """
    config, weights = folder / CONFIG, folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{weights} is missing. Restore the folder from a backup.")
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
        version, settings = told["format"], from_json(told["encoder_settings"])
        known, cameras = told["weights_sha256"], told.get("cameras")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{config} is damaged or was not written by this package ({error!r:.80}). Restore it "
            "from a backup, or use another folder."
        ) from error
    if version != FORMAT:
        raise CheckpointError(
            f"{config} has format {version!r:.20}, and this version reads {FORMAT}. Install a "
            "newer version of reseen."
        )
    stored = weights.read_bytes()
    if sha256(stored).hexdigest() != known:
        raise CheckpointError(
            f"{weights} does not belong to {config.name}: its SHA-256 is different. "
            "Restore the folder from a backup."
        )
    try:
        found = tensors.load(stored)
    except SafetensorError as error:
        raise CheckpointError(f"{weights} has no weights ({error}).") from error
    state: dict[str, Any] = {}
    if cameras is not None:
        state["camera_statistics"] = {"names": cameras, "moments": found.pop(_MOMENTS, None)}
    if told.get("digest") != (digest := digest_of(settings, found)):
        raise CheckpointError(
            f"{config} was changed: its digest does not match the settings and weights. Restore "
            "the folder from a backup."
        )
    return {"encoder_settings": settings, "encoder": found, "digest": digest} | state
