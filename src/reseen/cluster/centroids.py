"""Pseudo-labels by k-means alone: the first of ADTC's two stages, without the second."""

import numpy as np
from sklearn.cluster import KMeans

from reseen.errors import SettingsError
from reseen.records import PseudoLabels


def nearest_centroid(features: np.ndarray, *, clusters: int, seed: int) -> PseudoLabels:
    """Group images by their nearest k-means centroid (k-means++, Euclidean distance).

    Args:
        features: (N, D) unit rows.
        clusters: centroids (M), at most N.
        seed: of k-means++.

    Returns:
        (N,) ids without noise.

    Raises:
        SettingsError: more clusters than images.

    Source: Arthur and Vassilvitskii, k-means++, SODA 2007; Ji et al., ADTC, ECCV 2020, Sec. 3.2.
    """
    if not 1 <= clusters <= len(features):
        raise SettingsError(
            f"clusters is {clusters} for {len(features)} images. Use 1 to {len(features)}."
        )
    labels = KMeans(clusters, n_init="auto", random_state=seed).fit_predict(features)
    return PseudoLabels(np.unique(labels, return_inverse=True)[1].astype(np.int64))
