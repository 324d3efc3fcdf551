"""The methods: one file each, strangers to each other."""

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
from reseen.methods.supervised import Supervised

METHODS = {
    "cluster-contrast": ClusterContrast,
    "adtc": ADTC,
    "conslearn": ConsLearn,
    "mla": MLA,
    "mmt": MMT,
    "spcl": SpCL,
    "ssl": SSL,
    "buc": BUC,
    "daal": DAAL,
    "house": House,
    "supervised": Supervised,
}
