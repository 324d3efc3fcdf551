"""Figures and pages about results; nothing here trains."""
