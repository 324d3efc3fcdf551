from dataclasses import asdict, replace

import pytest
import torch

from reseen.data.augment import AugmentSettings
from reseen.engine.folder import read_metrics
from reseen.errors import DataError, SettingsError
from reseen.methods.supervised import Supervised
from reseen.nets.encoder import EncoderSettings
from reseen.records import JUNK
from reseen.training import train
from tests.methods.test_cluster_contrast import CPU, learn, weights

SMALL = EncoderSettings(
    backbone="reseen-tiny", weights="none", height=48, width=24, last_stride=2, pooling="mean"
)


def quick(**changes):
    small = dict(encoder=SMALL, epochs=4, people=4, views=3, rate=2e-3, warm_up=1)
    return Supervised(**(small | changes))


@pytest.mark.slow
def test_it_learns_who_is_who(town, tmp_path):
    plain = AugmentSettings(pad=3, erase=0)
    learn(quick(epochs=20, smoothing=0.0, augment=plain), town, tmp_path, evaluate_every=0)
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss"] < 0.6 * rows[1]["loss"]
    assert rows[-1]["mAP"] > 2 * rows[0]["mAP"]


def test_resumes_exactly(town, tmp_path):
    whole = learn(quick(), town, tmp_path / "whole", evaluate_every=0)

    class StoppedError(Exception):
        pass

    class Halting(Supervised):
        def _rate(self, epoch):
            if epoch == 2:
                raise StoppedError
            return super()._rate(epoch)

    Halting.__name__ = "Supervised"
    halting = Halting(**{name: getattr(quick(), name) for name in asdict(quick())})
    with pytest.raises(StoppedError):
        learn(halting, town, tmp_path / "halted", evaluate_every=0)
    resumed = learn(quick(), town, tmp_path / "halted", evaluate_every=0)
    assert torch.equal(weights(whole), weights(resumed))


def test_it_is_told_who_is_who_and_not_by_the_order(town, tmp_path):
    seen = {}

    class Look:
        needs_people = True

        def fit(self, images, run):
            seen["images"] = images
            return run.build(SMALL)

    unknown = replace(town.train[0], person=None), replace(town.train[1], person=JUNK)
    train(Look(), replace(town, train=unknown + town.train[2:]), tmp_path, device=CPU, quiet=True)
    images = seen["images"]
    assert {i.path: i.person for i in images} == {i.path: i.person for i in town.train[2:]}
    assert [i.path for i in images] == [
        i.path for i in town.unlabelled(0) if i.path not in {u.path for u in unknown}
    ]


def test_the_rate_rises_and_falls():
    method = quick(epochs=10, rate=1.0, warm_up=4, rate_steps=(6, 8))
    rates = [method._rate(epoch) for epoch in range(10)]
    expected = [0.1, 0.325, 0.55, 0.775, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates == pytest.approx(expected)


def test_one_person_is_not_enough(town, tmp_path):
    alone = replace(town, train=tuple(i for i in town.train if i.person == 1))
    with pytest.raises(DataError, match="show 1 person who is known"):
        learn(quick(), alone, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"views": 1}, "4 people x 1 views"),
        ({"smoothing": 1.0}, "smoothing is 1.0"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"margin": -1.0}, "margin is -1.0"),
    ],
)
def test_impossible_settings_are_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        quick(**wrong)
