"""Person re-identification without labels.

    import reseen

    encoder = reseen.train("cluster-contrast", "crops/", "runs/first")

Every name below, and every name in `reseen.parts`, is public and stays; everything else may change
between versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reseen.errors import (
    CheckpointError,
    ClusteringError,
    DataError,
    ReseenError,
    SettingsError,
)
from reseen.records import JUNK, NOISE, Dataset, Hit, Image, PseudoLabels, Ranking

if TYPE_CHECKING:
    from reseen import parts
    from reseen.data.augment import AugmentSettings
    from reseen.data.loading import Loading
    from reseen.data.reading import read
    from reseen.engine.device import Device
    from reseen.engine.pretrained import from_pretrained, save_pretrained
    from reseen.methods.adtc import ADTC
    from reseen.methods.buc import BUC
    from reseen.methods.cluster_contrast import ClusterContrast
    from reseen.methods.conslearn import ConsLearn
    from reseen.methods.daal import DAAL
    from reseen.methods.house import House
    from reseen.methods.mla import MLA
    from reseen.methods.mmt import MMT
    from reseen.methods.spcl import SpCL
    from reseen.methods.ssl import SSL
    from reseen.nets.encoder import Encoder, EncoderSettings
    from reseen.presets import method
    from reseen.training import evaluate, extract, load, search, train

_ELSEWHERE = {
    "ADTC": "reseen.methods.adtc",
    "BUC": "reseen.methods.buc",
    "SSL": "reseen.methods.ssl",
    "AugmentSettings": "reseen.data.augment",
    "ClusterContrast": "reseen.methods.cluster_contrast",
    "ConsLearn": "reseen.methods.conslearn",
    "DAAL": "reseen.methods.daal",
    "Device": "reseen.engine.device",
    "Encoder": "reseen.nets.encoder",
    "EncoderSettings": "reseen.nets.encoder",
    "House": "reseen.methods.house",
    "Loading": "reseen.data.loading",
    "MLA": "reseen.methods.mla",
    "MMT": "reseen.methods.mmt",
    "SpCL": "reseen.methods.spcl",
    "evaluate": "reseen.training",
    "extract": "reseen.training",
    "from_pretrained": "reseen.engine.pretrained",
    "load": "reseen.training",
    "method": "reseen.presets",
    "read": "reseen.data.reading",
    "save_pretrained": "reseen.engine.pretrained",
    "search": "reseen.training",
    "train": "reseen.training",
}
"""Names that need torch: fetched when they are first used, so that importing stays quick."""

__version__: str
"""The version of the installed package."""

__all__ = [
    "train",
    "evaluate",
    "extract",
    "search",
    "load",
    "save_pretrained",
    "from_pretrained",
    "read",
    "method",
    "parts",
    "ClusterContrast",
    "ADTC",
    "ConsLearn",
    "MLA",
    "MMT",
    "SpCL",
    "SSL",
    "BUC",
    "DAAL",
    "House",
    "AugmentSettings",
    "Device",
    "Encoder",
    "EncoderSettings",
    "Loading",
    "Dataset",
    "Image",
    "Hit",
    "PseudoLabels",
    "Ranking",
    "JUNK",
    "NOISE",
    "ReseenError",
    "CheckpointError",
    "ClusteringError",
    "DataError",
    "SettingsError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "parts":
        return import_module("reseen.parts")
    if name == "__version__":
        from importlib.metadata import version

        return version("reseen")
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'reseen' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
