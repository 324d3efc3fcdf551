import numpy as np
import torch

from reseen.data.loading import Loading
from reseen.engine.extract import extract, load
from reseen.nets.encoder import build
from tests.conftest import TINY


def test_features_in_the_order_of_the_crops_whatever_the_batch_and_the_memory(town):
    torch.manual_seed(0)
    encoder = build(TINY).train()
    kept = load(town.train, encoder)
    anew = load(town.train, encoder, Loading(memory=0))
    features = extract(encoder, kept, batch=7)
    assert features.shape == (len(town.train), 512) and features.dtype == np.float32
    np.testing.assert_allclose(extract(encoder, anew, batch=50), features, atol=1e-6)
    (_, pixels), *_ = kept.batches([np.array([5])])
    with torch.no_grad():
        np.testing.assert_allclose(encoder.eval()(pixels)[0], features[5], atol=1e-6)


def test_the_mode_and_the_statistics_of_the_encoder_stay(town):
    encoder = build(TINY).train()
    before = encoder.neck.running_mean.clone()
    extract(encoder, load(town.train[:5], encoder))
    assert encoder.training and torch.equal(encoder.neck.running_mean, before)
