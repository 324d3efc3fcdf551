"""An exported file instead of an encoder: it computes features, but cannot be trained."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reseen.errors import CheckpointError, SettingsError, needs
from reseen.export.card import PICTURES, Card, check_vectors, drawn, from_metadata, read_beside
from reseen.export.contract import INPUT, OUTPUT
from reseen.nets.encoder import EncoderSettings

Runner = Callable[[np.ndarray], np.ndarray]
"""Returns vectors (B, D) of the input of a file, (B, 3, H, W) float32."""


class Exported:
    """A file that `export` wrote, for features on a CPU: .onnx by ONNX Runtime, .xml, .pt2.

    It can be used wherever an encoder computes features (`reseen.extract`, `evaluate`, `search`),
    with as many threads as torch is set to. When it is opened, the features of the two test
    pictures are compared with those on its card, and a file with other features is refused.

    Args:
        path: of the file; its card is inside (ONNX) or beside it.

    Attributes:
        card: its card.

    Raises:
        CheckpointError: it is missing, damaged, has no card, or gives wrong features.
        SettingsError: the runtime is not installed.
    """

    device = torch.device("cpu")
    training = False

    def __init__(self, path: Path | str):
        self.path = path = Path(path)
        if path.suffix not in _OPENERS:
            raise SettingsError(f"{path} does not end in one of: {', '.join(_OPENERS)}.")
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist. Give a file that reseen export wrote.")
        self._run, self.card = _OPENERS[path.suffix](path)
        self.settings: EncoderSettings = self.card.settings
        self.camera_statistics = self.card.camera_statistics
        wanted = np.array([self.card.vectors[picture.name] for picture in PICTURES], np.float32)
        found = self(torch.from_numpy(drawn(self.card.height, self.card.width))).numpy()
        self.likeness = check_vectors(found, wanted, self.card.precision, path)
        """The smaller cosine of the two test vectors with those on the card."""

    @property
    def dimensions(self) -> int:
        """Dimension of the vectors, D."""
        return self.card.dimensions

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, D), float32, of pixels (B, 3, H, W), uint8 or 0 to 255, RGB."""
        return torch.from_numpy(embed(self._run, self.card.contract, pixels.numpy()))

    def eval(self) -> "Exported":
        """Do nothing: it cannot be trained."""
        return self

    def train(self, mode: bool = True) -> "Exported":
        """Do nothing if mode is False.

        Raises:
            SettingsError: mode is True.
        """
        if mode:
            raise SettingsError(f"{self.path} is an exported file and cannot be trained.")
        return self


def embed(run: Runner, contract: Any, pixels: np.ndarray) -> np.ndarray:
    """Return vectors (B, D) of pixels (B, 3, H, W), 0 to 255, RGB, in batches that fit."""
    images, at_once = contract.prepare(pixels), contract.batch
    if not at_once:
        return run(images)
    spare = -len(images) % at_once
    filled = np.concatenate([images, np.repeat(images[-1:], spare, 0)])
    parts = [run(filled[i : i + at_once]) for i in range(0, len(filled), at_once)]
    return np.concatenate(parts)[: len(images)]


def onnx_session(model: Path | bytes) -> Any:
    """Open an ONNX model with ONNX Runtime, on the CPU."""
    needs("onnxruntime", extra="export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # only errors
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def onnx_runner(session: Any) -> Runner:
    """Return a function that runs an ONNX model."""
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def openvino_runner(path: Path) -> Runner:
    """Return a function that runs an OpenVINO model in float32, not in 16 bits as by default."""
    needs("openvino", extra="export")
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda images: compiled(images)[0].copy()


def torch_runner(path: Path) -> Runner:
    """Return a function that runs a file of torch.export."""
    network = torch.export.load(path).module()
    return lambda images: network(torch.from_numpy(images)).numpy()


def _open_onnx(path: Path) -> tuple[Runner, Card]:
    session = _sound(path, partial(onnx_session, path))
    told = session.get_modelmeta().custom_metadata_map
    try:
        values = {name: json.loads(value) for name, value in told.items()}
    except ValueError:  # the metadata of another program
        values = {}
    return onnx_runner(session), from_metadata(values, path)


def _open_openvino(path: Path) -> tuple[Runner, Card]:
    card = read_beside(path)
    return _sound(path, partial(openvino_runner, path)), card


def _open_torch(path: Path) -> tuple[Runner, Card]:
    card = read_beside(path)
    return _sound(path, partial(torch_runner, path)), card


def _sound(path: Path, opened: Callable[[], Any]) -> Any:
    try:
        return opened()
    except (SettingsError, PermissionError):
        raise
    except Exception as error:  # each runtime has its own errors
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{path} cannot be opened ({first:.100}). It is damaged, or its runtime is too old: "
            "restore it from a backup, or export again."
        ) from error


_OPENERS: dict[str, Callable[[Path], tuple[Runner, Card]]] = {
    ".onnx": _open_onnx,
    ".xml": _open_openvino,
    ".pt2": _open_torch,
}
"""The function that opens a file, by suffix."""
