"""Invented features of people, whose truth is known."""

from dataclasses import replace

import numpy as np

from reseen.gallery.facts import Facts


def invented(people=20, crops=6, cameras=3, spread=0.5, seed=0, dimensions=32):
    """Give features (N, D) and who is on each (N,), in the order of nobody."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(people, dimensions))
    who = rng.permutation(np.repeat(np.arange(people), crops))
    rows = middles[who] + spread * rng.normal(size=(len(who), dimensions))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows, who, rng.integers(cameras, size=len(who))


def facts(n, cameras=None, **known):
    """Give what is known of N crops: nothing, but for what is given."""
    nothing = Facts(
        names=(),
        people=np.full(n, -1),
        cameras=np.full(n, -1) if cameras is None else cameras,
        times=np.full(n, np.nan),
        frames=np.full(n, -1),
        boxes=np.full((n, 4), np.nan),
        tracklets=np.full(n, -1),
        ignored=np.zeros(n, bool),
        denied=np.empty((0, 2), np.int64),
    )
    return replace(nothing, **known)


def named(who, people):
    """Give the names, and the people column, where the first people have names."""
    return tuple(f"P{i}" for i in range(people)), np.where(who < people, who, -1)
