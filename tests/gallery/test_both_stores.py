"""A whole gallery, from its creation to the end of its last person, in each store."""

import json

import numpy as np
import pytest

from reseen.errors import StoreError
from reseen.gallery.gallery import Gallery
from tests.gallery.conftest import CPU


def test_a_gallery_lives_in_either_store(kind, store_address, small_encoder, town, tmp_path):
    how = dict(store=store_address, onnx=False, device=CPU)
    with Gallery.create(tmp_path / "g", small_encoder, **how) as gallery:
        assert gallery.add(town.train[:20]).new == 20
        assert gallery.add(town.train[:24]).new == 4
        vectors, ids = gallery.features()
    facts = json.loads((tmp_path / "g" / "gallery.json").read_text())
    assert facts["store"].startswith(kind) and facts["format"] == 1
    assert (tmp_path / "g" / "gallery.sqlite").exists() == (kind == "embedded")
    with Gallery.open(tmp_path / "g", CPU) as gallery:
        assert gallery.embedder().model == gallery.model
        for id in ids[:3]:
            matches = gallery.search_crop(id, top=4)
            scores = vectors @ vectors[ids.index(id)]
            best = [ids[i] for i in np.argsort(-scores) if ids[i] != id][:4]
            assert [match.crop.id for match in matches] == best
        gallery.name(ids[:3], "Änna O'Neil")
        gallery.deny("Änna O'Neil", ids[4:5])
        with pytest.raises(StoreError, match="it was recorded that"):
            gallery.name(ids[4:5], "Änna O'Neil")
        assert [person.crops for person in gallery.people()] == [3]
        assert gallery.undo() == "1 crop not Änna O'Neil"
        gallery.ignore(ids[5:6])
        assert len(gallery.search_crop(ids[0], top=99)) == 22
        seen = [crop.id for sighting in gallery.seen("Änna O'Neil") for crop in sighting.crops]
        assert set(ids[:3]) <= set(seen)
        told = gallery.info()
        assert told["crops"] == 24 and told["named"] == 3 and told["bytes"] > 0
        assert gallery.calibrate().same <= 1 and gallery.unknown() is not None
        assert gallery.forget("Änna O'Neil") == 3 and gallery.people() == []
        assert gallery.check() == [] and gallery.store.count() == 21
        assert gallery.expire(0) == 21 and gallery.search(town.query[0]) == [[]]
