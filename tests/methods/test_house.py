from dataclasses import replace

import pytest
import torch

from reseen.engine.device import Device
from reseen.engine.folder import read_metrics
from reseen.errors import SettingsError
from reseen.methods.house import House
from reseen.published import house
from reseen.training import train

CPU = Device(name="cpu", precision="float32")
BASE = dict(eps=0.6, epochs=2)


OFF = {name: value for name, value in house.OFF.items() if not name.startswith("encoder.")}
"""The encoder of these tests does not whiten."""


def learn(method, data, folder):
    return train(method, data, folder, device=CPU, quiet=True, evaluate_every=0)


def weights(encoder):
    return torch.cat([value.flatten().float() for value in encoder.state_dict().values()])


def test_with_all_parts_off_it_is_cluster_contrast_bit_for_bit(town, tmp_path, quick):
    base = weights(learn(quick(**BASE), town, tmp_path / "base"))
    off = weights(learn(quick("house", **OFF, **BASE), town, tmp_path / "off"))
    assert torch.equal(base, off)
    losses = [[row["loss"] for row in read_metrics(tmp_path / run)[1:]] for run in ("base", "off")]
    assert losses[0] == losses[1]


PARTS = {
    "teacher": dict(teacher=True),
    "prototypes": dict(prototypes=2),
    "refined": dict(refined_weight=1.0),
    "agreement": dict(agreement_weight=1.0),
    "proxies": dict(proxy_weight=0.5),
    "instances": dict(instance_weight=1.0, instance_start=0.0),
    "camera_aware": dict(camera_aware=True),
}


@pytest.fixture(scope="module")
def nothing(town, tmp_path_factory):
    from tests.conftest import small

    return weights(learn(small("house", **OFF | BASE), town, tmp_path_factory.mktemp("off")))


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_changes_what_is_learnt_and_logs_its_loss(
    town, tmp_path, quick, nothing, part
):
    encoder = learn(quick("house", **OFF | BASE | PARTS[part]), town, tmp_path)
    assert not torch.equal(weights(encoder), nothing)
    row = read_metrics(tmp_path)[-1]
    terms = {name for name in row if name.startswith("loss_")}
    both = {"loss_refined", "loss_agreement"}
    own = {"refined": both, "agreement": both, "proxies": {"loss_proxies"}}
    own["instances"] = {"loss_instances"}
    assert terms == {"loss_clusters"} | own.get(part, set())


def test_parts_that_need_cameras_do_nothing_without(town, tmp_path, quick):
    blind = replace(town, train=tuple(replace(image, camera=None) for image in town.train))
    without = dict(proxy_weight=0.0, camera_aware=False, centring="off")
    runs = [quick("house"), quick("house", **without)]
    results = [weights(learn(run, blind, tmp_path / str(n))) for n, run in enumerate(runs)]
    assert torch.equal(*results)


def test_the_teacher_is_the_result_and_is_judged(town, tmp_path, quick):
    encoder = learn(quick("house", **OFF | BASE | PARTS["teacher"]), town, tmp_path)
    kept = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    assert kept["teacher"] == {"step": 8}
    same = [
        torch.equal(kept[of]["neck.weight"], encoder.neck.weight) for of in ("encoder", "student")
    ]
    assert same == [True, False]


def test_impossible_settings_are_refused():
    for wrong, says in (
        (dict(prototypes=3), "prototypes is 3"),
        (dict(refined_own=1.5), "refined_own is 1.5"),
        (dict(proxy_temperature=0.0), "proxy_temperature is 0.0"),
    ):
        with pytest.raises(SettingsError, match=says):
            House(**wrong)
