"""What the README does, as a type checker sees it; never run."""

from pathlib import Path
from typing import assert_type

import numpy as np

import reseen
from reseen.gallery.records import Cutoffs, Match, Person, Sighting

method = reseen.method("cluster-contrast", "cpu", epochs=20)
encoder = reseen.train(method, "crops/", "runs/second")
assert_type(encoder, reseen.Encoder)
assert_type(reseen.train(reseen.ClusterContrast(epochs=20), Path("crops"), "run"), reseen.Encoder)
assert_type(reseen.load("reseen-tiny"), reseen.Encoder)

features, images = reseen.extract(encoder, "crops/")
assert_type(features, np.ndarray)
assert_type(images, tuple[reseen.Image, ...])
hits = reseen.search(encoder, images[0], "crops/", top=5)
assert_type(hits, list[reseen.Hit])
assert_type(hits[0].similarity, float)

data = reseen.read("crops/")
assert_type(data, reseen.Dataset)
ranking = reseen.evaluate(encoder, data)
assert_type(ranking, reseen.Ranking)
assert_type(data.train[0].camera, int | None)

with reseen.Gallery.create("site", encoder) as gallery:
    assert_type(gallery, reseen.Gallery)
    gallery.add("crops/", camera="gate")
    assert_type(gallery.search("somebody.jpg"), list[list[Match]])
    assert_type(gallery.seen("Anna"), list[Sighting])
    assert_type(gallery.people(), list[Person])
    assert_type(gallery.calibrate(), Cutoffs)

try:
    reseen.load("gone")
except reseen.CheckpointError as error:
    assert_type(error, reseen.CheckpointError)
