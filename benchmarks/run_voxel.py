"""Why voxel attention suits one backbone and not another: their maps, before any training.

    RESEEN_DATA=FOLDER ./dev bench voxel

FOLDER holds market-half and weights. For each backbone and each part of ADTC's attention: mAP and
rank-1 on market-half at 128 x 64, the spread (standard deviation over mean) of the lengths of the
pooled vectors of every tenth training image, and the median over channels of their deviation. Rows
go to benchmarks/results/voxel.csv.
"""

import os
from pathlib import Path

import numpy as np
import torch
from record import record

import reseen
from reseen.engine.extract import load
from reseen.nets.encoder import Encoder, build

STRIDES = {"squeezenet1_1": 2, "mobilenetv2_100": 1}


def main() -> None:
    folder = Path(os.environ["RESEEN_DATA"])
    data = reseen.read(folder / "market-half")
    for backbone, stride in STRIDES.items():
        for attention in ("none", "voxel", "voxel-spatial", "voxel-channel"):
            torch.manual_seed(0)
            settings = reseen.EncoderSettings(
                backbone=backbone,
                weights=str(folder / f"weights/{backbone}_imagenet.pth"),
                last_stride=stride,
                height=128,
                width=64,
                pooling="max",
                attention=(attention,) if attention != "none" else (),
            )
            encoder = build(settings).eval()
            result = reseen.evaluate(encoder, data)
            vectors = pooled(encoder, data.train[::10])
            lengths = np.linalg.norm(vectors, axis=1)
            figures = {
                "mAP": f"{result.mean_ap:.4f}",
                "rank1": f"{result.cmc(1):.4f}",
                "length_spread": f"{lengths.std() / lengths.mean():.3f}",
                "median_deviation": f"{np.median(vectors.std(0)):.4f}",
            }
            record("voxel", "./dev bench voxel", backbone=backbone, attention=attention, **figures)
            print(backbone, attention, figures, flush=True)


def pooled(encoder: Encoder, images) -> np.ndarray:
    """Give what the pooling makes of images, (N, D), before the neck."""
    crops = load(images, encoder)
    order = np.array_split(np.arange(len(crops)), len(crops) // 64)
    with torch.inference_mode():
        return np.concatenate([encoder.pool(pixels).float() for _, pixels in crops.frames(order)])


if __name__ == "__main__":
    main()
