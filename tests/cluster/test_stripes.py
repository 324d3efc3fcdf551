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


def test_without_two_cameras_features_stay_and_it_is_said():
    features = np.random.default_rng(0).normal(size=(2, 120, 8)).astype(np.float32)
    settings = StripeSettings(centring="mean")
    for cameras in (np.zeros(120, int), np.full(120, -1), np.arange(120)):
        assert np.array_equal(settings.centred(features, cameras), features)
        (said,) = settings.remarks(120, cameras)
        assert "No two cameras have at least 50 crops" in said
    assert settings.remarks(120, np.arange(120) % 2) == []
    assert StripeSettings().remarks(120, np.zeros(120, int)) == []
