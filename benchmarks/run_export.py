"""What each form of an exported encoder takes and gives: size, speed, difference.

    ./dev bench export [encoder] [crops]

The encoder is reseen-tiny (default), the name of a timm network with random weights such as
resnet50 (256 x 128, for speed alone), a run or a checkpoint. Speed is that of batches of 32 random
pictures on the threads that torch uses. Each form is measured between two measurements of torch in
float32, and its ratio is to their mean, so that other programs on the machine disturb it less. The
greatest difference is that of any number of the vectors of drawn crops to those of torch in
float32. int8 is calibrated on crops of another invented town. With crops, a labelled folder, the
mAP of each form is measured too.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from record import record

from reseen.data.invented import invent
from reseen.data.reading import read
from reseen.engine import extract as extraction
from reseen.engine.device import Device
from reseen.export import Exported, export
from reseen.export.contract import SUFFIXES, contract_for
from reseen.export.judge import judge
from reseen.nets.encoder import EncoderSettings, build
from reseen.records import distinct
from reseen.training import is_shipped, load

FORMS = (
    ("plain", "float32"),
    ("plain", "float16"),
    ("plain", "int8"),
    ("openvino", "float32"),
    ("openvino", "float16"),
    ("openvino", "int8"),
    ("torch", "float32"),
)
BATCH, REPEATS = 32, 5
EXACT = Device(name="cpu", precision="float32")


@torch.inference_mode()
def seconds(call) -> float:
    call()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def encoder_of(name: str):
    if is_shipped(name) or Path(name).exists():
        return load(name, device=EXACT).eval()
    torch.manual_seed(0)
    return EXACT.place(build(EncoderSettings(backbone=name, weights="none"))).eval()


def main(name: str = "reseen-tiny", crops: str = "") -> None:
    encoder = encoder_of(name)
    size = encoder.settings.height, encoder.settings.width
    command = f"./dev bench export {name} {crops and 'CROPS'}"
    pixels = torch.randint(0, 256, (BATCH, 3, *size), dtype=torch.uint8)
    with TemporaryDirectory() as scratch:
        sizes = dict(people=40, cameras=3, views=2, height=size[0], width=size[1])
        invent(Path(scratch, "a"), **sizes, seed=5)
        invent(Path(scratch, "b"), **sizes, seed=6, town="town-b")
        drawn, calibrate = (read(Path(scratch, town)) for town in "ab")
        looked = extraction.load(drawn.query, encoder)
        data = read(Path(crops)) if crops else None
        judged = data and extraction.load(distinct(data.query, data.gallery), encoder)
        exact = extraction.extract(encoder, looked)
        before = judge(encoder, judged, data)[0].mean_ap if judged else None
        plain = seconds(lambda: encoder(pixels))
        told = dict(
            precision="float32",
            bytes="",
            per_second=f"{BATCH / plain:.1f}",
            ratio="1.00",
            difference="0",
            least_cosine="1",
            mAP=f"{before:.4f}" if judged else "",
        )
        record("export", command, encoder=name, form="torch, not exported", **told)
        for consumer, precision in FORMS:
            suffix = SUFFIXES.get(consumer, ".onnx")
            out = Path(scratch, f"{consumer}-{precision}{suffix}")
            many = contract_for(consumer, precision, batch=0)
            export(encoder, out, consumer, contract=many, calibrate=calibrate.train)
            file = Exported(out)
            first = seconds(lambda: encoder(pixels))
            taken = seconds(lambda: file(pixels))  # noqa: B023
            last = seconds(lambda: encoder(pixels))
            found = extraction.extract(file, looked)
            weights = out.with_suffix(".bin")
            told = dict(
                precision=precision,
                bytes=out.stat().st_size + (weights.stat().st_size if weights.exists() else 0),
                per_second=f"{BATCH / taken:.1f}",
                ratio=f"{(first + last) / 2 / taken:.2f}",
                difference=f"{np.abs(found - exact).max():.1e}",
                least_cosine=f"{(found * exact).sum(1).min():.6f}",
                mAP=f"{judge(file, judged, data)[0].mean_ap:.4f}" if judged else "",
            )
            record("export", command, encoder=name, form=suffix, **told)
            print(name, suffix, told, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
