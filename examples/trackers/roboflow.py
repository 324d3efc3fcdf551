"""Roboflow `reid` (0.1.0, Apache-2.0) with an encoder of reseen, in one process.

It takes any network from (B, 3, H, W), stretched, RGB, normalised by ImageNet's mean and std, to
vectors, which is the contract `plain`. Its saved folders hold bare timm networks only, without what
follows the backbone here, so give it the encoder itself.
"""

import sys

from torch import nn

import reseen
from reseen.export.contract import Contract
from reseen.export.graph import Graph


def backbone(run: str) -> nn.Module:
    """Make what `reid` takes of a run of reseen."""
    encoder = reseen.load(run, device=reseen.Device(name="cpu", precision="float32"))
    return Graph(encoder, Contract(scale="plain")).eval()


if __name__ == "__main__":
    from reid import ReIDModel, ReIDPreprocessing

    model = ReIDModel(backbone(sys.argv[1]), "cpu", ReIDPreprocessing())
    print(model)
