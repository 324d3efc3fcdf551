"""Every attention module against plain loops, and what all of them promise."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from reseen.errors import SettingsError
from reseen.nets.attention import ATTENTION, attention, check_attention
from reseen.nets.attention.gate import Gate

B, C, H, W = 3, 8, 5, 4


def a_map(*shape):
    return torch.randn(shape or (B, C, H, W), generator=torch.Generator().manual_seed(1))


def made(name, **options):
    torch.manual_seed(0)
    return ATTENTION[name](C, **options)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def bottleneck(values, squeeze, excite):
    """W2 relu(W1 x), number by number."""
    hidden = [max(0.0, sum(w * v for w, v in zip(row, values, strict=True))) for row in squeeze]
    return [sum(w * h for w, h in zip(row, hidden, strict=True)) for row in excite]


def convolve(x, kernel, bias=0.0):
    """Convolve (C, H, W) by (C, 3, 3) or the like, zeros around: (H, W), place by place."""
    reach = kernel.shape[1] // 2
    out = np.zeros(x.shape[1:])
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    if 0 <= i + di < x.shape[1] and 0 <= j + dj < x.shape[2]:
                        out[i, j] += x[:, i + di, j + dj] @ kernel[:, di + reach, dj + reach]
    return out + bias


def arrays(module):
    return {name: w.detach().double().numpy() for name, w in module.named_parameters()}


@pytest.mark.parametrize("name", ["voxel", "voxel-spatial", "voxel-channel"])
def test_voxel_is_its_loop(name):
    module, x = made(name, width=5) if name != "voxel-spatial" else made(name), a_map()
    out, weights = module(x).detach().numpy(), arrays(module)
    for b, f in enumerate(x.double().numpy()):
        intensity = np.array([[f[:, i, j].sum() / C for j in range(W)] for i in range(H)])
        place = np.exp(intensity) / np.exp(intensity).sum()
        assert place.sum() == pytest.approx(1)
        channel = [1.0] * C
        if name != "voxel-spatial":
            pooled = [f[k].mean() for k in range(C)]
            squeeze, excite = weights["squeeze.weight"], weights["excite.weight"]
            channel = [sigmoid(v) for v in bottleneck(pooled, squeeze, excite)]
        for k in range(C):
            for i in range(H):
                for j in range(W):
                    kernel = channel[k] * (1 if name == "voxel-channel" else place[i, j])
                    assert out[b, k, i, j] == pytest.approx(kernel * f[k, i, j], abs=1e-6)


def test_voxel_has_the_weights_that_the_paper_counts():
    assert sum(w.numel() for w in made("voxel", width=5).parameters()) == 2 * C * 5
    assert not list(made("voxel-spatial").parameters())


def test_cbam_is_its_loop():
    module, x = made("cbam", ratio=2), a_map()
    out, weights = module(x).detach().numpy(), arrays(module)
    for b, f in enumerate(x.double().numpy()):
        layers = weights["squeeze.weight"], weights["excite.weight"]
        mean = bottleneck(f.mean((1, 2)), *layers)
        most = bottleneck(f.max((1, 2)), *layers)
        f = f * np.array([sigmoid(m + a) for m, a in zip(mean, most, strict=True)])[:, None, None]
        seen = np.stack([f.mean(0), f.max(0)])
        scores = convolve(seen, weights["place.weight"][0])
        np.testing.assert_allclose(out[b], f / (1 + np.exp(-scores)), atol=1e-5)


def test_harmonious_is_its_loop():
    module, x = made("harmonious", ratio=2), a_map(B, C, 6, 4)
    out, weights = module(x).detach().numpy(), arrays(module)
    for b, f in enumerate(x.double().numpy()):
        fine = convolve(f.mean(0, keepdims=True), weights["place.weight"][0])
        coarse = fine[::2, ::2]  # stride 2
        # bilinear to twice the size: a quarter of the way into the next, clamped at the edges
        rows, columns = (np.clip((np.arange(n) + 0.5) / 2 - 0.5, 0, n / 2 - 1) for n in (6, 4))
        place = np.zeros((6, 4))
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                r0, c0 = int(r), int(c)
                r1, c1 = min(r0 + 1, 2), min(c0 + 1, 1)
                above = coarse[r0, c0] * (1 - c + c0) + coarse[r0, c1] * (c - c0)
                below = coarse[r1, c0] * (1 - c + c0) + coarse[r1, c1] * (c - c0)
                place[i, j] = above * (1 - r + r0) + below * (r - r0)
        place *= weights["scale.weight"].item()
        layers = weights["squeeze.weight"], weights["excite.weight"]
        channel = np.array(bottleneck(f.mean((1, 2)), *layers))
        mix = weights["mix.weight"][:, :, 0, 0]
        for i in range(6):
            for j in range(4):
                scores = mix @ (place[i, j] * channel)
                np.testing.assert_allclose(
                    out[b, :, i, j], f[:, i, j] / (1 + np.exp(-scores)), atol=1e-6
                )
    assert sum(w.numel() for w in module.parameters()) == 9 + 1 + 2 * C * C // 2 + C * C


def test_pixel_is_its_loop():
    module, x = made("pixel"), a_map()
    out, weights = module(x).detach().numpy(), arrays(module)
    for b, f in enumerate(x.double().numpy()):
        for k in range(C):
            bias = weights["around.bias"][k]
            scores = convolve(f, weights["around.weight"][k], bias)
            np.testing.assert_allclose(out[b, k], f[k] / (1 + np.exp(-scores)), atol=1e-6)


@pytest.mark.parametrize("scale", [True, False])
def test_head_is_its_loop(scale):
    module, x = made("head", heads=2, height=H, width=W, scale=scale), a_map()
    out, weights = module(x).detach().numpy(), arrays(module)
    q, k, v = (weights[f"{n}.weight"][:, :, 0, 0] for n in ("query", "key", "value"))
    rows, columns = weights["rows"][0], weights["columns"][0]
    places = [(i, j) for i in range(H) for j in range(W)]
    for b, f in enumerate(x.double().numpy()):
        for part in (slice(0, 4), slice(4, 8)):
            for i, j in places:
                query = (q @ f[:, i, j])[part]
                scores = []
                for y, z in places:
                    position = (rows[:, y] + columns[:, z])[part]
                    content = query @ (k @ f[:, y, z])[part]
                    scores.append((content + query @ position) / (math.sqrt(4) if scale else 1))
                share = np.exp(scores) / np.exp(scores).sum()
                answers = np.array([(v @ f[:, y, z])[part] for y, z in places])
                np.testing.assert_allclose(out[b, part, i, j], share @ answers, atol=1e-5)


def test_head_positions_stretch_with_the_map():
    module = made("head", heads=2, height=4, width=2)
    with torch.no_grad():
        module.rows.copy_(torch.arange(4.0).expand(1, C, 4))
    x = a_map(B, C, 8, 2)
    wide = made("head", heads=2, height=8, width=2)
    wide.load_state_dict({k: w for k, w in module.state_dict().items() if k != "rows"}, False)
    with torch.no_grad():
        stretched = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
        wide.rows.copy_(torch.tensor(stretched).expand(1, C, 8))
    torch.testing.assert_close(module(x), wide(x))


def test_domain_is_its_loop():
    module, x = made("domain", keys=3), a_map()
    out, weights = module(x).detach().numpy(), arrays(module)
    query, key = weights["query.weight"][:, :, 0, 0], weights["key.weight"][:, :, 0, 0]
    value = weights["value.weight"][:, :, 0, 0]
    np.testing.assert_array_equal(value, key.T)
    for b, f in enumerate(x.double().numpy()):
        flat = f.reshape(C, -1)
        scores = key @ (query @ flat + weights["query.bias"][:, None])
        places = np.array([np.exp(row) / np.exp(row).sum() for row in scores])  # softmax
        keys = np.array([places[:, n] / places[:, n].sum() for n in range(H * W)]).T  # Norm
        np.testing.assert_allclose(out[b], (flat + value @ keys).reshape(C, H, W), atol=1e-6)


@pytest.mark.parametrize("channels", [8, 1])
def test_domain_adaptive_is_its_loop(channels):
    torch.manual_seed(0)
    module, x = ATTENTION["domain-adaptive"](channels, ratio=4).eval(), a_map(B, channels, 6, 4)
    for value in module.state_dict().values():
        if value.dtype == torch.float32 and value.ndim == 1:  # batch norms that do something
            value.copy_(torch.rand(value.shape) + 0.5)
    out = module(x).detach().numpy()
    weights = {name: w.double().numpy() for name, w in module.state_dict().items()}

    def norm(scores, name):
        mean, spread = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        gain, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        scaled = (scores - mean[:, None, None]) / np.sqrt(spread[:, None, None] + 1e-5)
        return scaled * gain[:, None, None] + shift[:, None, None]

    def mix(f, name):
        return np.einsum("kc,chw->khw", weights[name][:, :, 0, 0], f)

    for b, f in enumerate(x.double().numpy()):
        deep = weights["around.0.weight"]
        seen = np.stack([convolve(f[k : k + 1], deep[k])[::2, ::2] for k in range(channels)])
        seen = np.maximum(0, norm(mix(seen, "around.1.weight"), "around.2"))
        rows, columns = (np.clip((np.arange(n) + 0.5) / 2 - 0.5, 0, n / 2 - 1) for n in (6, 4))
        fine = np.zeros((len(seen), 6, 4))
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                r0, c0 = int(r), int(c)
                r1, c1 = min(r0 + 1, 2), min(c0 + 1, 1)
                above = seen[:, r0, c0] * (1 - c + c0) + seen[:, r0, c1] * (c - c0)
                below = seen[:, r1, c0] * (1 - c + c0) + seen[:, r1, c1] * (c - c0)
                fine[:, i, j] = above * (1 - r + r0) + below * (r - r0)
        hidden = np.maximum(0, norm(mix(fine, "across.0.weight"), "across.1"))
        share = 1 / (1 + np.exp(-norm(mix(hidden, "across.3.weight"), "across.4")))
        np.testing.assert_allclose(out[b], share * f, atol=1e-5)


SMALL = {
    "voxel": {"width": 4},
    "domain": {"keys": 3},
    "cbam": {"ratio": 2},
    "domain-adaptive": {"ratio": 2},
    "reduction": {"reduced": C},
}


@pytest.mark.parametrize("name", ATTENTION)
def test_every_weight_and_the_map_below_learn(name):
    module, x = made(name, **SMALL.get(name, {})), a_map().requires_grad_()
    module(x).pow(2).sum().backward()
    assert x.grad.abs().sum() > 0
    for title, weight in module.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, title


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("name", ATTENTION)
def test_shape_and_dtype_in_bfloat16(name, gate):
    module, x = made(name, **SMALL.get(name, {})), a_map()
    if gate:
        module = Gate(module)
        module.gate.data.fill_(0.5)
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(x.bfloat16())
    assert rough.shape == x.shape and rough.isfinite().all()
    assert rough.dtype in (torch.bfloat16, torch.float32)
    torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)


def test_gate_goes_from_old_to_new():
    new, old, x = nn.Conv2d(C, 2, 1), nn.Conv2d(C, 2, 1), a_map()
    gate = Gate(new, old)
    torch.testing.assert_close(gate(x), old(x))
    gate.gate.data.fill_(1)
    torch.testing.assert_close(gate(x), new(x))
    for value in (-0.25, 0.25):
        gate.gate.data.fill_(value)
        torch.testing.assert_close(gate(x), 0.75 * old(x) + 0.25 * new(x))
    gate(x).pow(2).sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in gate.parameters())


def test_modules_stand_in_order_and_take_their_own_options():
    modules, channels = attention(("reduction", "head"), C, {"heads": 3, "reduced": 6})
    assert channels == 6 and modules[1].heads == 3 and modules[1].rows.shape[1] == 6
    assert modules(a_map()).shape == (B, 6, H, W)


def test_what_cannot_be_is_said():
    with pytest.raises(SettingsError, match="attention is 'voxl'"):
        check_attention(("voxl",), {})
    with pytest.raises(SettingsError, match="voxel attention takes no 'heads'"):
        check_attention(("voxel",), {"heads": 2})
    with pytest.raises(SettingsError, match="heads is 3, but the map has 8 channels"):
        made("head", heads=3)
