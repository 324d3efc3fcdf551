"""Quantisation to int8: weights and feature maps of convolutions and matrix products."""

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from reseen.errors import DataError, needs
from reseen.export.contract import INPUT

LEAST = 32
"""Number of pictures below which the ranges of feature maps would be unreliable."""


def quantised(model: bytes, batches: Iterator[np.ndarray]) -> bytes:
    """Quantise an ONNX model to int8; GeM, the neck and the normalisation stay float32.

    Static quantisation with one scale per channel for weights and one per feature map, whose range
    is given by the smallest and largest values on the pictures.

    Args:
        model: in float32.
        batches: inputs of the model, (B, 3, H, W) float32 each.

    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference, CVPR 2018.
    """
    needs("onnxruntime", extra="export")
    needs("onnx", extra="export")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore
            images = next(batches, None)
            return None if images is None else {INPUT: images}

    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)  # it gives advice, on the root logger, that was followed
    try:
        with TemporaryDirectory() as folder:
            plain, ready, out = (Path(folder, f"{name}.onnx") for name in ("a", "b", "c"))
            plain.write_bytes(model)
            quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(ready),
                str(out),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "MatMul", "Gemm"],
                per_channel=True,
            )
            return out.read_bytes()
    finally:
        logger.setLevel(before)


def check_calibration(count: int) -> None:
    """Refuse calibration with too few pictures.

    Raises:
        DataError: there are fewer than LEAST.
    """
    if count < LEAST:
        raise DataError(
            f"int8 needs {LEAST} images or more for calibration, but {count} were given. Use "
            "--calibrate FOLDER with crops of the site."
        )
