"""The quickest way to features on this machine: an ONNX file of an encoder, kept beside it."""

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
"""Greatest difference of a number of a feature between ONNX Runtime and torch in float32."""


def quick(encoder: Encoder, folder: Path, screen: Screen = QUIET) -> AnyEncoder:
    """Give what makes the same features as an encoder, by ONNX Runtime where that is possible.

    The file is written once, and again where the one that is there is of another encoder or is
    damaged. Its features are those of torch in float32 within 1e-4. Where they are not, where the
    encoder is on a GPU, the folder cannot be written, or ONNX Runtime or the exporter is not
    installed (`pip install 'reseen[gallery]'`), it is the encoder itself.

    Args:
        encoder: whose features are wanted.
        folder: where the file is kept.
        screen: says what is done: the first time takes 10 to 60 seconds.
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
            screen.say(f"{path} cannot be used and is written again")
    screen.say("preparing the encoder for ONNX Runtime (once)")
    try:
        export(encoder, path, "plain", contract=Contract(scale="pixel"), screen=screen)
    except OSError as error:  # a folder that cannot be written
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
    """Take the camera statistics of the encoder: they are no part of its digest."""
    found.camera_statistics = encoder.camera_statistics
    return found
