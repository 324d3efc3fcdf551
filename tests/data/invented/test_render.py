import numpy as np
import pytest

from reseen.data.invented.render import BALL, BOX, CONE, RING, _meet


def _on_surface(kind, taper, point):
    x, y, z = point
    across = np.hypot(x, z)
    if kind == BALL:
        return abs(across**2 + y**2 - 1) < 1e-6
    if kind == CONE:
        radius = (1 + taper) / 2 + y * (taper - 1) / 2
        lid = abs(abs(y) - 1) < 1e-6 and across < radius + 1e-6
        return lid or (abs(across - radius) < 1e-6 and abs(y) < 1 + 1e-6)
    if kind == BOX:
        return abs(np.abs(point).max() - 1) < 1e-6
    return abs(y) < 1e-6 and taper - 1e-6 < across < 1 + 1e-6


def _inside(kind, taper, point):
    x, y, z = point * 1.001
    if kind == BALL:
        return x * x + y * y + z * z < 1
    if kind == CONE:
        return abs(y) < 1 and np.hypot(x, z) < (1 + taper) / 2 + y * (taper - 1) / 2 - 1e-3
    return kind == BOX and np.abs((x, y, z)).max() < 1


@pytest.mark.parametrize("kind", [BALL, CONE, BOX, RING])
def test_rays_end_on_the_surface_and_not_behind_it(kind):
    rng, met = np.random.default_rng(kind), 0
    for _ in range(200):
        start = rng.normal(size=3)
        start *= 4 / np.linalg.norm(start)
        way = rng.uniform(-0.7, 0.7, 3) - start
        taper = rng.uniform(0.3, 0.95)
        t = _meet(kind, *start, *way, taper)
        steps = np.linspace(0, 2, 300)
        inside = [s for s in steps if _inside(kind, taper, start + s * way)]
        if t > 0:
            met += 1
            assert _on_surface(kind, taper, start + t * way)
        assert min(inside, default=np.inf) >= (t if t > 0 else np.inf)
    assert met > 30
