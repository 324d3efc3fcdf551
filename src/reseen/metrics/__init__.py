"""How good rankings and pseudo-labels are."""
