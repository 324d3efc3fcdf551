"""Save encoders as folders to share: safetensors, config, model card."""

from pathlib import Path

from reseen.engine.device import Device
from reseen.engine.files import check_out, written
from reseen.errors import CheckpointError, SettingsError
from reseen.nets import encoder as encoders
from reseen.nets import pretrained
from reseen.nets.encoder import Encoder


def save_pretrained(encoder: Encoder, folder: Path | str, *, data: str = "") -> Path:
    """Write an encoder as a folder: model.safetensors, config.json and a model card, README.md.

    Settings, weights and camera statistics are saved, so that `load` gives the same features. A
    folder that an interrupted call left incomplete is written again.

    Args:
        encoder: from `load` or `train`.
        folder: to write; new or empty.
        data: a sentence about the training pictures, for the model card.

    Returns:
        The folder.

    Raises:
        SettingsError: the folder is not empty, or cannot be written.
    """
    folder = Path(folder)
    check_out(folder)
    files = pretrained.contents(encoders.save(encoder), model_card(encoder, data))
    held = {path.name for path in folder.iterdir()} if folder.exists() else set()
    begun = {name + end for name in files for end in ("", ".tmp")} - {pretrained.CONFIG}
    unfinished = held <= begun and not held.isdisjoint(
        {pretrained.WEIGHTS, pretrained.WEIGHTS + ".tmp"}
    )
    if held and not unfinished:
        raise SettingsError(f"{folder} is not empty. Give a new folder for the encoder.")
    for name, content in files.items():
        with written(folder / name) as file:
            file.write(content)
    return folder


def from_pretrained(folder: Path | str, *, device: Device | None = None) -> Encoder:
    """Read an encoder that `save_pretrained` wrote; `reseen.load` does the same.

    Args:
        folder: written by `save_pretrained`.
        device: where the encoder computes.

    Raises:
        CheckpointError: a file is missing, damaged, or of a newer version.
    """
    folder = Path(folder)
    if not pretrained.is_pretrained(folder):
        raise CheckpointError(
            f"{folder} was not written by save_pretrained (no {pretrained.CONFIG}). "
            "reseen.load takes runs and checkpoints too."
        )
    return (device or Device()).place(encoders.load(folder))


def model_card(encoder: Encoder, data: str = "") -> str:
    """Write the model card of an encoder as Markdown.

    Args:
        encoder: to describe.
        data: a sentence about the training pictures.
    """
    of, cameras = encoder.settings, encoder.camera_statistics
    known = ", ".join(cameras.names) if cameras else "none"
    numbers = sum(weight.numel() for weight in encoder.parameters())
    return _CARD.format(
        backbone=of.backbone,
        numbers=numbers,
        height=of.height,
        width=of.width,
        dimensions=encoder.dimensions,
        pooling=of.pooling if of.stripes == 1 else f"{of.pooling} of {of.stripes} stripes",
        attention=", ".join(of.attention) or "none",
        cameras=known,
        digest=encoders.digest(encoder),
        data=data or "Not stated.",
    )


_CARD = """---
library_name: reseen
tags:
- person-re-identification
- image-feature-extraction
---
# An encoder for person re-identification

It maps a crop of a standing person to a unit vector. The cosine of two vectors says how similar two
crops look.

```python
import reseen

encoder = reseen.load("this/folder")
features, images = reseen.extract(encoder, "crops/")
```

| | |
|---|---|
| backbone | {backbone}, {numbers:,} parameters with everything after it |
| input | {height} x {width} pixels (height x width), RGB, stretched to this size |
| output | {dimensions} numbers, a unit vector |
| pooling | {pooling} |
| attention | {attention} |
| cameras whose statistics it holds | {cameras} |
| SHA-256 of settings and weights | `{digest}` |

## Training data

{data}

## What it cannot do

A similarity is not proof of identity: people in similar clothes look alike to it, one person in
other clothes does not, and in a large gallery somebody is always the best match. It sees clothes
and build, not faces. Its accuracy differs between cameras, places and groups of people, and has to
be measured on labelled pairs of the site where it is used. Do not let a score decide about anybody
without a human who looks at the pictures and may say no.
"""
