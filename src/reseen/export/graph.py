"""The network of an encoder as one graph, with normalisation inside and learnt values constant."""

import copy
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from reseen.errors import SettingsError
from reseen.export.contract import INPUT, OUTPUT, Contract
from reseen.nets.encoder import Encoder
from reseen.nets.pooling import GeM, Striped, average

OPSET = 20
"""Version of the ONNX operators."""


class Graph(nn.Module):
    """The computation of an exported file: images (B, 3, H, W), by a contract, to unit rows.

    Args:
        encoder: left unchanged; the graph has a copy.
        contract: the format of the images, and whether the network computes in half precision.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, encoder: Encoder, contract: Contract):
        super().__init__()
        encoder = copy.deepcopy(encoder).cpu().eval().requires_grad_(False)
        encoder.to(memory_format=torch.contiguous_format)
        self.half_network = contract.precision == "float16"
        self.network = nn.Sequential(encoder.backbone, encoder.attention)
        if self.half_network:
            self.network.half()
        self.pooling = _constant(encoder.pooling)
        self.neck, self.whitening = encoder.neck, encoder.whitening
        self.mirrored = encoder.settings.mirrored
        self.bgr = contract.order == "bgr"
        before = torch.tensor(contract.outside, dtype=torch.float64)
        after = torch.tensor((encoder.settings.mean, encoder.settings.std), dtype=torch.float64)
        unit = 255 if contract.scale == "pixel" else 1
        factor = before[1] / (after[1] * unit)
        shift = (before[0] - after[0]) / after[1]
        for name, values in (("factor", factor), ("shift", shift)):
            self.register_buffer(name, values.float().view(3, 1, 1))
        self.changes = bool((factor != 1).any() or shift.any())

    def forward(self, images: Tensor) -> Tensor:
        """Return unit rows (B, D) float32."""
        x = images[:, [2, 1, 0]] if self.bgr else images
        if self.changes:
            x = x * self.factor + self.shift
        if self.half_network:
            x = x.half()
        rows = self.rows(x)
        if self.mirrored:
            rows = F.normalize(rows + self.rows(x.flip(-1)))
        return self.whitening(rows)

    def rows(self, x: Tensor) -> Tensor:
        """Return unit rows before whitening for the input of the network."""
        return F.normalize(self.neck(self.pooling(self.network(x).float())))


def _constant(pooling: nn.Module) -> nn.Module:
    """Return a pooling whose learnt exponent is a constant."""
    if isinstance(pooling, Striped):
        return Striped(_constant(pooling.each), pooling.count)
    return _ConstantGeM(pooling.p.item(), pooling.eps) if isinstance(pooling, GeM) else pooling


class _ConstantGeM(nn.Module):
    """GeM whose exponent is a constant of the graph, not a weight."""

    def __init__(self, p: float, eps: float):
        super().__init__()
        self.p, self.eps = p, eps

    def forward(self, x: Tensor) -> Tensor:
        return average(x.clamp(min=self.eps).pow(self.p)).pow(1 / self.p)


def program(encoder: Encoder, contract: Contract) -> ExportedProgram:
    """Trace an encoder with torch.export.

    Raises:
        SettingsError: its network cannot be traced.
    """
    size = encoder.settings.height, encoder.settings.width
    example = torch.zeros(contract.batch or 2, 3, *size)  # a batch of 1 would become constant
    graph, shapes = Graph(encoder, contract).eval(), _shapes(contract)
    try:
        return torch.export.export(graph, (example,), dynamic_shapes=shapes)
    except Exception as error:  # of many classes, some of them private
        why = str(error).strip().split("\n")[0]
        raise SettingsError(
            f"{encoder.settings.backbone} cannot be exported as a graph: {why:.200}. Export it as "
            "a folder (--for pretrained), or train another backbone."
        ) from error


def _shapes(contract: Contract) -> dict[str, dict[int, Any]] | None:
    return None if contract.batch else {INPUT: {0: Dim("batch")}}


def onnx_bytes(traced: ExportedProgram, contract: Contract) -> bytes:
    """Convert an encoder that was traced for a contract to an ONNX model, in one piece."""
    with warnings.catch_warnings():
        # The exporter itself uses functions that newer versions of Python deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        made = torch.onnx.export(
            traced,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=_shapes(contract),  # names the axis
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    return made.model_proto.SerializeToString()
