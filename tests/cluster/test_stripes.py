import numpy as np
import pytest

from reseen.cluster.stripes import StripeSettings
from reseen.errors import SettingsError
from reseen.kernels.centring import centre


def test_the_whole_and_each_stripe_are_centred_by_themselves():
    features = np.random.default_rng(0).normal(size=(3, 120, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    cameras = np.arange(120) % 2
    found = StripeSettings(centring="mean").centred(features, cameras)
    for rows, centred in zip(features, found, strict=True):
        assert np.array_equal(centred, centre(rows, cameras, "mean"))
    assert np.array_equal(StripeSettings().centred(features, cameras), features)
    with pytest.raises(SettingsError, match="centring is 'median'"):
        StripeSettings(centring="median")
