"""Export of an encoder as one file for other programs: ONNX, OpenVINO, torch.export."""

from reseen.export.exported import Exported
from reseen.export.write import export

__all__ = ["Exported", "export"]
