"""Ways from features to pseudo-labels: (N, D) arrays in, `PseudoLabels` out."""
