"""Clustering: features (N, D) in, `PseudoLabels` out."""
