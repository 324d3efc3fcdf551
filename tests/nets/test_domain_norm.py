from copy import deepcopy

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from reseen.nets.domain_norm import DomainNorm
from reseen.nets.encoder import EncoderSettings, build

SMALL = EncoderSettings(backbone="reseen-tiny", weights="none", height=32, width=16, last_stride=2)


def pixels(seed):
    return torch.randint(0, 256, (6, 3, 32, 16), generator=torch.Generator().manual_seed(seed))


def statistics(net):
    return [
        value.clone() for m in net.modules() if isinstance(m, _BatchNorm) for value in m.buffers()
    ]


def test_a_domain_passes_as_through_a_network_of_its_own():
    """Output, statistics and gradients are those of a copy; what is not batch norm is shared."""
    torch.manual_seed(0)
    encoder = build(SMALL).train()
    alone, domain = deepcopy(encoder), DomainNorm(encoder)
    before = statistics(encoder)
    own, expected = domain(encoder, pixels(1)), alone(pixels(1))
    torch.testing.assert_close(own, expected)
    assert all(map(torch.equal, statistics(encoder), before))
    for found, wanted in zip(statistics(domain), statistics(alone), strict=True):
        torch.testing.assert_close(found, wanted)
    own.square().sum(), own[:, 0].sum().backward(), expected[:, 0].sum().backward()
    wanted = {name: weight.grad for name, weight in alone.named_parameters()}
    found = dict(zip(domain._names, domain.norms, strict=True))
    for name, weight in encoder.named_parameters():
        home, _, last = name.rpartition(".")
        if home in found:
            assert weight.grad is None
            weight = getattr(found[home], last)
        if weight.requires_grad:
            torch.testing.assert_close(weight.grad, wanted[name])


def test_the_encoder_learns_nothing_of_the_domain_and_is_saved_without_it():
    torch.manual_seed(0)
    encoder = build(SMALL).train()
    domain, names = DomainNorm(encoder), set(encoder.state_dict())
    domain(encoder, pixels(2))
    encoder(pixels(1)), encoder.eval()
    plain = build(SMALL)
    plain.load_state_dict(encoder.state_dict())
    assert set(encoder.state_dict()) == names
    torch.testing.assert_close(plain.eval()(pixels(3)), encoder(pixels(3)))
    assert not torch.allclose(domain.eval()(encoder, pixels(3)), encoder(pixels(3)))
