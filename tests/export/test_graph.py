"""The graph of a file: the encoder's vectors from what each contract gives it."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

from reseen.errors import SettingsError
from reseen.export.contract import ORDERS, SCALES, Contract
from reseen.export.graph import Graph, program
from reseen.nets.encoder import EncoderSettings, build, digest
from reseen.nets.pooling import POOLINGS

PIXELS = torch.randint(0, 256, (3, 3, 64, 32), generator=torch.Generator().manual_seed(0))


def prepared(contract):
    return torch.from_numpy(contract.prepare(PIXELS.numpy()))


@pytest.mark.parametrize(("scale", "order"), [*product(SCALES, ORDERS)])
@torch.inference_mode()
def test_mean_and_std_are_folded_in(given_encoder, scale, order):
    contract = Contract(scale=scale, order=order)
    found = Graph(given_encoder, contract)(prepared(contract))
    torch.testing.assert_close(found, given_encoder(PIXELS), atol=2e-6, rtol=0)


@torch.inference_mode()
def test_imagenet_pixels_go_in_as_they_are():
    graph = Graph(build(EncoderSettings(backbone="resnet18", weights="none")), Contract())
    assert not graph.changes  # no operation in front of the network


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.inference_mode()
def test_every_pooling_is_the_same_and_has_no_weights(given_encoder, pooling):
    encoder = build(replace(given_encoder.settings, pooling=pooling)).eval()
    graph = Graph(encoder, Contract())
    torch.testing.assert_close(graph(prepared(Contract())), encoder(PIXELS), atol=2e-6, rtol=0)
    assert not list(graph.pooling.parameters())


@torch.inference_mode()
def test_what_an_encoder_whitens_a_file_whitens(given_encoder):
    encoder = build(replace(given_encoder.settings, whitening=0.5)).eval()
    pixels = torch.randint(0, 256, (64, *PIXELS.shape[1:]))
    plain = encoder(pixels)
    encoder.whiten(plain.numpy())
    wanted = encoder(pixels)
    assert (wanted - plain).abs().max() > 0.01
    images = torch.from_numpy(Contract().prepare(pixels.to(torch.uint8).numpy()))
    torch.testing.assert_close(Graph(encoder, Contract())(images), wanted, atol=2e-5, rtol=0)


def test_what_cannot_be_traced_is_said(given_encoder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("an operator has no graph\nand more lines")

    monkeypatch.setattr(torch.export, "export", fail)
    with pytest.raises(SettingsError, match=r"resnet18 .* has no graph\. Export it as a folder"):
        program(given_encoder, Contract())


@torch.inference_mode()
def test_half_precision_is_close_and_leaves_the_encoder_alone(given_encoder):
    before = digest(given_encoder)
    graph = Graph(given_encoder, Contract(precision="float16"))
    kinds = {m.weight.dtype for m in graph.network.modules() if isinstance(m, nn.Conv2d)}
    assert kinds == {torch.float16} and graph.neck.weight.dtype == torch.float32
    found, exact = graph(prepared(Contract())), given_encoder(PIXELS)
    assert found.dtype == torch.float32 and (found != exact).any()
    assert ((found * exact).sum(1) > 0.999).all()
    assert digest(given_encoder) == before
