"""Metrics of rankings and pseudo-labels."""
