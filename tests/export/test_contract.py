"""Contracts: what each program does to pixels, and what cannot be."""

import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.export.contract import CONSUMERS, Contract, contract_for

RGB = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), np.uint8)


def boxmot(bgr):
    images = bgr[:, ::-1].astype(np.float32) / 255
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, None, :, None, None]
    return (images - mean) / std


DO = {
    "boxmot": boxmot,
    "ultralytics": lambda bgr: bgr[:, ::-1].astype(np.float32) / 255,
    "deepstream": lambda bgr: 1.0 * (bgr[:, ::-1].astype(np.float32) - 0),  # one scale, offsets
    "openvino": lambda bgr: bgr.astype(np.float32),
}
"""What each program does to BGR pixels of OpenCV."""


@pytest.mark.parametrize("consumer", DO)
def test_pixels_are_prepared_as_the_program_does_it(consumer):
    wanted = DO[consumer](RGB[:, ::-1])
    found = CONSUMERS[consumer].prepare(RGB)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_contract_is_that_of_the_program_with_changes():
    assert contract_for("boxmot") == contract_for("plain") == Contract()
    own = contract_for("openvino", "int8", batch=4, scale=None)
    assert own == Contract(scale="pixel", order="bgr", batch=4, precision="int8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (dict(consumer="tensorrt"), "for is 'tensorrt'. Use one of: plain, boxmot"),
        (dict(consumer="plain", precision="half"), "precision is 'half'"),
        (dict(consumer="plain", scale="8bit"), "scale is '8bit'"),
        (dict(consumer="plain", order="rbg"), "order is 'rbg'"),
        (dict(consumer="plain", batch=-1), "batch is -1"),
        (dict(consumer="torch", precision="int8"), "torch does not support int8"),
    ],
)
def test_what_cannot_be_is_refused(words, says):
    with pytest.raises(SettingsError, match=says):
        contract_for(**words)
