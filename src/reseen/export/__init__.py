"""One file of an encoder that other programs load: ONNX, OpenVINO, torch.export."""

from reseen.export.exported import Exported
from reseen.export.write import export

__all__ = ["Exported", "export"]
