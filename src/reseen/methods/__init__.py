"""The methods: one file each, strangers to each other."""

from reseen.methods import adtc, conslearn, mla
from reseen.methods.adtc import ADTC
from reseen.methods.cluster_contrast import ClusterContrast
from reseen.methods.conslearn import ConsLearn
from reseen.methods.mla import MLA
from reseen.methods.supervised import Supervised

METHODS = {
    "cluster-contrast": ClusterContrast,
    "adtc": ADTC,
    "conslearn": ConsLearn,
    "mla": MLA,
    "supervised": Supervised,
}

VARIANTS = {"adtc": adtc.VARIANTS, "conslearn": conslearn.VARIANTS, "mla": mla.VARIANTS}
"""The rows of each method's published tables, by the names of METHODS."""
