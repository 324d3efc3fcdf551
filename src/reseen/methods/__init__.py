"""The methods: one file each, strangers to each other."""

from reseen.methods.cluster_contrast import ClusterContrast
from reseen.methods.supervised import Supervised

METHODS = {"cluster-contrast": ClusterContrast, "supervised": Supervised}
