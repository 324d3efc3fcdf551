"""Person detectors: models in files, behind one small protocol."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL.Image

from reseen.errors import SettingsError, needs
from reseen.metrics.tracking import iou

DEFAULT = Path(__file__).with_name("person-detection-retail-0013.xml")
"""The detector that comes with reseen; its licence and origin are beside it."""

WORTH = 0.1
"""Score below which boxes are dropped."""

OVERLAP = 0.65
"""IoU above which two boxes are of one person, for models without non-maximum suppression."""

_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)


class Detector(Protocol):
    """Anything that finds people in a frame: a function, or a callable object."""

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        """Find people.

        Args:
            pixels: (H, W, 3) uint8, RGB.

        Returns:
            (n, 5) float: left, top, right and bottom of each person in pixels, and a score, 0 to 1.
        """
        ...


def load_detector(name: Path | str | None = None, weights: Path | None = None) -> Detector:
    """Load a detector.

    Args:
        name: an OpenVINO model (.xml), an ONNX model (.onnx), or the name of one of torchvision's
            detectors, such as ssdlite320_mobilenet_v3_large; None for the one of this package.
        weights: of a torchvision detector; by default those that torchvision has cached on this
            machine. Nothing is downloaded.

    Raises:
        SettingsError: there is no such file, its outputs are not supported, or its runtime is not
            installed.
    """
    path = DEFAULT if name is None else Path(name)
    if path.suffix not in (".xml", ".onnx"):
        return _torchvision(str(name), weights)
    if not path.is_file():
        raise SettingsError(f"{path} is not a file. Give a detector as .xml or .onnx.")
    run, shape, names = _openvino(path) if path.suffix == ".xml" else _onnx(path)
    return _Model(path, run, shape, names)


class _Model:
    """A model in a file; its outputs determine how its input is prepared and its output is read."""

    def __init__(self, path: Path, run: Callable, shape: tuple, outputs: Mapping[str, tuple]):
        self.run = run
        self.height, self.width = (n if isinstance(n, int) and n > 0 else 640 for n in shape[2:])
        self.ask, self.read = _understand(path, outputs)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        answer = self.run(self.ask(pixels, self.height, self.width))
        tall, wide = pixels.shape[:2]
        return _clean(self.read(answer, (self.height, self.width), (tall, wide)), tall, wide)


def _openvino(path: Path) -> tuple[Callable, tuple, dict[str, tuple]]:
    needs("openvino", extra="video")
    import openvino

    try:
        model = openvino.Core().compile_model(str(path), "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    except RuntimeError as error:
        raise SettingsError(f"{path} cannot be read by OpenVINO: {_line(error)}.") from error
    names = [_name(port.get_names(), i) for i, port in enumerate(model.outputs)]
    shapes = [tuple(_sizes(port.get_partial_shape())) for port in model.outputs]

    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        answer = model(pixels)
        return {name: answer[i] for i, name in enumerate(names)}

    shape = tuple(_sizes(model.inputs[0].get_partial_shape()))
    return run, shape, dict(zip(names, shapes, strict=True))


def _sizes(shape: Any) -> list[int]:
    return [n.get_length() if n.is_static else -1 for n in shape]


def _name(names: set[str], place: int) -> str:
    return min(names, default=f"output-{place}")


def _onnx(path: Path) -> tuple[Callable, tuple, dict[str, tuple]]:
    needs("onnxruntime", extra="export")
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, without a common base class
        raise SettingsError(f"{path} cannot be read by ONNX Runtime: {_line(error)}.") from error
    first, outputs = session.get_inputs()[0], session.get_outputs()
    names = [output.name for output in outputs]

    def run(pixels: np.ndarray) -> dict[str, Any]:
        return dict(zip(names, session.run(names, {first.name: pixels}), strict=True))

    return run, tuple(first.shape), {o.name: tuple(o.shape) for o in outputs}


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _understand(path: Path, outputs: Mapping[str, tuple]) -> tuple[Callable, Callable]:
    """Choose by its outputs how pixels are prepared for a model, and how its boxes are read."""
    shapes = list(outputs.values())
    last = shapes[0][-1] if shapes and shapes[0] else None
    if {"dets", "labels"} <= outputs.keys():
        return _normalised, _read_transformer
    if {"boxes", "labels", "scores"} <= outputs.keys():
        return _boxed, _read_torchvision
    if len(shapes) == 1 and len(shapes[0]) == 4 and last == 7:
        return _stretched, _read_ssd
    if len(shapes) == 1 and len(shapes[0]) == 3:
        return _boxed, _read_whole if last == 6 else _read_grid
    raise SettingsError(
        f"{path} has the outputs {', '.join(f'{name} {shape}' for name, shape in outputs.items())},"
        " which are not supported. docs/how-to/video.md lists the supported detectors; any other "
        "can be used as a function from Python."
    )


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = PIL.Image.fromarray(pixels)
    return np.asarray(picture.resize((width, height), PIL.Image.Resampling.BILINEAR))


def _stretched(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Blue, green, red, 0 to 255, stretched to the size: Open Model Zoo."""
    small = _resize(pixels, height, width)[..., ::-1]
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)


def _normalised(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    small = _resize(pixels, height, width).astype(np.float32) / 255
    return np.ascontiguousarray(((small - _MEAN) / _STD).transpose(2, 0, 1)[None])


def _boxed(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Red, green, blue, 0 to 1, with the aspect ratio kept and grey margins."""
    share, left, top = _letterbox(pixels.shape[:2], (height, width))
    size = round(pixels.shape[0] * share), round(pixels.shape[1] * share)
    whole = np.full((height, width, 3), 114, np.uint8)
    whole[top : top + size[0], left : left + size[1]] = _resize(pixels, *size)
    return np.ascontiguousarray(whole.transpose(2, 0, 1)[None], np.float32) / 255


def _letterbox(size: tuple[int, int], into: tuple[int, int]) -> tuple[float, int, int]:
    """Return the scale, and the left and top margins."""
    share = min(into[0] / size[0], into[1] / size[1])
    left, top = ((n - round(m * share)) // 2 for n, m in zip(into[::-1], size[::-1], strict=True))
    return share, left, top


def _unboxed(boxes: np.ndarray, asked: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    share, left, top = _letterbox(size, asked)
    return (boxes - (left, top, left, top)) / share


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Convert centres and sizes to corners."""
    middle, half = boxes[:, :2], boxes[:, 2:4] / 2
    return np.concatenate([middle - half, middle + half], 1)


def _read_ssd(answer: dict, asked: tuple, size: tuple) -> np.ndarray:
    rows = next(iter(answer.values())).reshape(-1, 7)
    rows = rows[rows[:, 0] >= 0]
    boxes = rows[:, 3:7] * (size[1], size[0], size[1], size[0])
    return np.column_stack([boxes, rows[:, 2]])


def _read_whole(answer: dict, asked: tuple, size: tuple) -> np.ndarray:
    rows = next(iter(answer.values())).reshape(-1, 6)
    rows = rows[rows[:, 5] == 0]  # person is the first of COCO's classes
    return np.column_stack([_unboxed(rows[:, :4], asked, size), rows[:, 4]])


def _read_grid(answer: dict, asked: tuple, size: tuple) -> np.ndarray:
    values = next(iter(answer.values()))[0]
    rows = values.T if values.shape[0] < values.shape[1] else values
    rows = rows[rows[:, 4] >= WORTH]
    boxes = np.column_stack([_unboxed(_corners(rows), asked, size), rows[:, 4]])
    return suppress(boxes, OVERLAP)


def _read_torchvision(answer: dict, asked: tuple, size: tuple) -> np.ndarray:
    people = answer["labels"] == 1
    boxes = _unboxed(answer["boxes"][people], asked, size)
    return np.column_stack([boxes, answer["scores"][people]])


def _read_transformer(answer: dict, asked: tuple, size: tuple) -> np.ndarray:
    scores = 1 / (1 + np.exp(-answer["labels"][0, :, 1]))
    boxes = _corners(answer["dets"][0]) * (size[1], size[0], size[1], size[0])
    return np.column_stack([boxes, scores])


def suppress(boxes: np.ndarray, overlap: float) -> np.ndarray:
    """Drop boxes that overlap one with a higher score (non-maximum suppression).

    Args:
        boxes: (n, 5), the last column is a score.
        overlap: IoU from which a box is dropped.

    Returns:
        The remaining boxes, the highest score first.
    """
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    stay = np.ones(len(boxes), bool)
    shared = iou(boxes[:, :4], boxes[:, :4])
    for i in range(len(boxes)):
        if stay[i]:
            stay[i + 1 :] &= shared[i, i + 1 :] < overlap
    return boxes[stay]


def _clean(boxes: np.ndarray, tall: int, wide: int) -> np.ndarray:
    boxes = boxes[boxes[:, 4] >= WORTH].astype(np.float64)
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(0, wide)
    boxes[:, [1, 3]] = boxes[:, [1, 3]].clip(0, tall)
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def _torchvision(name: str, weights: Path | None) -> Detector:
    import torch
    from torchvision.models import detection, get_model, get_model_weights, list_models

    known = [n for n in list_models(module=detection) if "keypoint" not in n]
    if name not in known:
        raise SettingsError(
            f"There is no detector {name}. Give a file (.xml or .onnx) or one of torchvision's: "
            f"{', '.join(known)}."
        )
    if weights is None:
        file = get_model_weights(name)["DEFAULT"].url.rpartition("/")[2]
        weights = Path(torch.hub.get_dir(), "checkpoints", file)
    if not weights.is_file():
        raise SettingsError(
            f"{name} needs its weights, but {weights} does not exist, and nothing is downloaded. "
            "Give the file with --detector-weights."
        )
    model = get_model(name, weights=None, weights_backbone=None)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise SettingsError(f"{weights} does not hold weights of {name}.") from error
    model.eval()

    def detect(pixels: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
        with torch.inference_mode():
            answer = {key: value.numpy() for key, value in model([tensor])[0].items()}
        people = answer["labels"] == 1
        boxes = np.column_stack([answer["boxes"][people], answer["scores"][people]])
        return _clean(boxes, *pixels.shape[:2])

    return detect
