"""Write an encoder as one file for another program, with its card."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from reseen.data.loading import Crops, Loading
from reseen.engine.extract import load
from reseen.engine.files import check_out, write_text, written
from reseen.engine.progress import QUIET, Screen
from reseen.errors import needs
from reseen.export import card as cards
from reseen.export.card import Card, beside, camera_entry, check_vectors, drawn
from reseen.export.contract import SUFFIXES, Contract, contract_for
from reseen.export.exported import (
    Runner,
    embed,
    onnx_runner,
    onnx_session,
    openvino_runner,
    torch_runner,
)
from reseen.export.graph import onnx_bytes, program
from reseen.export.quantise import check_calibration, quantised
from reseen.nets import encoder as encoders
from reseen.nets.encoder import Encoder
from reseen.nets.pretrained import without_paths
from reseen.records import Image

CALIBRATED = 256
"""Number of pictures for the calibration of int8, evenly chosen from those that are given."""


def export(
    encoder: Encoder,
    out: Path | str,
    consumer: str = "plain",
    *,
    contract: Contract | None = None,
    calibrate: Sequence[Image] = (),
    run: str = "",
    data: str = "",
    threshold: Mapping[str, Any] | None = None,
    loading: Loading | None = None,
    screen: Screen = QUIET,
) -> Card:
    """Write an encoder as one file that another program loads, and its card beside it.

    The file is tested before it gets its final name: its features of the two drawn pictures are
    compared with those of the encoder in float32.

    Args:
        encoder: from `load` or `train`; left unchanged.
        out: the file: .onnx, or .xml for openvino (with .bin beside it), .pt2 for torch.
        consumer: the program that it is for, one of `contract.CONSUMERS`.
        contract: replaces that of the program.
        calibrate: pictures from which int8 determines ranges of values.
        run: where the encoder comes from, for the card.
        data: a sentence about the training pictures, for the card.
        threshold: `similarity` from which two crops count as the same person, and its `source`.
        loading: how pictures for int8 are read.
        screen: prints messages; the first export of a process takes 10 to 60 seconds.

    Returns:
        The card.

    Raises:
        SettingsError: the program is unknown, the suffix is wrong, or a package is missing.
        DataError: there are too few pictures for int8.
        CheckpointError: the file gives other features than the encoder.
    """
    out, contract = Path(out), contract or contract_for(consumer)
    suffix = SUFFIXES.get(consumer, ".onnx")
    check_out(out, suffix)
    if suffix != ".pt2":
        needs("onnx", extra="export")
        needs("onnxscript", extra="export")
        needs("openvino" if suffix == ".xml" else "onnxruntime", extra="export")
    size = encoder.settings.height, encoder.settings.width
    batches: Iterator[np.ndarray] = iter(())
    if contract.precision == "int8":
        check_calibration(len(calibrate))
        step = max(len(calibrate) // CALIBRATED, 1)
        crops = load(calibrate[::step][:CALIBRATED], encoder, loading, screen)
        batches = _batches(crops, contract)
    screen.say(f"tracing the encoder at {size[0]} x {size[1]} pixels")
    # OpenVINO halves weights itself: its half-precision file is the float32 graph with smaller
    # numbers.
    halved = suffix == ".xml" and contract.precision == "float16"
    traced = program(encoder, replace(contract, precision="float32") if halved else contract)
    model = b"" if suffix == ".pt2" else onnx_bytes(traced, contract)
    if contract.precision == "int8":
        screen.say(f"calibrating int8 on {min(len(calibrate), CALIBRATED)} pictures")
        model = quantised(model, batches)
    mean, std = contract.outside
    pictures = drawn(*size)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=_made(out.parent)) as folder:
        draft = Path(folder, out.name)
        found = embed(_drafted(draft, suffix, traced, model, halved), contract, pictures)
        check_vectors(
            found,
            encoders.exact(encoder, torch.from_numpy(pictures)).numpy(),
            contract.precision,
            out,
        )
        told = Card(
            consumer=consumer,
            height=size[0],
            width=size[1],
            mean=mean,
            std=std,
            **asdict(contract),
            dimensions=encoder.dimensions,
            encoder_settings=without_paths(asdict(encoder.settings)),
            digest=encoders.digest(encoder),
            version=version("reseen"),
            run=run,
            data=data,
            cameras=camera_entry(encoder.camera_statistics),
            threshold=None if threshold is None else dict(threshold),
            vectors={
                path.name: [round(float(number), 6) for number in row]
                for path, row in zip(cards.PICTURES, found, strict=True)
            },
        )
        if suffix == ".onnx":
            draft.write_bytes(_with_metadata(model, told))
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.suffix == suffix):
            path.replace(out.with_name(path.name))
    write_text(beside(out), told.text())
    return told


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _batches(crops: Crops, contract: Contract) -> Iterator[np.ndarray]:
    size = contract.batch or 16
    whole = len(crops.owners) // size * size
    order = (np.arange(start, start + size) for start in range(0, whole, size))
    return (contract.prepare(pixels.cpu().numpy()) for _, pixels in crops.frames(order))


def _drafted(draft: Path, suffix: str, traced: Any, model: bytes, halved: bool) -> Runner:
    """Write a file without its card, and return what runs it."""
    if suffix == ".onnx":
        return onnx_runner(onnx_session(model))
    if suffix == ".pt2":
        with written(draft) as file:
            torch.export.save(traced, file)
        return torch_runner(draft)
    import openvino

    converted = openvino.convert_model(BytesIO(model))
    openvino.save_model(converted, draft, compress_to_fp16=halved)
    return openvino_runner(draft)


def _with_metadata(model: bytes, told: Card) -> bytes:
    import onnx

    found = onnx.load_from_string(model)
    onnx.helper.set_model_props(found, told.metadata())
    return found.SerializeToString()
