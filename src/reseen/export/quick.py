"""The fastest way to compute features on this machine: an ONNX file beside an encoder."""

from pathlib import Path

import torch

from reseen.engine.progress import QUIET, Screen
from reseen.errors import CheckpointError, SettingsError, installed
from reseen.export.card import drawn
from reseen.export.contract import Contract
from reseen.export.exported import Exported
from reseen.export.write import export
from reseen.nets import encoder as encoders
from reseen.nets.encoder import AnyEncoder, Encoder

NAME = "encoder.onnx"
EXACT = 1e-4
"""Largest difference of an element of a feature between ONNX Runtime and torch in float32."""


def quick(encoder: Encoder, folder: Path, screen: Screen = QUIET) -> AnyEncoder:
    """Return an encoder with the same features that uses ONNX Runtime, if possible.

    The file is written once, and again if the existing one is of another encoder or damaged. Its
    features differ from those of torch in float32 by at most 1e-4. If they do not, or if the
    encoder is on a GPU, the folder cannot be written, or ONNX Runtime or the exporter is not
    installed (`pip install 'reseen[gallery]'`), the encoder itself is returned.

    Args:
        encoder: the encoder.
        folder: of the file.
        screen: prints messages: the first time takes 10 to 60 seconds.
    """
    if encoder.device.type != "cpu" or not installed("onnx", "onnxscript", "onnxruntime"):
        return encoder
    path, known = folder / NAME, encoders.digest(encoder)
    if path.is_file():
        try:
            found = Exported(path)
            if found.card.digest == known:
                return _with_cameras(found, encoder)
        except CheckpointError:
            screen.say(f"{path} cannot be used and will be written again")
    screen.say("preparing the encoder for ONNX Runtime (once)")
    try:
        export(encoder, path, "plain", contract=Contract(scale="pixel"), screen=screen)
    except OSError as error:  # the folder cannot be written
        screen.say(f"{path} cannot be written ({error.strerror}), so torch is used")
        return encoder
    except SettingsError as error:
        screen.say(f"torch is used: {error}")
        return encoder
    found = Exported(path)
    pixels = torch.from_numpy(drawn(encoder.settings.height, encoder.settings.width))
    off = float((found(pixels) - encoders.exact(encoder, pixels)).abs().max())
    if off > EXACT:
        screen.say(f"ONNX Runtime differs by {off:.1e} from torch, so torch is used")
        path.unlink()
        return encoder
    return _with_cameras(found, encoder)


def _with_cameras(found: Exported, encoder: Encoder) -> Exported:
    """Set the camera statistics of the encoder, which its digest does not include."""
    found.camera_statistics = encoder.camera_statistics
    return found
