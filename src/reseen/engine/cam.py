"""Class activation maps: the places of a crop that determine the feature of an encoder.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization,
ICCV 2017; Zhou et al., Learning Deep Features for Discriminative Localization (CAM), CVPR 2016.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reseen.engine.extract import default_batch
from reseen.errors import DataError, SettingsError
from reseen.nets.dropblock import DropBlock, stage_of
from reseen.nets.encoder import Encoder
from reseen.nets.whitening import Whitening

AROUND = ("before", "after")
"""Stages of every encoder: the last map before the attention that follows it, and after it."""


def stages(encoder: Encoder) -> list[str]:
    """Return the names of modules whose maps can be explained, in the order in which they run.

    These are the parts of the backbone down to its blocks, and then `before` and `after`, the last
    map before and after attention. Without attention after the last map both are the same. The
    name of a module in a block (`layer4.0.conv2`) can be used as well.
    """
    seen: dict[str, None] = {}

    def see(name: str, y: Any) -> None:
        maps = _as_maps(encoder, name, y)
        if maps is not None and maps[0, 0].numel() > 1:
            seen[name] = None

    size = encoder.settings.height, encoder.settings.width
    with ExitStack() as hooks, _as_searched(encoder), torch.no_grad():
        for name, module in _blocks(encoder.backbone.net):
            hooks.enter_context(
                module.register_forward_hook(lambda _m, _x, y, name=name: see(name, y))
            )
        encoder.map(torch.zeros(1, 3, *size, device=encoder.device))
    return [*seen, *AROUND]


def main_stages(encoder: Encoder) -> list[str]:
    """Return the stages to show in a figure: those where the map shrinks, and the last ones."""
    return [*encoder.backbone.stages[:-1], *last_stages(encoder)]


def last_stages(encoder: Encoder) -> list[str]:
    """Return `before` and `after`, or only `after` if no attention follows the last map."""
    attends = encoder.settings.attention and encoder.settings.attention_place == "after"
    return [*AROUND] if attends else [AROUND[-1]]


def check_stages(encoder: Encoder, stages: Sequence[str]) -> None:
    """Refuse stages that an encoder does not have.

    Raises:
        SettingsError: a stage does not exist; the error names the most similar ones.
    """
    for stage in stages:
        _module(encoder, stage)


def class_cam(
    encoder: Encoder, pixels: Tensor, rows: np.ndarray | Tensor, stage: str | None = None
) -> np.ndarray:
    """Compute which places of a crop speak for a class, by Grad-CAM.

    The score of a class is the product of its row and the vector after the neck (and whitening, if
    the encoder has it). The length of the vector is treated as a constant, because the cosine
    itself does not change at its maximum, so that its gradient would be zero exactly for the most
    similar crops. The map is the sum over channels of the activation times the mean gradient of the
    score over all places, cut off at 0.

    With mean pooling the score is linear in the last map, and the map equals the CAM of Zhou et al.
    up to a factor.

    Args:
        encoder: used in evaluation mode; its mode and gradients are left unchanged.
        pixels: (N, 3, H, W), uint8 or 0 to 255, of the encoder's size.
        rows: (N, D) a row of weights for each crop, or (D,) one for all: the weights of a
            classifier, or the mean vector of a cluster.
        stage: one of `stages`, or the name of any module of the backbone; None is the last map,
            `after`.

    Returns:
        (N, h, w) float32, 0 to 1. The largest value of each map is 1, or the map is 0 everywhere
        if no place speaks for the class.

    Raises:
        DataError: the shape of rows does not fit.
        SettingsError: the stage does not exist, or its output is not a map.

    Source: Selvaraju et al., Sec. 3, Eqs. 1 and 2; Zhou et al., Sec. 2, Eq. 2.
    Memory: the activations of one batch (see `default_batch`) after the stage.
    """
    weights = torch.as_tensor(rows, dtype=torch.float32)
    if weights.shape not in ((encoder.dimensions,), (len(pixels), encoder.dimensions)):
        raise DataError(
            f"rows has shape {tuple(weights.shape)} for {len(pixels)} crops. Give one row of "
            f"{encoder.dimensions} numbers, or one such row for each crop."
        )
    weights = weights.expand(len(pixels), -1)
    batch = default_batch(encoder)
    found = [
        _grad_cam(encoder, stage or "after", some.to(encoder.device), of.to(encoder.device))
        for some, of in zip(pixels.split(batch), weights.split(batch), strict=True)
    ]
    return torch.cat(found).cpu().numpy()


def pair_cam(
    encoder: Encoder, pixels_a: Tensor, pixels_b: Tensor, stage: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute which places make two crops similar, by Grad-CAM of their similarity.

    For each crop, the vector of the other one is the class (see `class_cam`).

    Args:
        encoder: as in `class_cam`.
        pixels_a: (N, 3, H, W), uint8 or 0 to 255: the first crop of each pair.
        pixels_b: (N, 3, H, W): the second crop of each pair.
        stage: as in `class_cam`.

    Returns:
        Two arrays (N, h, w) float32, 0 to 1, as from `class_cam`.

    Raises:
        DataError: the numbers of crops differ.
        SettingsError: the stage does not exist, or its output is not a map.

    Source: Stylianou et al., Visualizing Deep Similarity Networks, WACV 2019, for pooled maps;
    Grad-CAM of Selvaraju et al. for all others.
    """
    if len(pixels_a) != len(pixels_b):
        raise DataError(f"There are {len(pixels_a)} and {len(pixels_b)} crops. Give pairs.")
    batch = default_batch(encoder)
    with _as_searched(encoder), torch.inference_mode():
        a, b = (
            torch.cat([encoder(some.to(encoder.device)).cpu() for some in pixels.split(batch)])
            for pixels in (pixels_a, pixels_b)
        )
    return class_cam(encoder, pixels_a, b.numpy(), stage), class_cam(
        encoder, pixels_b, a.numpy(), stage
    )


@contextmanager
def dropped(
    encoder: Encoder, stages: Sequence[int], height: float, width: float, seed: int = 0
) -> Iterator[dict[int, np.ndarray]]:
    """Drop a rectangle before some stages, at the same places for every batch.

    Args:
        encoder: in any mode.
        stages, height, width: as in `drop_before`.
        seed: for drawing the rectangles.

    Yields:
        For each stage, after a batch of B crops has passed: (B, h, w) bool, true where dropped.

    Source: Yin et al., ConsLearn, Sec. 3.1; the masks of its Fig. 4.
    """
    found: dict[int, np.ndarray] = {}

    def drop(stage: int, _module: nn.Module, inputs: tuple) -> tuple:
        with torch.random.fork_rng():
            torch.manual_seed(seed * (max(stages) + 1) + stage)
            kept = DropBlock(height, width)(torch.ones_like(inputs[0][:, :1]))
        found[stage] = (kept[:, 0] == 0).cpu().numpy()
        return inputs[0] * kept, *inputs[1:]

    with ExitStack() as hooks:
        for stage in stages:
            at = stage_of(encoder.backbone, stage)
            hooks.enter_context(at.register_forward_pre_hook(partial(drop, stage)))
        yield found


def _grad_cam(encoder: Encoder, stage: str, pixels: Tensor, rows: Tensor) -> Tensor:
    """Return maps (B, h, w) of the score of each row (B, D) at a stage."""
    given: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: tuple, y: Any) -> Any:
        if not isinstance(y, Tensor):
            return None
        given[:] = [y.detach().requires_grad_()]  # nothing before this needs a gradient
        return given[0].clone()  # the next module may work in place

    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        _as_searched(encoder),
        _module(encoder, stage).register_forward_hook(cut),
    ):
        vectors = encoder.neck(encoder.pool(pixels))
        if isinstance(encoder.whitening, Whitening):
            vectors = vectors @ encoder.whitening.matrix
        score = (rows.clone() * vectors).sum()  # crops are independent: one sum for all
        found = torch.autograd.grad(score, given, allow_unused=True) if given else [None]
    maps, slopes = (_as_maps(encoder, stage, y) for y in (given and given[0].detach(), found[0]))
    if maps is None or slopes is None:
        raise SettingsError(
            f"The output of stage {stage!r} is not a map. Use one of: {', '.join(stages(encoder))}."
        )
    weights = slopes.float().mean((2, 3), keepdim=True)  # Eq. 1
    cam = (weights * maps.float()).sum(1).relu()  # Eq. 2
    return cam / cam.amax((1, 2), keepdim=True).clamp(min=torch.finfo(cam.dtype).tiny)


@contextmanager
def _as_searched(encoder: Encoder) -> Iterator[None]:
    """Put an encoder into evaluation mode, and restore the mode of every module afterwards."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _module(encoder: Encoder, stage: str) -> nn.Module:
    """Find the module whose output is the map of a stage."""
    known = dict(encoder.backbone.net.named_modules())
    known |= zip(AROUND, (encoder.backbone, encoder.attention), strict=True)
    if stage in known:
        return known[stage]
    near = get_close_matches(stage, known, 3) or stages(encoder)
    raise SettingsError(f"This encoder has no stage {stage!r}. Use one of: {', '.join(near)}.")


def _blocks(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Iterate over the parts of a network, and over the parts of those that are plain lists."""
    for part, child in module.named_children():
        path = f"{name}.{part}" if name else part
        yield path, child
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _blocks(child, path)


def _as_maps(encoder: Encoder, stage: str, y: Any) -> Tensor | None:
    """Return the output of a stage as (B, C, h, w), also from tokens; None if it is not a map."""
    if not isinstance(y, Tensor):
        return None
    net: Any = encoder.backbone.net
    if y.ndim == 4:
        last = stage not in AROUND and getattr(net, "output_fmt", "") == "NHWC"
        return y.permute(0, 3, 1, 2) if last else y
    if y.ndim == 3 and hasattr(net, "patch_embed"):  # class and register tokens come first
        rows, columns = net.patch_embed.dynamic_feat_size(
            (encoder.settings.height, encoder.settings.width)
        )
        if y.shape[1] >= rows * columns:
            return y[:, -rows * columns :].transpose(1, 2).unflatten(2, (rows, columns))
    return None
