"""The methods: one file each, strangers to each other."""

from reseen.methods.cluster_contrast import ClusterContrast

METHODS = {"cluster-contrast": ClusterContrast}
