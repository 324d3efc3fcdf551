"""The steps of any method alone, on any device: crops, features and labels are drawn.

`fit` of a method runs as it is, with `Steps` in the place of a run: nothing is read, clustered,
judged or kept. So all methods can be compared by device, precision and time.
"""

import importlib
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch

from reseen.cluster.density import DensitySettings
from reseen.cluster.self_paced import SelfPaced
from reseen.data.loading import Crops
from reseen.engine.progress import QUIET
from reseen.engine.settings import flat, varied
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings, build
from reseen.records import Image, PseudoLabels

SHORT = {
    "adtc": dict(rounds=1, epochs=1, labelling="dbscan"),
    "ssl": dict(first=1, rounds=1, epochs=1, k=2, parts=2, dropout=0.0),
    "buc": dict(first=1, merge_rate=0.3, epochs=1, stop=0.0, dropout=0.0),
    "daal": dict(pretrain=0, rounds=1, epochs=1),
    "conslearn": dict(alpha=0.0),
}
"""What makes a method short, and leaves nothing to the chance of a device: dropout is off."""


def settings(
    name: str, encoder: EncoderSettings, people: int, views: int, iterations: int, **more
) -> object:
    """Make a method whose batches have people x views images; `more` wins."""
    told = dict(people=people, views=views, batch=people * views, iterations=iterations, epochs=1)
    told |= {"encoder": encoder, **SHORT.get(name, {}), **more}
    known = flat(METHODS[name]())
    return varied(METHODS[name](), {key: value for key, value in told.items() if key in known})


class Steps:
    """Does for `fit` what a run does, and remembers what its steps did.

    Args:
        place: puts an encoder where it computes.
        images: how many there are.
        views: images a person.
        kept: whether the crops lie on the device; else they are fed from the CPU.
        clock: measures the training stage.

    Attributes:
        told: what each step gave. gradient: of the first one, (W,) float32.
        steps, seconds: of the training stage.
        passes: how often how many images passed through a backbone, with gradient (True) or not.
    """

    seed, round, screen = 0, 0, QUIET

    def __init__(self, place, images=64, views=4, *, kept=True, clock=time.process_time):
        self.place, self.kept, self.clock = place, kept, clock
        self.ids = np.arange(images) // views
        self.told, self.gradient, self.passes = [], None, Counter()
        self.steps, self.seconds = 0, 0.0

    def fit(self, method, source: bool = False) -> "Steps":
        """Let a method learn, from a source too where it needs one or is to have it."""
        images = tuple(
            Image(f"{i}.jpg", person=int(person), camera=i % 3) for i, person in enumerate(self.ids)
        )
        with self._drawn(importlib.import_module(type(method).__module__)):
            method.fit(images, self, *[images] * (source or getattr(method, "needs_source", False)))
        return self

    def bare_seconds(self) -> float:
        """Give what the same passes and steps take on tensors that are ready."""
        took, passes = 0.0, dict(self.passes)
        for (learns, size), count in passes.items():
            pixels = self.encoder.normalise(self._pixels(size).to(self.encoder.device))
            half = self.encoder.precision == "bfloat16"
            self.encoder.train(learns)

            def once(pixels=pixels, learns=learns, half=half) -> None:
                with (
                    torch.set_grad_enabled(learns),
                    torch.autocast(pixels.device.type, torch.bfloat16, enabled=half),
                ):
                    y = self.encoder.attention(self.encoder.backbone(pixels))
                if learns:
                    y.float().mean().backward()

            took += count * self._seconds(once)
        return took + self.steps * self._seconds(self.optimizer.step)

    def _seconds(self, work, times: int = 4) -> float:
        work()
        began = self.clock()
        for _ in range(times):
            work()
        return (self.clock() - began) / times

    def build(self, of: EncoderSettings):
        torch.manual_seed(0)
        encoder = self.encoder = self.place(build(of))
        encoder.backbone.register_forward_pre_hook(lambda _, inputs: self._pass(*inputs))
        return encoder

    def load(self, images, encoder) -> Crops:
        crops, pixels = Crops.__new__(Crops), self._pixels(len(images))
        crops.pixels = pixels.to(encoder.device) if self.kept else pixels
        crops.images, crops.tracklets = images, False
        crops.owners = crops._rows = np.arange(len(images))
        return crops

    load_source = load

    def _pixels(self, count: int) -> torch.Tensor:
        size = self.encoder.settings.height, self.encoder.settings.width
        rng = np.random.default_rng(0)
        looks = rng.integers(0, 256, (1 + self.ids.max(), 3, *size))[np.resize(self.ids, count)]
        noise = rng.integers(-40, 41, looks.shape)
        return torch.from_numpy((looks + noise).clip(0, 255).astype(np.uint8))

    def settle(self, method, *_):
        return method

    def once(self, work, *args, **named):
        return work(*args, **named)

    def rounds(self, total, **_):
        for self.round in range(1, total + 1):
            yield self.round - 1

    def rng(self, purpose):
        return np.random.default_rng([self.round, *purpose.encode()])

    def track(self, what):
        def timed(items, total):
            with self.training() if what == "training" else ExitStack():
                for item in items:
                    self.steps += what == "training"
                    yield item

        return timed

    @contextmanager
    def training(self):
        """Be within the training stage."""
        began = self.clock()
        yield
        self.seconds += self.clock() - began

    def log(self, *_, **__):
        """Keep nothing, as label, neighbours and end."""

    label = neighbours = end = log

    def _pass(self, pixels: torch.Tensor) -> None:
        self.passes[torch.is_grad_enabled(), len(pixels)] += 1

    def _features(self, encoder, times: int = 0) -> np.ndarray:
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((1 + self.ids.max(), encoder.dimensions))[self.ids]
        rows += 0.2 * rng.standard_normal(rows.shape)
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return np.stack([rows] * times) if times else rows

    def _averaged(self, steps):
        self.told += steps
        return {}

    @contextmanager
    def _drawn(self, of):
        """Give drawn features and labels to the module of a method."""
        labels = PseudoLabels(self.ids)
        plain = of.step

        def step(loss, optimizer, **terms):
            told, self.optimizer = plain(loss, optimizer, **terms), optimizer
            if self.gradient is None:
                weights = [w for group in optimizer.param_groups for w in group["params"]]
                grads = [w.grad.flatten().float() for w in weights if w.grad is not None]
                self.gradient = torch.cat(grads)
            return told

        instead = {
            "extract": lambda encoder, *_, **__: self._features(encoder),
            "extract_parts": lambda encoder, _, parts, **__: self._features(encoder, 1 + parts),
            "extract_of": lambda encoder, *_, unit=True, **__: self._features(encoder, 4 * unit),
            "averaged": self._averaged,
            "step": step,
        }
        with ExitStack() as patched:
            for name, does in instead.items():
                if hasattr(of, name):
                    patched.enter_context(patch.object(of, name, does))
            for owner, name, gives in (
                (DensitySettings, "label", labels),
                (DensitySettings, "label_around", (labels,)),
                (SelfPaced, "keep", labels),
            ):
                given = lambda *_, gives=gives: gives  # noqa: E731
                patched.enter_context(patch.object(owner, name, given))
            at = lambda density, *_: replace(density, eps=0.6)  # noqa: E731
            patched.enter_context(patch.object(DensitySettings, "at", at))
            yield
