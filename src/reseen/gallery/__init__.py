"""The gallery: crops, the people on them, and a search with thresholds."""
