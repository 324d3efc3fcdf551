"""Invented people in invented towns: a benchmark without pictures of real people."""

from reseen.data.invented.film import FilmFrame, film
from reseen.data.invented.presets import TOWNS, Difficulty, Town, find_town
from reseen.data.invented.town import invent

__all__ = ["Difficulty", "FilmFrame", "TOWNS", "Town", "film", "find_town", "invent"]
