"""Video input: recordings of cameras become tracklets of people, for every other command."""

from reseen.video.detect import Detector, load_detector
from reseen.video.films import Film, find_films
from reseen.video.pipeline import Summary, make_tracklets
from reseen.video.select import CropSettings
from reseen.video.track import OverlapTracker, Tracker, TrackSettings

__all__ = [
    "make_tracklets",
    "find_films",
    "load_detector",
    "Film",
    "Summary",
    "CropSettings",
    "TrackSettings",
    "Detector",
    "Tracker",
    "OverlapTracker",
]
