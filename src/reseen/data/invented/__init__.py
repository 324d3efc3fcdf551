"""Invented people in invented towns: a benchmark without anybody's picture."""

from reseen.data.invented.presets import TOWNS, Difficulty, Town
from reseen.data.invented.town import invent

__all__ = ["Difficulty", "TOWNS", "Town", "invent"]
